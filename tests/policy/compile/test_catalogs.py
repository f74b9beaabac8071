"""Policies and the catalogues of their servers: what is refused, what stays in force, what is compiled again."""

# ruff: noqa: E501 - messages are tested whole and stand on one line
from __future__ import annotations

import pytest

from authz.model import Call as Asked
from authz.model import Effect, Message, MessageKind, Principal, Target, TargetKind
from authz.policy.compile.file import PolicyContext
from authz.policy.compile.policies import compile_policies
from authz.policy.evaluate import evaluate
from authz.policy.selection import PolicySet

CONTEXT = PolicyContext()
NEEDS = "version: 1\ncategories: {Read: allow}\n"
PLAIN = "version: 1\ntools: {a: allow}\n"
CATALOG = "version: 1\ntools: {a: {categories: [Read], risk: Low}}\n"
BROKEN = "version: 1\ntools: {a: {categories: [Reed], risk: Low}}\n"
MISTAKE = (
    "catalog/p.yaml:2:26: tools.a.categories[0]: "
    "expected one of Read, Write, Execute, Destructive, Financial, got 'Reed', did you mean 'Read'?"
)


def load(previous: PolicySet | None = None, **files: str) -> PolicySet:
    """`files` by name, in which `__` stands for `/`."""
    read = {f"{name.replace('__', '/')}.yaml": text.encode() for name, text in files.items()}
    return compile_policies(read, CONTEXT, previous)


def words(found: PolicySet) -> list[str]:
    return [str(problem) for problem in found.problems]


def warnings(found: PolicySet) -> list[str]:
    return [str(warning) for warning in found.warnings]


def allows(found: PolicySet, tool: str, server: str = "p") -> bool:
    target = Target(TargetKind.TOOL, tool)
    message = Message(MessageKind.REQUEST, "tools/call", targets=(target,))
    asked = Asked(server, message, Principal(), address="192.0.2.1")
    return evaluate(found.policies[server], found.baselines, asked).effect is Effect.ALLOW


def test_a_policy_and_its_catalogue_meet_by_the_name_of_the_server() -> None:
    found = load(p=NEEDS, q=NEEDS, catalog__other="version: 1\nserver: p\n" + CATALOG.partition("\n")[2])
    assert words(found) == []
    assert allows(found, "a")
    assert not allows(found, "b")
    assert not allows(found, "a", "q")


def test_at_the_start_a_broken_catalogue_stops_the_policy_that_decides_by_it() -> None:
    found = load(p=NEEDS, q=PLAIN, catalog__p=BROKEN)
    assert words(found) == [MISTAKE, "p.yaml:2:1: categories: needs the catalogue catalog/p.yaml, which does not load"]
    assert found.broken == {"p"}
    assert set(found.policies) == {"q"}
    assert not found.fatal


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("tools: {'*': {action: allow, strict_arguments: true}}", "p.yaml:2:30: tools.*.strict_arguments"),
        ("tools: {a: {action: allow, strict_arguments: true}}", "p.yaml:2:28: tools.a.strict_arguments"),
        ("tools: {a: {action: allow, when: \"catalog.risk == 'Low'\"}}", "p.yaml:2:28: tools.a.when"),
        ("limits: [{max: 9, window: 1, cost: \"catalog.risk == 'Low' ? 1 : 2\"}]", "p.yaml:2:30: limits[0].cost"),
    ],
)
def test_strictness_conditions_and_costs_need_the_catalogue_too(text: str, place: str) -> None:
    found = load(p=f"version: 1\n{text}\n", catalog__p=BROKEN)
    assert words(found) == [MISTAKE, f"{place}: needs the catalogue catalog/p.yaml, which does not load"]


def test_a_policy_that_decides_without_it_works_beside_a_broken_catalogue() -> None:
    found = load(p=PLAIN, catalog__p=BROKEN)
    assert words(found) == [MISTAKE]
    assert found.degraded
    assert allows(found, "a")


