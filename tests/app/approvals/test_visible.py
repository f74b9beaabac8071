"""What an agent wrote, as a person sees it: nothing hidden, nothing left out, nothing that is markup (threats H6)."""

from __future__ import annotations

import json
import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.app.approvals.tree import LONG_LIST, LONG_TEXT, render, text
from authz.app.approvals.visible import pieces, visible


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain text, 1 + 1", "plain text, 1 + 1"),
        ("", ""),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩"),
        ("zero\u200bwidth\ufeff", "zero⟨U+200B⟩width⟨U+FEFF⟩"),
        ("tag\U000e0041", "tag⟨U+E0041⟩"),
        ("\x00\x1b[2J\x7f\x85", "⟨U+0000⟩⟨U+001B⟩[2J⟨U+007F⟩⟨U+0085⟩"),
        ("a\u00a0b\u3000c", "a⟨U+00A0⟩b⟨U+3000⟩c"),
        ("e\u0301", "e⟨U+0301⟩"),
        ("\u3164\u2800\u115f\u034f", "⟨U+3164⟩⟨U+2800⟩⟨U+115F⟩⟨U+034F⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("\ue000\U000fffff\u0378", "⟨U+E000⟩⟨U+FFFFF⟩⟨U+0378⟩"),
        ("line\nnext\u2028", "line⟨U+000A⟩next⟨U+2028⟩"),
        ("\ufe0f", "⟨U+FE0F⟩"),
        # twins: a word of two scripts, a word of nothing but twins, signs
        ("аdmin", "а⟨U+0430⟩dmin"),
        ("сору", "с⟨U+0441⟩о⟨U+043E⟩р⟨U+0440⟩у⟨U+0443⟩"),
        ("/etc∕passwd", "/etc∕⟨U+2215⟩passwd"),
        ("ａｄｍｉｎ", "ａ⟨U+FF41⟩ｄ⟨U+FF44⟩ｍ⟨U+FF4D⟩ｉ⟨U+FF49⟩ｎ⟨U+FF4E⟩"),
        # people's own words stay words
        ("привет, мир", "привет, мир"),
        ("日本語のテキスト", "日本語のテキスト"),
        ("Zoë Müller, 12 €", "Zoë Müller, 12 €"),
        # a text cannot spell a mark
        ("⟨U+202E⟩", "⟨⟨U+27E8⟩U+202E⟩"),
    ],
)
def test_what_cannot_be_seen_or_looks_like_something_else_is_spelled_out(raw, shown):
    assert visible(raw) == shown


def test_every_character_that_unicode_hides_is_marked():
    hidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Mc", "Me"}
    for code in (*range(0x20000), *range(0xE0000, 0xE0200), sys.maxunicode):
        char = chr(code)
        if unicodedata.category(char) in hidden:
            assert visible(char) == f"⟨U+{code:04X}⟩"


@given(st.text(st.characters(), max_size=50))
def test_the_text_can_be_read_back_from_what_is_shown(raw):
    read = []
    for piece in pieces(raw):
        if not piece.marked:
            read.append(piece.text)
            continue
        char = chr(int(piece.text[3:-1], 16))
        if not read or read[-1][-1:] != char or visible(char) == piece.text:
            read.append(char)
    assert "".join(read) == raw


def test_a_mark_has_the_characters_name():
    names = [piece.name for piece in pieces("\u202e\n\x07\ud800\ue000\u0378") if piece.marked]
    assert names == [
        "RIGHT-TO-LEFT OVERRIDE", "LINE FEED", "CONTROL CHARACTER", "LONE SURROGATE", "PRIVATE USE", "UNASSIGNED",
    ]  # fmt: skip


def test_lines_stay_lines_in_a_value():
    assert text("a\nb", lines=True) == 'a<span class="mark" title="LINE FEED">⟨U+000A⟩</span>\nb'


def rendered(arguments, **more):
    params = json.dumps({"name": "t", "arguments": arguments, **more}, separators=(",", ":"))
    return render(params, "t")


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "</code></dl><form action=//evil.example>",
        '" onmouseover="x',
        "&lt;b&gt;",
        "<b>{{ 7*7 }}",
    ],
)
def test_nothing_becomes_markup_neither_in_names_nor_in_values(hostile):
    found, rest = rendered({hostile: [hostile]}, **{hostile: hostile})
    for html in (found.html, rest.html):
        assert hostile not in html
        assert "<script" not in html
        assert "<form" not in html


def test_numbers_and_words_are_as_they_were_spelled():
    params = '{"arguments":{"a":9007199254740993,"b":1.0,"c":1,"d":1e400,"e":true,"f":null,"g":-0},"name":"t"}'
    html = render(params, "t")[0].html
    for number in ("9007199254740993", "1.0", "1", "1e400", "-0"):
        assert f'<code class="number">{number}</code>' in html
    assert '<code class="word">true</code>' in html
    assert '<code class="word">null</code>' in html


def test_empty_things_are_seen_to_be_empty():
    html = rendered({"": "", "a": [], "b": {}})[0].html
    for shown in ("empty name", "empty text", "no entries", "no members"):
        assert shown in html
    assert "no members" in rendered({})[0].html


def test_a_long_text_folds_and_is_complete():
    value = "".join(chr(97 + n % 26) for n in range(60_000))
    found, _ = rendered({"a": value, "b": "x" * LONG_TEXT})
    assert found.folded == 1
    assert "text of 60,000 characters" in found.html
    assert f'<code class="text">{value}</code></details>' in found.html


def test_many_members_fold_and_are_complete():
    found, _ = rendered({f"member{n:03}": n for n in range(500)})
    assert found.folded == 1
    assert f"{500 - LONG_LIST} more members of 500" in found.html
    assert all(f"member{n:03}" in found.html for n in range(500))
    assert "1 more entry of 41" in rendered(list(range(LONG_LIST + 1)))[0].html


def test_other_parameters_are_shown_beside_the_arguments_and_the_name_only_where_it_differs():
    _, rest = rendered({}, inputResponses={"x": "y"})
    assert "inputResponses" in rest.html
    assert '<code class="key">name</code>' not in rest.html
    _, rest = render('{"name":"other","arguments":{}}', "t")
    assert "other" in rest.html
    found, rest = render('{"name":"t"}', "t")
    assert (found.html, rest.html) == ("", "")


@pytest.mark.parametrize("params", ["{", "[1,2]", '"text"', "12", "[" * 100_000, '{"a":' * 900 + "1" + "}" * 900])
def test_what_is_no_object_or_too_deep_is_shown_as_it_is(params):
    found, rest = render(params, "t")
    assert found.html or rest.html
    if params.startswith("[["):
        assert params in found.html


def test_the_largest_call_is_shown_in_reasonable_time():
    began = time.process_time()
    rendered({f"{n}": "\u202e" for n in range(6_000)})  # in 64 KiB, the most that a request has
    assert time.process_time() - began < 2.0
