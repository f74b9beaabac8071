"""Nothing that a server writes can hide in a file or command a terminal."""

from __future__ import annotations

import pytest

from authz.app.catalog.words import visible, visible_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred", "⟨U+001B⟩[31mred"),
        ("a\x07b\x00", "a⟨U+0007⟩b⟨U+0000⟩"),
        ("evil\u202egpj.exe", "evil⟨U+202E⟩gpj.exe"),
        ("tag\U000e0041", "tag⟨U+E0041⟩"),
        ("hidden\ufe01\U000e0100", "hidden⟨U+FE01⟩⟨U+E0100⟩"),
        ("zero\u200bwidth", "zero⟨U+200B⟩width"),
        ("half\ud800", "half⟨U+D800⟩"),
        ("⚠️ näïve 日本", "⚠️ näïve 日本"),
        ("\n a \r\n\tb  \nc\n", " a\n    b\nc"),
        ("line\u2028line", "line⟨U+2028⟩line"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_what_is_cut_is_told() -> None:
    assert visible("abcdef", 3) == "abc…[of 6 characters]"


def test_json_is_made_visible_in_names_and_values() -> None:
    assert visible_json({"a\x1b": ["\x1b", 1, None, True, {"b": "\x07"}]}) == {
        "a⟨U+001B⟩": ["⟨U+001B⟩", 1, None, True, {"b": "⟨U+0007⟩"}]
    }
