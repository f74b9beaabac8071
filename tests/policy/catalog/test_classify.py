"""What a tool's definition says of it: each kind of evidence on its own."""

from __future__ import annotations

from typing import Any

import pytest

from authz.policy.catalog import signs
from authz.policy.catalog.classify import Classification, classify
from authz.policy.catalog.definition import Definition, digest_of, words_of
from authz.policy.catalog.entry import Category, Risk

READ, WRITE, EXECUTE = Category.READ, Category.WRITE, Category.EXECUTE
DESTRUCTIVE, FINANCIAL = Category.DESTRUCTIVE, Category.FINANCIAL


def judge(name: str, description: str = "", *server: str, hints: Any = None, **arguments: Any) -> Classification:
    schema = {"type": "object", "properties": arguments}
    return classify(Definition(name, "", description, hints or {}, schema), server)


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("get_user", READ),
        ("listUsers", READ),
        ("create-user", WRITE),
        ("StartAHORun", EXECUTE),
        ("slack_post_message", WRITE),
        ("deleteUser", DESTRUCTIVE),
        ("create_refund", FINANCIAL),
        ("pay", FINANCIAL),
    ],
)
def test_the_verb_of_the_name_decides(name: str, category: Category) -> None:
    assert judge(name).categories == (category,)


def test_a_verb_that_is_joined_counts_too() -> None:
    assert judge("search_and_delete").categories == (DESTRUCTIVE,)


def test_what_only_reads_about_something_dangerous_reads() -> None:
    assert judge("get_import_job", "Returns a job that deletes").categories == (READ,)
    assert judge("list_refunds", "Lists refunds").categories == (READ,)


def test_without_any_evidence_a_tool_may_do_anything() -> None:
    found = judge("frobnicate", "Frobnicates.")
    assert (found.categories, found.risk, found.confidence) == ((EXECUTE,), Risk.HIGH, 0.3)
    assert found.why == "Execute: nothing in its definition says what it does, so it may do anything."


def test_the_servers_word_that_it_only_reads_is_no_evidence() -> None:
    assert judge("frobnicate", hints={"readOnlyHint": True}).categories == (EXECUTE,)
    assert judge("delete_user", hints={"readOnlyHint": True, "destructiveHint": False}).categories == (DESTRUCTIVE,)


def test_the_servers_word_that_it_writes_is_taken() -> None:
    found = judge("get_user", hints={"readOnlyHint": False})
    assert found.categories == (WRITE,)
    assert "its server says that it is not read-only" in found.evidence


def test_the_servers_word_that_it_may_destroy_raises_the_risk() -> None:
    assert judge("create_user").risk is Risk.MEDIUM
    assert judge("create_user", hints={"destructiveHint": True}).risk is Risk.HIGH


def test_the_description_adds_what_the_name_hides() -> None:
    assert judge("users", "This tool will delete users.").categories == (DESTRUCTIVE,)
    assert judge("update_users", "Update users. This cannot be undone.").categories == (DESTRUCTIVE,)


@pytest.mark.parametrize(
    "text", ["Read a file. It never overwrites.", "Read it, which is not irreversible.", "A non-destructive look."]
)
def test_what_a_description_denies_is_no_evidence(text: str) -> None:
    assert judge("read_it", text).categories == (READ,)


@pytest.mark.parametrize("argument", ["command", "sql", "code", "script", "javascript"])
def test_an_argument_whose_text_is_run_makes_it_execute(argument: str) -> None:
    found = judge("get_it", "", **{argument: {"type": "string"}})
    assert (found.categories, found.risk) == ((EXECUTE,), Risk.CRITICAL)
    assert f"argument {argument!r} takes what is run" in found.evidence


def test_an_argument_of_that_name_that_is_no_text_to_run_does_not() -> None:
    assert judge("get_it", code={"type": "integer"}).categories == (READ,)
    assert judge("get_it", code={"type": "string", "description": "ISO country code"}).categories == (READ,)
    assert judge("get_it", code={"enum": ["a", "b"]}).categories == (READ,)


def test_a_query_is_run_where_it_is_a_language() -> None:
    assert judge("search", "Search for pages", query={"type": "string"}).categories == (READ,)
    assert judge("query", "Query with SQL", query={"type": "string"}).categories == (EXECUTE,)


