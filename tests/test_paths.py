from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.paths import is_metadata, is_plain

PLAIN = ["/", "/mcp", "/mcp/", "/a.b/c-d_e~f", "/..a/b..", "/a.../b", "/.well-known/x", "/a:b@c,d=e+f", ""]
DOUBTFUL = [
    *("//", "//mcp", "/a//b", "/mcp//"),
    *("/.", "/./a", "/a/.", "/a/./b"),
    *("/..", "/../a", "/a/..", "/a/../b", "/a/..;/b", "/a;x=1", "/a;"),
    *("/%61", "/a%2fb", "/%2e%2e/a", "/%c0%ae", "/%", "/a\\b", "/..\\a", "/a#b", "/#"),
]


@pytest.mark.parametrize("path", PLAIN)
def test_a_path_with_one_reading_is_plain(path: str) -> None:
    assert is_plain(path)


@pytest.mark.parametrize("path", DOUBTFUL)
def test_a_path_with_two_readings_is_not(path: str) -> None:
    assert not is_plain(path)


@given(st.text(alphabet="ab./%;\\#", max_size=12).map(lambda text: f"/{text}"))
def test_normalising_a_plain_path_changes_nothing_but_its_last_slash(path: str) -> None:
    if is_plain(path):
        assert posixpath.normpath(path) == (path.rstrip("/") or "/")


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/tenant/a",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/mcp",
    ],
)
def test_the_places_where_clients_discover_the_authorization_server_are_metadata(path: str) -> None:
    assert is_metadata(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/mcp",
        "/.well-known/",
        "/.well-known/security.txt",
        "/.WELL-KNOWN/oauth-protected-resource",
        "/mcp/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/../../admin",
        "/.well-known/oauth-x/%2e%2e/%2e%2e/admin",
        "/.well-known/oauth-x/..;/..;/admin",
        "/.well-known/oauth-x//admin",
        "//.well-known/oauth-protected-resource",
        "/.well-known/openid-configuration\\..\\admin",
    ],
)
def test_other_paths_and_what_only_begins_like_them_are_not(path: str) -> None:
    assert not is_metadata(path)
