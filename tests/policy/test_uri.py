from __future__ import annotations

import pytest

from authz.policy.uri import is_ambiguous

PLAIN = [
    "file:///project/a",
    "file:///project/",
    "file:///project/a%20b",
    "https://host.example/a/b?x=../y#z",
    "https://host.example:8443/a",
    "http://127.0.0.1:8080/a",
    "http://[::1]:8080/a",
    "http://localhost/",
    "postgres://user@db/table",
    "ui://widget/Main",
    "memo://insights",
    "urn:isbn:0451450523",
    "git:repo/file",
    "file:///project/{path}",
    "file:///project/%C3%A9",
    "file:///project/a%3Fb",
]
AMBIGUOUS = [
    "file:///project/../etc/passwd",
    "file:///project/./a",
    "file:///project/..",
    "file:///project//a",
    "file:////etc/passwd",
    "file:///project/%2e%2e/etc",
    "file:///project/%2E",
    "file:///project/a%2fb",
    "file:///project/a%5cb",
    "file:///project/%252e",
    "file:///project/%61",
    "file:///project/%7e",
    "file:///project/%00",
    "file:///project/%zz",
    "file:///project/%2",
    "file:///project/a\\b",
    "file:///project/a\nb",
    "file:///project/a\x00",
    "file:///project/é",
    "file:///project/\u2024\u2024/etc",
    " file:///project/a",
    "file:///project/a ",
    "FILE:///project/a",
    "file://host/project/a",
    "file:/project/a",
    "https:host/a",
    "https://Host.example/a",
    "https://user@host.example/a",
    "https:///a",
    "db://x/a/../b",
    "no-scheme/a",
    "",
    "https://host.example:443/a",
    "http://host.example:80/a",
    "https://host.example:/a",
    "https://host.example./a",
    "https://host.example",
    "https://host.example?q=1",
    "notes://../private/x",
    "notes://./private/x",
    "file:///project/a%3F/..%3Bx/secret",
    "file:///project/x?/../../etc/passwd",
    "file:///project/x#/../../etc/passwd",
    "file:///project/x?../../etc/passwd",
    "file:///project/x?y",
    "file:///project/x#y",
    "https://host.example/a?/../b",
    "https://host.example/a/..;x/b",
    "https://host.example?/../b",
    "file:///project/%c0%ae%c0%ae/etc",
    "file:///project/%ff",
    "file:///project/a<b>",
    "file:///project/`id`",
    "file:///project/a|b",
]


@pytest.mark.parametrize("uri", PLAIN)
def test_a_plain_uri_can_be_read_in_one_way(uri: str) -> None:
    assert not is_ambiguous(uri)


@pytest.mark.parametrize("uri", AMBIGUOUS)
def test_a_uri_that_can_be_read_in_two_ways_is_ambiguous(uri: str) -> None:
    assert is_ambiguous(uri)
