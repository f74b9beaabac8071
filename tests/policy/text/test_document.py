"""YAML text -> values with places, or every problem at once."""

# ruff: noqa: E501 - messages are tested whole and stand on one line

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authz.errors import PolicyError, Problem
from authz.policy.text.document import MAX_BYTES, Document, parse, render_path

FILE = "p.yaml"


def problems(text: str | bytes) -> list[str]:
    """What is said of `text`, which has something wrong in it."""
    found: Sequence[Problem]
    try:
        found = parse(text.encode() if isinstance(text, str) else text, FILE).problems
    except PolicyError as error:
        found = error.problems
    assert found
    return [str(problem) for problem in found]


POLICY = """\
# a comment
version: 1
tools:
  transfer:
    action: allow
    rules:
      - {action: deny,  reason: "no: never"}
      - action: allow
  "json_*":
    deny
  größe: |
    two
    lines
"""


@pytest.fixture
def document() -> Document:
    return parse(POLICY.encode(), FILE)


def test_values_are_plain(document: Document) -> None:
    assert document.value == {
        "version": 1,
        "tools": {
            "transfer": {"action": "allow", "rules": [{"action": "deny", "reason": "no: never"}, {"action": "allow"}]},
            "json_*": "deny",
            "größe": "two\nlines\n",
        },
    }


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ((), (2, 1), (2, 1)),
        (("version",), (2, 1), (2, 10)),
        (("tools",), (3, 1), (4, 3)),
        (("tools", "transfer", "action"), (5, 5), (5, 13)),
        (("tools", "transfer", "rules"), (6, 5), (7, 7)),
        (("tools", "transfer", "rules", 0), (7, 9), (7, 9)),
        (("tools", "transfer", "rules", 0, "reason"), (7, 25), (7, 33)),
        (("tools", "transfer", "rules", 1), (8, 9), (8, 9)),
        (("tools", "json_*"), (9, 3), (10, 5)),
        (("tools", "größe"), (11, 3), (11, 10)),
    ],
)
def test_places_are_lines_and_columns_from_one(
    document: Document, path: tuple[str | int, ...], key: tuple[int, int], value: tuple[int, int]
) -> None:
    assert document.place(path) == key
    assert document.value_place(path) == value


@pytest.mark.parametrize("missing", [("tools", "transfer", "when"), ("tools", "transfer", "action", "x", 3)])
def test_what_is_missing_has_the_place_of_its_nearest_ancestor(
    document: Document, missing: tuple[str | int, ...]
) -> None:
    ancestor = ("tools", "transfer", "action") if "action" in missing else ("tools", "transfer")
    assert document.place(missing) == document.value_place(missing) == document.place(ancestor)


def test_a_problem_says_file_place_path_and_sentence(document: Document) -> None:
    path = ("tools", "transfer", "rules", 0, "action")
    assert str(document.problem(path, "no")) == "p.yaml:7:10: tools.transfer.rules[0].action: no"
    assert str(document.problem(path, "no", at_value=True)) == "p.yaml:7:18: tools.transfer.rules[0].action: no"