def test_without_a_catalogue_all_is_unknown_and_that_is_said() -> None:
    found = load(p=NEEDS)
    assert warnings(found) == [
        "p.yaml:2:1: categories: there is no catalogue of this server (catalog/p.yaml): every tool is Unknown"
    ]
    assert not allows(found, "a")
    assert "(team/catalog/p.yaml)" in warnings(load(team__p=NEEDS))[0]


def test_on_reload_the_last_good_catalogue_stays() -> None:
    before = load(p=NEEDS, catalog__p=CATALOG)
    found = load(before, p=NEEDS, catalog__p=BROKEN)
    assert words(found) == [MISTAKE]
    assert found.policies["p"] is before.policies["p"]
    assert allows(found, "a")
    assert words(load(found, p=NEEDS, catalog__p=BROKEN)) == [MISTAKE]
    # also for a policy that is compiled anew beside it
    assert allows(load(found, p=f"{NEEDS}description: new\n", catalog__p=BROKEN), "a")


def test_a_changed_catalogue_compiles_its_servers_policy_again_and_no_other() -> None:
    before = load(p=NEEDS, q=NEEDS, catalog__p=CATALOG, catalog__q=CATALOG)
    found = load(before, p=NEEDS, q=NEEDS, catalog__p=CATALOG.replace("a:", "b:"), catalog__q=CATALOG)
    assert (allows(found, "a"), allows(found, "b"), allows(found, "a", "q")) == (False, True, True)
    assert found.policies["q"] is before.policies["q"]
    assert found.revision != before.revision
    again = load(found, p=NEEDS, q=NEEDS, catalog__p=CATALOG, catalog__q=CATALOG)
    assert again.revision == before.revision


def test_a_policy_is_healed_by_its_catalogue() -> None:
    before = load(p=NEEDS, q=PLAIN, catalog__p=BROKEN)
    assert allows(load(before, p=NEEDS, q=PLAIN, catalog__p=CATALOG), "a")


def test_a_catalogue_that_is_gone_leaves_what_still_compiles() -> None:
    strict = "version: 1\ntools: {a: {action: allow, strict_arguments: true}}\n"
    schema = "version: 1\ntools: {a: {categories: [Read], risk: Low, input_schema: {type: object}}}\n"
    before = load(p=strict, q=NEEDS, catalog__p=schema, catalog__q=CATALOG)
    found = load(before, p=strict, q=NEEDS)
    assert words(found) == [
        "p.yaml:2:28: tools.a.strict_arguments: needs a catalogue (catalog/p.yaml) with the tool 'a'"
    ]
    assert found.policies["p"] is before.policies["p"]
    assert not allows(found, "a", "q")


def test_two_catalogues_of_one_server_are_none() -> None:
    found = load(p=NEEDS, catalog__p=CATALOG, catalog__x=f"server: p\n{CATALOG}")
    assert words(found) == [
        "catalog/p.yaml: server 'p' has another catalogue in catalog/x.yaml; only one file may be for it",
        "catalog/x.yaml: server 'p' has another catalogue in catalog/p.yaml; only one file may be for it",
        "p.yaml:2:1: categories: needs the catalogue catalog/x.yaml, which does not load",
    ]
    assert allows(load(found, p=NEEDS, catalog__p=CATALOG), "a")


def test_catalogues_alone_are_no_policies() -> None:
    before = load(p=PLAIN)
    found = load(before, catalog__p=CATALOG)
    assert words(found) == [": no policy file is left; the last good policies stay in force"]
    assert load(catalog__p=CATALOG).fatal


BASELINE = "version: 1\nserver: '*'\ncategories: {Destructive: deny}\n"


