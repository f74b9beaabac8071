"""Values and comments as YAML that the strict reader takes as they are meant."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from authz.app.importing.yaml_text import flow_text, yaml_text
from authz.policy.text.document import parse

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
SCALARS = st.one_of(
    TEXTS,
    st.sampled_from(["no", "1e3", "0777", "12:30:45", "a: b", "a #b", "- a", "*", "", "null", "~", "1d", "2024-01-01"]),
    st.integers(-(2**62), 2**62),
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda one: round(one, 9)),
    st.booleans(),
)
NAMES = st.one_of(st.sampled_from(["get_*", "a b", "y", "12", "größe"]), st.from_regex(r"[a-z_]{1,12}", fullmatch=True))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=20
)


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), TEXTS)
def test_what_is_written_is_read_as_it_was(value: dict[str, Any], comment: str) -> None:
    comments = {(): [comment], (next(iter(value)),): [comment, "second"]}
    document = parse(yaml_text(value, comments, ("a",)).encode(), "written.yaml")
    assert not document.problems
    assert document.value == value


def test_small_numbers_have_no_exponent() -> None:
    assert flow_text({"a": 0.00001, "b": 1.5, "c": -3}) == "{a: 0.00001, b: 1.5, c: -3}"


def test_what_readers_disagree_about_is_quoted() -> None:
    assert flow_text(["no", "1e3", "1d", "a, b", "x y", 'say "hi"']) == '["no", "1e3", 1d, "a, b", x y, "say \\"hi\\""]'


def test_long_mappings_stand_on_lines_of_their_own() -> None:
    long = {f"member_{at}": "some text of a length" for at in range(8)}
    text = yaml_text({"tools": {"t": {"list": [long, {}, []], "short": {"a": 1}}}}, {("tools", "t"): ["about t"]})
    assert text.splitlines()[:5] == [
        "tools:",
        "  # about t",
        "  t:",
        "    list:",
        "      - member_0: some text of a length",
    ]
    assert text.splitlines()[5] == "        member_1: some text of a length"
    assert text.splitlines()[-3:] == ["      - {}", "      - []", "    short: {a: 1}"]