@pytest.mark.parametrize(
    ("path", "rendered"),
    [
        ((), ""),
        (("tools", "json_*"), "tools.json_*"),
        (("methods", "logging/setLevel"), "methods.logging/setLevel"),
        (("$defs", "app_key"), "$defs.app_key"),
        (("tools", "a.b", "rules", 1), 'tools["a.b"].rules[1]'),
        (("resources", "file:///x/*"), 'resources["file:///x/*"]'),
        (("tools", "größe"), 'tools["größe"]'),
        (("tools", "a\u200bb"), 'tools["a\\u200bb"]'),
        ((0, "a"), "[0].a"),
    ],
)
def test_paths_are_rendered_so_that_names_cannot_be_mistaken(path: tuple[str | int, ...], rendered: str) -> None:
    assert render_path(path) == rendered


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: yes", "1:4: a: 'yes' is a boolean to YAML 1.1 and text to 1.2: write true, or \"yes\" for the text"),
        (
            "a: [0777]",
            "1:5: a[0]: '0777' is octal to YAML 1.1 and decimal to 1.2: write 511 or 777, or \"0777\" for the text",
        ),
        ("a: ~", "1:4: a: '~' is nothing, which is allowed nowhere: write a value, or \"~\" for the text"),
        ("a:\nb: 1", "1:3: a: expected a value, got nothing"),
        ("- a\n-", "2:2: [1]: expected a value, got nothing"),
        ("on: x", "1:1: on: a name must be text, and 'on' is a boolean to YAML 1.1 and text to 1.2: write \"on\""),
        ("404: x", "1:1: 404: a name must be text, got '404': write \"404\""),
        ("true: x", "1:1: true: a name must be text, got 'true': write \"true\""),
        ('"": x', "1:1: a name must not be empty"),
        ("<<: {a: b}", '1:1: ["<<"]: merge keys are not allowed: write the members out'),
        ("{a: b}: c", "1:1: a name must be text, got a mapping or list: what begins with { or [ needs quotes"),
        ("? [a, 1e3]\n: c", "1:3: a name must be text, got a mapping or list: what begins with { or [ needs quotes"),
        ("a: 1\nb: 2\na: 3", "3:1: a: duplicate key 'a', first at 1:1"),
        ('a: {b: c, "b": d}', "1:11: a.b: duplicate key 'b', first at 1:5"),
        ("a: &x b", "1:4: a: anchors are not allowed, got '&x': write the value out"),
        ("a: *x", '1:4: a: aliases are not allowed: write the value out, or "*x" if a * begins the text'),
        ("*_del: deny", '1:1: *_del: aliases are not allowed: write the value out, or "*_del" if a * begins the text'),
        ("a: !!str b", "1:4: a: tags are not allowed, got '!!str': remove it"),
        ("!x a: b", "1:1: a: tags are not allowed, got '!x': remove it"),
        ("a: !y {b: c}", "1:4: a: tags are not allowed, got '!y': remove it"),
        (
            'a: !!python/object/apply:os.system ["touch pwned"]',
            "1:4: a: tags are not allowed, got '!!python/object/apply:os.system': remove it",
        ),
        ("%YAML 1.1\n---\na: b", "1:1: directives are not allowed: remove the lines that begin with %"),
        ("a: b\n---\nc: d", "2:1: expected one document, a second one begins here"),
        ("a: b\rc: d", "1:5: a carriage return without a line feed is not allowed"),
        ("a: b\x07", "1:5: the character U+0007 is not allowed: write it as an escape in double quotes"),
        ("# \u202e\na: b", "1:3: the character U+202E is not allowed: write it as an escape in double quotes"),
        ("a: b\u2028c: d", "1:5: the character U+2028 is not allowed: write it as an escape in double quotes"),
        (
            "a\u200bb: c",
            '1:1: ["a\\u200bb"]: the name has an invisible character, U+200B: write it as an escape in double quotes',
        ),
        (
            "a\u3164: c",
            '1:1: ["a\\u3164"]: the name has an invisible character, U+3164: write it as an escape in double quotes',
        ),
        ('"a\\tb": c', '1:1: ["a\\tb"]: the name has a control character, U+0009'),
    ],
)
def test_what_yaml_lets_be_read_in_two_ways_is_refused_at_its_place(text: str, expected: str) -> None:
    assert problems(text) == [f"{FILE}:{expected}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a: b: c",
            "1:5: not YAML: mapping values are not allowed in this context (a text with ': ' in it needs quotes, and members align)",
        ),
        (
            "a:\n\tb: c",
            "2:1: not YAML: found character that cannot start any token (what begins with @, ` or % needs quotes, and a tab does not indent)",
        ),
        (
            "a:\n  b: c\n\td: e",
            "3:1: not YAML: found a tab character that violates indentation, while scanning a plain scalar from 2:6 (indent with spaces)",
        ),
        (
            "*: allow",
            "1:2: not YAML: did not find expected alphabetic or numeric character, while scanning an alias from 1:1 (what begins with * or & needs quotes)",
        ),
        (
            "tools: {a: allow",
            "1:17: not YAML: did not find expected ',' or '}', while parsing a flow mapping from 1:8 (a { is not closed)",
        ),
        (
            "version: 1\ntoo",
            "2:4: not YAML: could not find expected ':', while scanning a simple key from 2:1 (a key needs ': ' and a value; is the file cut off?)",
        ),
        (
            'a: "x',
            "1:6: not YAML: found unexpected end of stream, while scanning a quoted scalar from 1:4 (a quote is not closed)",
        ),
        (
            'a: "\\ud800"',
            "1:7: not YAML: found invalid Unicode character escape code, while parsing a quoted scalar from 1:4",
        ),
        ("%FOO\n---\na: b", "1:5: not YAML: found unknown directive name, while scanning a directive from 1:1"),
    ],
)
def test_what_is_no_yaml_is_refused_in_words_that_help(text: str, expected: str) -> None:
    assert problems(text) == [f"{FILE}:{expected}"]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "--- \n...\n", "\ufeff"])
