from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.policy.index import Index, glob_matches, is_nested

TEXT = st.text(alphabet="ab_*", max_size=8)
NAME = st.text(alphabet="ab_", max_size=10)


def matches_naively(glob: str, name: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in glob.split("*")), name, re.DOTALL) is not None


@given(TEXT, NAME)
def test_a_glob_matches_what_a_regular_expression_would(glob: str, name: str) -> None:
    assert glob_matches(glob, name) is matches_naively(glob, name)


@given(TEXT, TEXT, NAME)
def test_what_a_nested_glob_matches_the_outer_one_matches_too(inner: str, outer: str, name: str) -> None:
    if is_nested(inner, outer) and glob_matches(inner, name):
        assert glob_matches(outer, name)


@given(st.sets(TEXT, max_size=8), NAME)
def test_the_index_finds_what_a_scan_finds(globs: set[str], name: str) -> None:
    index = Index({glob: glob for glob in globs})
    assert set(index.find_all(name)) == {glob for glob in globs if matches_naively(glob, name)}


@given(st.sets(TEXT, max_size=8), NAME)
def test_no_block_is_found_beside_one_that_is_nested_in_it(globs: set[str], name: str) -> None:
    found = Index({glob: glob for glob in globs}).find(name)
    assert not any(is_nested(one, other) for one in found for other in found)


def test_an_exact_name_beats_every_glob() -> None:
    index = Index({"json_get": 1, "json_*": 2, "*": 3})
    assert index.find("json_get") == (1,)


def test_a_nested_glob_beats_the_wider_one() -> None:
    index = Index({"json_*": 1, "json_get*": 2, "*": 3})
    assert index.find("json_get_x") == (2,)


def test_crossing_globs_are_both_found() -> None:
    index = Index({"db_*": 1, "*_delete": 2})
    assert set(index.find("db_delete")) == {1, 2}
    assert list(index.crossing()) == [("*_delete", "db_*")]


def test_globs_that_share_no_name_do_not_cross() -> None:
    assert list(Index({"a_*": 1, "b_*": 2}).crossing()) == []


@pytest.mark.parametrize("name", ["Get_Value", "GET_VALUE", "get\u200b_value", "\uff47et_value", "get_value\ufe0f"])
def test_a_twin_is_noticed(name: str) -> None:
    assert Index({"get_value": 1}).is_twin(name)


@pytest.mark.parametrize("name", ["get_value", "get-value", "get_value2", "gеt_value"])
def test_the_name_itself_and_other_names_are_no_twins(name: str) -> None:
    assert not Index({"get_value": 1}).is_twin(name)


def test_two_exact_names_that_look_alike_are_no_twins_of_each_other() -> None:
    index = Index({"get_value": 1, "Get_Value": 2})
    assert not index.is_twin("get_value")
    assert not index.is_twin("Get_Value")
    assert index.is_twin("GET_VALUE")


@pytest.mark.parametrize("name", ["GET_x", "get_", "get_*", "GET_*"])
def test_globs_have_no_twins(name: str) -> None:
    assert not Index({"get_*": 1}).is_twin(name)


def test_a_name_that_a_glob_covers_is_a_twin_all_the_same() -> None:
    index = Index({"get_value": 1, "*": 2})
    assert index.find("Get_Value") == (2,)
    assert index.is_twin("Get_Value")


def test_an_empty_section_is_false_and_knows_no_twins() -> None:
    assert not Index({})
    assert Index({"a": 1})
    assert Index({"*": 1})
    assert not Index({}).is_twin("a")


def test_a_question_mark_and_brackets_are_ordinary_characters() -> None:
    assert fnmatch.fnmatchcase("ab", "a?")
    assert not glob_matches("a?", "ab")
    assert glob_matches("[ab]*", "[ab]c")


def test_what_lies_within_a_glob_governs_some_of_its_names_in_place_of_what_governs_all() -> None:
    index = Index({name: name for name in ("*", "pay_*", "pay_eu_*", "*_x", "pay_x", "other", "p*y_z")})
    assert set(index.within("pay_*")) == {"pay_eu_*", "pay_x"}
    assert set(index.within("pay_eu_*")) == set()
    assert set(index.within("p*")) == {"pay_*", "pay_eu_*", "*_x", "pay_x", "p*y_z"}
    assert index.within("pay_x") == ()