def test_an_enumerated_action_tells_what_else_it_does() -> None:
    found = judge("view_items", operation={"enum": ["list", "delete", 1]})
    assert found.categories == (DESTRUCTIVE,)
    assert "argument 'operation' can be 'delete'" in found.evidence
    http = judge("view_items", method={"type": "string", "description": "HTTP method"})
    assert http.categories == (EXECUTE,)


def test_managing_is_writing_and_destroying() -> None:
    assert judge("manage_users").categories == (DESTRUCTIVE,)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("url", "argument 'url' lets the caller choose an address"),
        ("path", "argument 'path' lets the caller choose a file"),
        ("role_arn", "argument 'role_arn' is about rights"),
    ],
)
def test_arguments_that_reach_far_raise_the_risk(argument: str, sentence: str) -> None:
    found = judge("get_it", **{argument: {"type": "string"}})
    assert found.risk is Risk.MEDIUM
    assert sentence in found.evidence
    assert sentence in found.why


def test_what_widens_a_destructive_call_makes_it_critical() -> None:
    assert judge("delete_it").risk is Risk.HIGH
    assert judge("delete_it", force={"type": "boolean"}).risk is Risk.CRITICAL


def test_an_argument_that_says_where_the_result_goes_writes() -> None:
    assert judge("get_report", output_path={"type": "string"}).categories == (WRITE,)


def test_secrets_and_peoples_data_raise_the_risk() -> None:
    assert judge("get_secret").risk is Risk.MEDIUM
    assert judge("get_record", "Get a patient record").risk is Risk.MEDIUM
    assert judge("get_record", "Get a record; be patient").risk is Risk.LOW


def test_what_may_be_money_is_where_something_else_says_so() -> None:
    assert judge("create_order", "Create an order of the list").categories == (WRITE,)
    assert judge("create_order", "", "Alpaca trading").categories == (FINANCIAL,)
    assert judge("create_order", "", qty={"type": "number"}, limit_price={"type": "number"}).categories == (FINANCIAL,)
    assert judge("close_position", "Place a sell order").categories == (FINANCIAL,)
    assert judge("create_it", "", "stripe", amount={"type": "integer"}).categories == (FINANCIAL,)


def test_two_grave_categories_are_critical() -> None:
    found = judge("cancel_subscription", "", "stripe")
    assert (found.categories, found.risk) == ((FINANCIAL, DESTRUCTIVE), Risk.CRITICAL)


def test_in_a_browser_a_page_decides_what_happens() -> None:
    assert judge("browser_drop", "Drop files", "playwright").categories == (EXECUTE,)
    assert judge("drop_table", "Drop a table").categories == (DESTRUCTIVE,)


def test_arguments_within_one_wrapper_are_seen() -> None:
    wrapped = {"type": "object", "properties": {"sql": {"type": "string"}}}
    assert judge("get_it", params=wrapped).categories == (EXECUTE,)


def test_signs_that_disagree_make_it_less_sure() -> None:
    assert judge("get_it", "Get it").confidence > judge("get_it", "Delete it").confidence


@pytest.mark.parametrize("schema", [{"properties": 1}, {"properties": {"a": 1, "query": True}}, {}])
def test_schemas_that_are_none_are_survived(schema: Any) -> None:
    assert classify(Definition("get_it", input_schema=schema)).categories == (READ,)


def test_no_word_is_in_two_tables() -> None:
    said = [word for words in signs.VERBS for word in words.split()]
    assert len(said) == len(set(said))
    assert not signs.MONEY & signs.MAYBE_MONEY


def test_names_are_split_into_words() -> None:
    assert words_of("StartAHORun") == words_of("start-aho_run") == ("start", "aho", "run")
    assert words_of("getURL2") == ("get", "url2")


def test_the_digest_is_of_all_that_defines_a_tool() -> None:
    plain = Definition("a", "t", "d", {"readOnlyHint": True}, {"type": "object"})
    same = Definition("a", "t", "d", {"readOnlyHint": True}, {"type": "object"})
    assert digest_of(plain) == digest_of(same)
    others = [
        Definition("b", "t", "d", {"readOnlyHint": True}, {"type": "object"}),
        Definition("a", "u", "d", {"readOnlyHint": True}, {"type": "object"}),
        Definition("a", "t", "e", {"readOnlyHint": True}, {"type": "object"}),
        Definition("a", "t", "d", {"readOnlyHint": False}, {"type": "object"}),
        Definition("a", "t", "d", {"readOnlyHint": True}, {"type": "object", "properties": {}}),
    ]
    assert len({digest_of(one) for one in [plain, *others]}) == 6
