from __future__ import annotations

import pytest

from authz.mcp.challenge import Challenge, insufficient, metadata_path, metadata_url, unauthenticated

RESOURCE = "https://mcp.example/bank"
METADATA = 'resource_metadata="https://mcp.example/.well-known/oauth-protected-resource/bank"'


@pytest.mark.parametrize(
    ("resource", "url"),
    [
        (RESOURCE, "https://mcp.example/.well-known/oauth-protected-resource/bank"),
        ("https://mcp.example", "https://mcp.example/.well-known/oauth-protected-resource"),
        ("https://mcp.example/", "https://mcp.example/.well-known/oauth-protected-resource"),
        ("http://h:8080/a/mcp/", "http://h:8080/.well-known/oauth-protected-resource/a/mcp/"),
        ("https://h/mcp?team=a", "https://h/.well-known/oauth-protected-resource/mcp?team=a"),
        ('https://h/a"b c\\d', "https://h/.well-known/oauth-protected-resource/a%22b%20c%5Cd"),
        ("https://h/ä", "https://h/.well-known/oauth-protected-resource/%C3%A4"),
    ],
)
def test_the_metadata_of_a_resource_stand_before_its_path(resource: str, url: str) -> None:
    assert metadata_url(resource) == url
    assert url.endswith(metadata_path(resource))


def test_a_caller_without_a_token_is_told_where_there_are_any() -> None:
    assert unauthenticated(RESOURCE) == Challenge(401, f"Bearer {METADATA}", always=True)
    assert unauthenticated(RESOURCE, ["a", "b"]).value == f'Bearer scope="a b", {METADATA}'


def test_a_caller_whose_token_is_refused_is_told_why() -> None:
    value = f'Bearer error="invalid_token", error_description="the token has expired", {METADATA}'
    assert unauthenticated(RESOURCE, refused="the token has expired").value == value


def test_a_caller_who_needs_more_is_told_all_of_it() -> None:
    text = 'error_description="the token does not hold the scopes that this needs"'
    value = f'Bearer error="insufficient_scope", {text}, scope="a b", {METADATA}'
    assert insufficient(RESOURCE, ["a", "b"]) == Challenge(403, value)