def test_a_baseline_that_decides_by_the_catalogue_stops_a_server_whose_catalogue_is_broken() -> None:
    found = load(baseline=BASELINE, p=PLAIN, q=PLAIN, catalog__p=BROKEN)
    needs = "p.yaml: needs the catalogue catalog/p.yaml, which does not load: baseline.yaml decides by it"
    assert words(found) == [MISTAKE, needs]
    assert (found.broken, set(found.policies), found.fatal) == ({"p"}, {"q"}, False)
    # which stays so, until one of them changes
    assert load(found, baseline=BASELINE, p=PLAIN, q=PLAIN, catalog__p=BROKEN).broken == {"p"}
    assert allows(load(found, baseline=PLAIN.replace("1", "1\nserver: '*'", 1), p=PLAIN, catalog__p=BROKEN), "a")
    assert allows(load(found, baseline=BASELINE, p=PLAIN, catalog__p=CATALOG), "a")


def test_a_server_that_ran_stays_as_it_was_when_its_first_catalogue_is_broken() -> None:
    before = load(baseline=BASELINE, p=PLAIN)
    found = load(before, baseline=BASELINE, p=PLAIN, catalog__p=BROKEN)
    assert len(words(found)) == 2
    assert found.policies["p"] is before.policies["p"]


def test_a_shadow_policy_has_the_catalogue_of_the_server_it_watches() -> None:
    shadow = "version: 1\nserver: p\nshadow: true\ncategories: {Read: allow}\n"
    found = load(p=PLAIN, next=shadow, catalog__p=CATALOG)
    (watching,) = found.beside("p")
    assert watching.catalog is found.policies["p"].catalog
    assert "a" in watching.catalog.tools


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tools: {b: {action: allow, strict_arguments: true}}", "2:28: tools.b.strict_arguments: needs the catalogue catalog/p.yaml with the tool 'b'"),
        ("tools: {tolo: {action: allow, strict_arguments: true}}", "2:31: tools.tolo.strict_arguments: needs the catalogue catalog/p.yaml with the tool 'tolo', did you mean 'tool'?"),
        ("tools: {bare: {action: allow, strict_arguments: true}}", "2:31: tools.bare.strict_arguments: needs an input schema of 'bare' in the catalogue"),
        ("tools: {loop: {action: allow, strict_arguments: true}}", "2:31: tools.loop.strict_arguments: the catalogue's input schema of 'loop' cannot be checked: it refers to itself at '#'; recursive schemas are not supported"),
        ("categories: {Unknown: {action: allow, strict_arguments: true}}", "2:39: categories.Unknown.strict_arguments: a tool that the catalogue lacks has no input schema: no call would ever pass"),
        ("prompts: {a: {action: allow, strict_arguments: true}}", "2:30: prompts.a.strict_arguments: only tools are in the catalogue, prompts are not"),
        ("prompts: {a: {action: allow, when: \"catalog.risk == 'Low'\"}}", "2:30: prompts.a.when: only tools are in the catalogue, prompts are not"),
        ("methods: {tools/call: {action: allow, require: \"catalog.risk == 'Low'\"}}", "2:39: methods.tools/call.require: only tools are in the catalogue, methods are not"),
        ("resources: {a: {action: allow, rate_limit: {max: 9, window: 1, cost: \"catalog.risk == 'Low' ? 1 : 2\"}}}", "2:64: resources.a.rate_limit.cost: only tools are in the catalogue, resources are not"),
        ("tools: {tool: {action: allow, require: \"args.other == 'x'\"}}", "2:31: tools.tool.require: args.other has no declared type; add arguments: {properties: {other: {type: string}}}"),
        ("tools: {tool: {action: allow, require: \"args.a == 1\"}}", "2:31: tools.tool.require: args.a is declared string, but is compared with 1"),
        ("tools: {'*': {action: allow, require: \"args.a == 'x'\"}}", "2:30: tools.*.require: args.a has no declared type; add arguments: {properties: {a: {type: string}}}"),
        ("categories: {Reed: allow}", "2:14: categories.Reed: unknown key 'Reed', did you mean 'Read'?"),
        ("categories: {Read: alow}", "2:20: categories.Read: expected allow, deny, require_approval, or a mapping with action or rules, got 'alow', did you mean 'allow'?"),
    ],
)  # fmt: skip
def test_what_the_catalogue_does_not_bear_out_is_refused(text: str, problem: str) -> None:
    schema = "input_schema: {type: object, properties: {a: {type: string}}}"
    catalog = (
        f"version: 1\ntools:\n  tool: {{categories: [Read], risk: Low, {schema}}}\n"
        "  bare: {categories: [Write], risk: Low}\n"
        "  loop: {categories: [Read], risk: Low, input_schema: {properties: {a: {$ref: '#'}}}}\n"
    )
    assert words(load(p=f"version: 1\n{text}\n", catalog__p=catalog)) == [f"p.yaml:{problem}"]