def test_an_empty_file_is_refused(text: str) -> None:
    assert problems(text) == ["p.yaml: the file is empty, expected a mapping"]


def test_a_file_that_says_null_is_refused() -> None:
    assert problems("null") == [
        "p.yaml:1:1: 'null' is nothing, which is allowed nowhere: write a value, or \"null\" for the text"
    ]


def test_every_problem_is_reported_not_the_first() -> None:
    assert problems("limits: {a: 0777, b: 12:30:45, c: 1e3, d: .inf, e: .nan, f: -1, f: 2}\nno: &a b\n") == [
        "p.yaml:1:13: limits.a: '0777' is octal to YAML 1.1 and decimal to 1.2: write 511 or 777, or \"0777\" for the text",
        "p.yaml:1:22: limits.b: '12:30:45' is a base 60 number to YAML 1.1: write 45045, or \"12:30:45\" for the text",
        "p.yaml:1:35: limits.c: '1e3' is a number to some YAML and text to other YAML: write 1000, or \"1e3\" for the text",
        "p.yaml:1:43: limits.d: '.inf' is no finite number: write \".inf\" for the text",
        "p.yaml:1:52: limits.e: '.nan' is no finite number: write \".nan\" for the text",
        "p.yaml:1:65: limits.f: duplicate key 'f', first at 1:58",
        "p.yaml:2:1: no: a name must be text, and 'no' is a boolean to YAML 1.1 and text to 1.2: write \"no\"",
        "p.yaml:2:5: no: anchors are not allowed, got '&a': write the value out",
    ]


def test_what_can_be_read_beside_a_problem_is_read_and_has_its_place() -> None:
    text = b"a: yes\n<<: {x: {y: 1}}\n{q: r}: [1, 2]\nb: 1\nb: {c: [2]}\n'': {d: 3}\ne: [*f, 4]\n"
    document = parse(text, FILE)
    assert document.value == {"a": None, "b": 1, "e": [None, 4]}
    assert [document.value_place(path) for path in (("b",), ("e",), ("e", 1))] == [(4, 4), (7, 4), (7, 9)]
    assert [document.is_unclear(path) for path in (("a",), ("e",), ("e", 0), ("e", 1))] == [True, True, True, False]


@pytest.mark.parametrize("text", ["~", "a: [", "[" * 33, "- yes\n" * 1_001])
def test_what_gives_no_document_at_all_is_an_error(text: str) -> None:
    with pytest.raises(PolicyError):
        parse(text.encode(), FILE)


def test_problems_before_the_place_where_yaml_ends_are_kept() -> None:
    found = problems("a: yes\nb: [")
    assert found[0].startswith("p.yaml:1:4: a: 'yes'")
    assert found[1].startswith("p.yaml:2:5: not YAML: did not find expected node content")


def test_a_name_may_hold_an_invisible_character_that_is_written_as_an_escape() -> None:
    assert parse(b'"a\\u200bb": c', FILE).value == {"a\u200bb": "c"}


