"""Whom a counter belongs to, in words that no agent can bend."""

from __future__ import annotations

import hashlib
import math

import pytest

from authz.app.admin.usage import describe
from authz.model import Algorithm, Limit
from authz.state.store import Usage

LIMIT = Limit("spend", ("k",), 10, 60.0, "bank", Algorithm.TOKEN_BUCKET, burst=20)


def usage(*descriptor: tuple[str, str], session: str = "", shared: bool = False, resets_in: float = 1.0) -> Usage:
    return Usage(LIMIT, descriptor, session, False, shared, 2.5, 20, resets_in)


SESSION = hashlib.sha256(b"s-1").hexdigest()


@pytest.mark.parametrize(
    ("found", "who"),
    [
        (usage(), "everybody"),
        (usage(("principal", "corp\n\nalice")), "principal corp/alice"),
        (usage(("principal", "corp\nhttps://idp\nalice")), "principal corp/alice of https://idp"),
        (usage(("principal", "sha256:0123456789abcdef")), "principal sha256:0123456789ab…"),
        (usage(("client", "https://idp\ncron")), "client cron of https://idp"),
        (usage(("client", "\ncron")), "client cron"),
        (usage(("address", "192.0.2.7"), ("tool", "pay")), "address 192.0.2.7, tool pay"),
        (usage(("address", "")), "address"),
        (usage(("principal", "odd")), "principal odd"),
        (usage(("args.to", '"a\x1b[2J\u202e"')), 'args.to "a⟨U+001B⟩[2J⟨U+202E⟩"'),
        (usage(("principal", "corp\n\nal\u200bice")), "principal corp/al⟨U+200B⟩ice"),
        (usage(("tool", "x" * 81)), f"tool {'x' * 80}…"),
        (usage(session="s-1"), f"session sha256:{SESSION[:12]}…"),
        (usage(session=f"sha256:{SESSION}"), f"session sha256:{SESSION[:12]}…"),
        (usage(shared=True), "those without a counter of their own"),
        (usage(("tool", "pay"), shared=True), "tool pay, those without a counter of their own"),
    ],
)
def test_who_is_told_in_words(found: Usage, who: str) -> None:
    assert describe(found)["who"] == who


def test_the_id_of_a_session_is_not_shown() -> None:
    assert "s-1" not in str(describe(usage(session="s-1")))


def test_numbers_and_names_are_shown_as_they_are() -> None:
    found = describe(usage(resets_in=math.inf))
    assert (found["server"], found["limit"], found["algorithm"], found["window"]) == (
        "bank",
        "spend",
        "token_bucket",
        60.0,
    )
    assert (found["used"], found["max"], found["resets_in"]) == (2.5, 20, None)
