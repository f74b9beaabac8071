from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.names import fold, is_doubtful


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_is_folded_like_any_other_text(text: str) -> None:
    assert fold(text) == "".join(char for char in text if char.isprintable() and not char.isspace()).lower()


@pytest.mark.parametrize(
    "name",
    ["", "x" * 129, "a\n", "a\x00b", "\ud800", " a", "a ", "a\u00a0", "\u202egnirts", "\ufeffa", "a\u2028b", "a\x7f"],
)
def test_a_name_that_hides_what_it_is_is_doubtful(name: str) -> None:
    assert is_doubtful(name)


@pytest.mark.parametrize("name", ["get_value", "a b", "x" * 128, "größe", "データ", "می\u200cخواهم", "👩\u200d💻"])
def test_other_names_are_names_like_any_other(name: str) -> None:
    assert not is_doubtful(name)


@pytest.mark.parametrize("name", ["get\u2800", "\u2800get", "g\u3164et", "get\u034f", "get\ufe0f"])
def test_a_name_with_what_nobody_sees_is_a_twin(name: str) -> None:
    assert fold(name) == "get"