def test_quoted_text_is_text_whatever_it_looks_like() -> None:
    assert parse(b'a: "yes"\nb: \'0777\'\n"on": "~"\nc: \'\'\nd: |-\n  1e3\n', FILE).value == {
        "a": "yes",
        "b": "0777",
        "on": "~",
        "c": "",
        "d": "1e3",
    }


def test_line_ends_of_windows_and_a_byte_order_mark_change_nothing() -> None:
    document = parse(b"\xef\xbb\xbfa: b\r\nc: d\r\n", FILE)
    assert document.value == {"a": "b", "c": "d"}
    assert document.place(("c",)) == (2, 1)


def test_bytes_that_are_not_utf_8_are_refused_at_their_place() -> None:
    assert problems("größe: x\nü: ".encode() + b"\xff") == ["p.yaml:2:4: expected UTF-8, got the byte 0xff"]
    assert problems("a: b".encode("utf-16")) == ["p.yaml:1:1: expected UTF-8, got the byte 0xff"]


def test_a_file_over_the_limit_is_refused_unread() -> None:
    assert problems(b"[" * (MAX_BYTES + 1)) == ["p.yaml: expected at most 1048576 bytes, got 1048577"]


DEEPEST = "[0]" * 32


@pytest.mark.parametrize("text", [b"[" * 200_000, b"- " * 200_000, b"[\n" * 2_000, b"[" * 33 + b"]" * 33])
def test_deep_nesting_is_refused_at_once(text: bytes) -> None:
    begin = time.perf_counter()
    found = problems(text)
    assert time.perf_counter() - begin < 5.0
    assert len(found) == 1
    assert found[0].endswith(f"{DEEPEST}: nested deeper than 32 levels")


def test_nesting_of_32_levels_is_read() -> None:
    assert parse(b"[" * 32 + b"]" * 32, FILE).value


def test_an_alias_bomb_expands_nothing() -> None:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
    begin = time.perf_counter()
    found = problems("\n".join(lines))
    assert time.perf_counter() - begin < 5.0
    assert len(found) == 10 + 9 * 9
    assert found[0] == "p.yaml:1:5: l0: anchors are not allowed, got '&l0': write the value out"


def test_thousands_of_problems_are_counted_not_listed() -> None:
    found = problems("- yes\n" * 5_000)
    assert len(found) == 1_001
    assert found[-1] == "p.yaml: and 4000 more problems"


MARKS = ["a", "b", ": ", "\n", "  ", "- ", "{", "}", "[", "]", ",", "? ", "&x ", "*x", "!t ", "|", ">", '"', "'", "#"]
SLIPS = ["yes", "0777", "~", "<<", "\t", "\\", "%", "---\n", "...\n", "é", "\u200b", "\x00", "\r", "1", "1.5"]
SNIPPETS = st.lists(st.sampled_from([*MARKS, *SLIPS]), max_size=30).map("".join)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | SNIPPETS.map(str.encode))
@example(b"? ")
@example(b"? a\n? b\n")
@example(b"{a, b: }")
@example(b"{? [a] : b, ? [c] : d}")
def test_any_bytes_give_a_document_or_problems_with_places(text: bytes) -> None:
    refused: Sequence[Problem] = ()
    document = None
    try:
        document = parse(text, FILE)
    except PolicyError as error:
        refused = error.problems
    lines = text.count(b"\n") + 1
    if document is not None:
        refused = document.problems
    assert all(0 <= problem.line <= lines and problem.message for problem in refused)
    if document is None:
        assert refused
        return
    nodes: list[tuple[tuple[str | int, ...], object]] = [((), document.value)]
    while nodes:
        path, value = nodes.pop()
        # None stands where a value could not be read, and only beside a problem.
        assert isinstance(value, dict | list | str | int | float | bool) or (
            value is None and document.is_unclear(path)
        )
        assert document.place(path) <= document.value_place(path)
        members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        nodes += [((*path, key), member) for key, member in members]