def test_strict_globs_and_categories_say_which_tools_they_deny_altogether() -> None:
    catalog = (
        "version: 1\ntools:\n  g_bare: {categories: [Read], risk: Low}\n  bare: {categories: [Read], risk: Low}\n"
        "  loop: {categories: [Read], risk: Low, input_schema: {$ref: '#'}}\n"
    )
    text = (
        "version: 1\ntools: {'g_*': {action: allow, strict_arguments: true}}\n"
        "categories: {Read: {action: allow, strict_arguments: true}}\n"
    )
    assert warnings(load(p=text, catalog__p=catalog)) == [
        "p.yaml:2:32: tools.g_*.strict_arguments: denies every call of 'g_bare': it has no input schema",
        "p.yaml:3:36: categories.Read.strict_arguments: denies every call of 'bare': it has no input schema",
        "p.yaml:3:36: categories.Read.strict_arguments: denies every call of 'loop': it refers to itself at '#'; recursive schemas are not supported",
    ]


def test_a_category_that_asks_forbids_continuations_that_name_no_tool() -> None:
    found = load(p="version: 1\ncategories: {Write: require_approval}\n", catalog__p=CATALOG)
    assert found.policies["p"].forbids_unnamed_continuations


def test_types_come_from_every_tool_that_a_glob_is_chosen_for() -> None:
    typed = "{type: object, properties: {a: {type: string}, l: {type: array, items: {type: integer}}}}"
    other = "{type: object, properties: {a: {type: integer}}, patternProperties: {'(?=x)': {}}}"
    catalog = (
        f"version: 1\ntools:\n  g_one: {{categories: [Read], risk: Low, input_schema: {typed}}}\n"
        f"  g_two: {{categories: [Read], risk: Low, input_schema: {typed.replace('string', 'integer')}}}\n"
        f"  h_one: {{categories: [Read], risk: Low, input_schema: {other}}}\n"
    )
    text = "version: 1\ntools: {'g_*': {action: allow, require: \"args.a in ['x', 'y'] || args.l[0] > 1\"}}\n"
    found = load(p=text, catalog__p=catalog)
    assert words(found) == []
    (block,) = found.policies["p"].sections[TargetKind.TOOL].find("g_one")
    arguments = block.rules[0].arguments
    assert arguments is not None
    assert arguments.check({"a": "x", "l": [1]}) is None
    assert arguments.check({"a": 1, "l": [1], "more": True}) is None
    assert arguments.check({"a": True}) is not None
    assert arguments.check({"l": ["1"]}) is not None
    # what cannot be looked at declares nothing
    refused = load(p=text.replace("g_*", "h_*"), catalog__p=catalog)
    assert words(refused)[0].startswith("p.yaml:2:32: tools.h_*.require: args.a has no declared type")


def test_a_cost_knows_what_the_input_schema_requires() -> None:
    catalog = (
        "version: 1\ntools:\n  pay: {categories: [Financial], risk: Low, input_schema: "
        "{properties: {amount: {type: number}, tip: {type: number}}, required: [amount]}}\n"
    )
    text = "version: 1\ntools: {pay: {action: allow, rate_limit: {max: 9, window: 1, cost: args.COST}}}\n"
    assert warnings(load(p=text.replace("COST", "amount"), catalog__p=catalog)) == []
    assert warnings(load(p=text.replace("COST", "tip"), catalog__p=catalog)) == [
        "p.yaml:2:62: tools.pay.rate_limit.cost: args.tip is not required: a call without it is denied"
    ]
