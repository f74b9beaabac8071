"""Warnings of what is probably not meant, each with its place: unreachable, unjudgeable, unknown or too wide."""

# ruff: noqa: E501 - messages are tested whole and stand on one line
from __future__ import annotations

import pytest

from authz.policy.compile.file import PolicyContext
from authz.policy.compile.policies import compile_policies

CATALOG = """\
version: 1
tools:
  get_value:
    categories: [Read]
    risk: Low
    input_schema: {type: object, properties: {key: {type: string}, options: {type: object}}}
  get_all: {categories: [Read], risk: Low, input_schema: {type: object, properties: {limit: {type: integer}}}}
  free: {categories: [Write], risk: Low, input_schema: {type: object, additionalProperties: {type: string}}}
  purge: {categories: [Destructive, Write], risk: High, recommended: require_approval}
  wipe: {categories: [Destructive], risk: Critical, recommended: {action: deny}}
  run: {categories: [Execute], risk: Critical}
prompts: {review: {title: Review}}
"""


def warned(text: str, *, catalog: str = CATALOG) -> list[str]:
    files = {"p.yaml": f"version: 1\n{text}\n".encode()}
    if catalog:
        files["catalog/p.yaml"] = catalog.encode()
    found = compile_policies(files, PolicyContext())
    assert [str(problem) for problem in found.problems] == []
    return [str(warning).removeprefix("p.yaml:") for warning in found.warnings]


NAMES = [
    ("tools: {get_valeu: allow}", ["2:9: tools.get_valeu: the catalogue has no tool 'get_valeu', did you mean 'get_value'?"]),
    ("tools: {zzz: deny}", ["2:9: tools.zzz: the catalogue has no tool 'zzz'"]),
    ("tools: {'put_*': allow}", ["2:9: tools.put_*: matches no tool of the catalogue"]),
    ("tools: {get_value: allow, 'get_*': allow}", []),
    ("prompts: {reveiw: allow}", ["2:11: prompts.reveiw: the catalogue has no prompt 'reveiw', did you mean 'review'?"]),
    ("prompts: {'*': allow}", []),
    ("tools: {get_value: allow}\nlimits: [{max: 9, window: 1, tools: [get_value, get_vale]}]", [
        "3:49: limits[0].tools[1]: nobody can reach it: every call of 'get_vale' is denied",
        "3:49: limits[0].tools[1]: the catalogue has no tool 'get_vale', did you mean 'get_value'?",
    ]),
    # arguments
    ("tools: {get_value: {action: allow, arguments: {properties: {kye: {type: string}}}}}", [
        "2:61: tools.get_value.arguments.properties.kye: in the catalogue 'get_value' has no argument 'kye', did you mean 'key'?"
    ]),
    ("tools: {'get_*': {action: allow, arguments: {properties: {key: {type: string}, limit: {type: integer}, x: {type: string}}}}}", [
        "2:104: tools.get_*.arguments.properties.x: in the catalogue none of the tools has an argument 'x'"
    ]),
    ("tools: {free: {action: allow, arguments: {properties: {x: {type: string}}}}}", []),
    ("tools: {wipe: {action: allow, arguments: {properties: {x: {type: string}}}}}", []),
    # literals
    ("tools: {'get_*': {action: allow, when: \"target.name == 'get_vlue'\"}}", [
        "2:34: tools.get_*.when: target.name is compared with 'get_vlue', which the catalogue lacks, did you mean 'get_value'?"
    ]),
    ("tools: {'*': {action: allow, require: [\"!(target.name in ['wipe', 'wype', 'run'])\"]}}", [
        "2:40: tools.*.require[0]: target.name is compared with 'wype', which the catalogue lacks, did you mean 'wipe'?"
    ]),
    ("tools: {'get_*': {action: allow, when: \"'get_all' != target.name\"}}", []),
]  # fmt: skip


NO_CATALOG = "3:1: categories: there is no catalogue of this server (catalog/p.yaml): every tool is Unknown"


@pytest.mark.parametrize(("text", "expected"), NAMES)
def test_names_that_the_catalogue_lacks_are_warned_of(text: str, expected: list[str]) -> None:
    assert warned(text) == expected


def test_without_a_catalogue_no_name_is_doubted() -> None:
    assert warned("tools: {anything: {action: allow, when: \"target.name == 'x'\"}}", catalog="") == []
    assert warned("tools: {anything: allow}", catalog="version: 1\n") == []


WIDE = "lets every caller do anything with"
NARROW = "narrow it by principals, when, arguments, require or approval"
RISKS = [
    ("tools: {purge: allow}", [f"2:9: tools.purge: {WIDE} 'purge' (risk High): {NARROW}, or limit it; the catalogue recommends require_approval"]),
    ("tools: {wipe: {action: allow, rate_limit: 1/day}}", [f"2:9: tools.wipe: {WIDE} 'wipe' (risk Critical): {NARROW}; the catalogue recommends deny"]),
    ("tools: {'*': allow}", [f"2:9: tools.*: {WIDE} 'purge' (risk High), 'wipe' (risk Critical), 'run' (risk Critical): {NARROW}; the catalogue recommends deny or require_approval"]),
    ("default: allow", [f"2:1: default: {WIDE} 'purge' (risk High), 'wipe' (risk Critical), 'run' (risk Critical): {NARROW}; the catalogue recommends deny or require_approval"]),
    ("categories: {Execute: {action: allow, reason: x}}", [f"2:14: categories.Execute: {WIDE} 'run' (risk Critical): {NARROW}"]),
    # narrow enough
    ("tools: {purge: {action: allow, rate_limit: 1/day}}", []),
    ("tools: {purge: allow}\nlimits: [{max: 9, window: 1}]", []),
    ("tools: {wipe: {action: allow, principals: ['group:ops']}}", []),
    ("tools: {wipe: {action: allow, when: \"source.address == '192.0.2.1'\"}}", []),
    ("tools: {wipe: require_approval, run: deny, purge: deny}", []),
    ("tools: {wipe: {arguments: {properties: {a: {type: string}}}, rules: [{action: allow}]}}", []),
    ("default: require_approval", []),
    # of several categories or crossing globs all have to let it through
    ("categories: {Write: allow, Destructive: require_approval}", []),
    ("tools: {'w*': allow, '*e': require_approval}", [
        "2:22: tools.*e: '*e' and 'w*' can match the same name: both apply and the stricter outcome counts"
    ]),
    # a catch-all rule behind a narrow one
    ("tools: {wipe: {rules: [{principals: ['group:ops'], action: require_approval}, {action: allow}]}}", [
        f"2:9: tools.wipe: {WIDE} 'wipe' (risk Critical): {NARROW}; the catalogue recommends deny"
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), RISKS)
def test_rules_wider_than_the_risk_suggests_are_warned_of(text: str, expected: list[str]) -> None:
    assert warned(text) == expected


def test_of_many_tools_the_first_are_named() -> None:
    tools = "\n".join(f"  t{at}: {{categories: [Execute], risk: High}}" for at in range(5))
    assert warned("tools: {'*': {action: allow, reason: x}}", catalog=f"version: 1\ntools:\n{tools}\n") == [
        f"2:9: tools.*: {WIDE} 't0' (risk High), 't1' (risk High), 't2' (risk High) and 2 more: {NARROW}, or limit it"
    ]


UNREACHABLE = [
    ("tools: {a: {rules: [{action: allow}, {action: deny}, {action: deny}]}}", [
        "2:38: tools.a.rules[1]: never applies: the rule before it (tools.a.rules[0]) holds for every call",
        "2:54: tools.a.rules[2]: never applies: the rule before it (tools.a.rules[0]) holds for every call",
    ]),
    ("tools: {a: {rules: [{principals: ['*'], action: allow}, {action: deny}]}}", [
        "2:57: tools.a.rules[1]: never applies: the rule before it (tools.a.rules[0]) holds for everybody who is verified, and nobody else gets past it"
    ]),
    ("tools: {a: {rules: [{principals: [ann, bob], action: allow}, {principals: [bob], when: 'continuation', action: deny}, {action: deny}]}}", [
        "2:62: tools.a.rules[1]: never applies: the rule before it (tools.a.rules[0]) holds for all of its principals"
    ]),
    ("tools: {a: {rules: [{when: 'continuation', action: allow}, {when: 'continuation', action: deny}]}}", [
        "2:60: tools.a.rules[1]: never applies: the rule before it (tools.a.rules[0]) has the same principals and when"
    ]),
    ("tools: {a: {rules: [{when: 'continuation', action: allow}, {action: deny}]}}", []),
    ("tools: {a: {rules: [{principals: [ann], action: allow}, {principals: [ann, bob], action: deny}]}}", []),
    ("tools: {a: {action: allow, when: 'false'}}", ["2:28: tools.a.when: reads nothing of a call, so it is the same for all of them"]),
    ("default: allow\ncategories: {Destructive: deny, Unknown: deny}", [NO_CATALOG]),
    ("default: allow\ncategories: {Destructive: deny}", [
        "3:1: categories: lacks Unknown beside default: allow: what the catalogue lacks, also if its file is gone, is allowed",
        NO_CATALOG,
    ]),
    ("tools: {'*': allow}\ncategories: {Read: allow}", [
        "3:1: categories: never applies: '*' in tools matches every tool",
        "3:1: categories: there is no catalogue of this server (catalog/p.yaml): every tool is Unknown",
    ]),
    # limits
    ("tools: {a: {action: allow, rate_limit: [{max: 10, window: 60}, {max: 600, window: 1h}]}}", [
        "2:64: tools.a.rate_limit[1]: nobody can reach it: rate_limit[0] is exhausted first"
    ]),
    ("tools: {a: {action: allow, rate_limit: [{max: 10, window: 60}, {max: 599, window: 1h}]}}", []),
    ("tools: {a: {action: allow, rate_limit: [10/minute, {max: 600, window: 1h, per: principal}]}}", []),
    ("tools: {a: {action: allow, rate_limit: [{max: 5, window: 60}, {max: 9, window: 60, algorithm: fixed_window}]}}", [
        "2:63: tools.a.rate_limit[1]: nobody can reach it: rate_limit[0] is exhausted first"
    ]),
    ("tools: {a: {action: allow, rate_limit: [{max: 5, window: 60, algorithm: fixed_window}, {max: 9, window: 60}]}}", []),
    ("tools: {a: {action: allow, rate_limit: [{max: 60, window: 60, algorithm: token_bucket, burst: 5}, {max: 65, window: 60}]}}", [
        "2:99: tools.a.rate_limit[1]: nobody can reach it: rate_limit[0] is exhausted first"
    ]),
    ("tools: {a: deny}\nlimits: [{max: 9, window: 1, tools: [a, b]}]", [
        "3:38: limits[0].tools[0]: nobody can reach it: every call of 'a' is denied",
        "3:41: limits[0].tools[1]: nobody can reach it: every call of 'b' is denied",
    ]),
    ("default: allow\ntools: {a: deny, 'c_*': deny, c_d: allow}\nlimits: [{max: 9, window: 1, tools: [b, 'c_*', '*']}]", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), UNREACHABLE)
def test_what_can_never_apply_is_warned_of(text: str, expected: list[str]) -> None:
    assert warned(text, catalog="") == expected


def test_a_limit_that_cannot_be_read_is_compared_with_none() -> None:
    text = "version: 1\ntools: {a: {action: allow, rate_limit: [{max: 1, window: 999d}, {max: 2, window: 999d}]}}\n"
    found = compile_policies({"p.yaml": text.encode()}, PolicyContext())
    assert [one.path for one in found.problems] == ["tools.a.rate_limit[0].window", "tools.a.rate_limit[1].window"]
    assert not [one for one in found.warnings if "nobody" in one.message]


def advice(name: str) -> str:
    return (
        f"no pattern can judge what {name!r} does: comments, quotes and several statements get round it; "
        "list whole texts with enum, ask for approval, or give the server an account that may do no more"
    )


SQL = "arguments: {properties: {sql: {type: string}}, required: [sql]}"
JUDGED = [
    ("tools: {a: {action: allow, arguments: {properties: {sql: {type: string, pattern: '^SELECT .*$'}}, required: [sql]}}}", [
        f"2:73: tools.a.arguments.properties.sql.pattern: {advice('sql')}"
    ]),
    ("tools: {a: {action: allow, arguments: {properties: {commands: {type: array, items: {type: string, pattern: '^git [a-z]+$'}}}, required: [commands]}}}", [
        f"2:99: tools.a.arguments.properties.commands.items.pattern: {advice('commands')}"
    ]),
    ("tools: {a: {action: allow, arguments: {properties: {o: {type: object, properties: {Query: {type: string, pattern: '^[^;]*$'}}}}}}}", [
        "2:84: tools.a.arguments.properties.o.properties.Query: is constrained but not required: a call without it passes",
        f"2:106: tools.a.arguments.properties.o.properties.Query.pattern: {advice('Query')}",
    ]),
    ("tools: {a: {action: allow, arguments: {properties: {command: {type: string, pattern: '^(GET|HGET|[A-Z]+)$'}}, required: [command]}}}", []),
    ("tools: {a: {action: allow, arguments: {properties: {sql: {enum: ['SELECT 1']}}, required: [sql]}}}", []),
    ("tools: {a: {action: allow, " + SQL + ", require: \"args.sql.startsWith('SELECT')\"}}", [f"2:93: tools.a.require: {advice('sql')}"]),
    ("tools: {a: {action: deny, when: \"args['sql'].contains('DROP')\", " + SQL + "}}", [
        f"2:27: tools.a.when: {advice('sql')}",
        "2:65: tools.a.arguments: has no effect on a rule that denies; to deny some calls, use when",
    ]),
    ("tools: {a: {action: allow, " + SQL + ", require: \"args.sql.matches('^[a-z_]+$')\"}}", []),
    ("tools: {a: {action: allow, arguments: {properties: {sql: {type: string}, o: {type: object}, code: true}}, require: \"has(args.sql) || {'a': 1} == {'a': 2}\"}}", []),
    # patterns that match a part only
    ("tools: {a: {action: allow, arguments: {properties: {k: {type: string}}, required: [k]}, require: [{expr: \"args.k.matches('app') || continuation\"}]}}", [
        "2:100: tools.a.require[0].expr: 'app' is not anchored as ^…$: it may match a part only"
    ]),
    ("tools: {a: {action: allow, arguments: {properties: {k: {type: array, items: {type: string}}}, required: [k]}, when: \"args.k.all(x, x.matches('^app'))\"}}", [
        "2:111: tools.a.when: '^app' is not anchored as ^…$: it may match a part only"
    ]),
    ("tools: {a: {action: allow, arguments: {properties: {k: {type: string}}, required: [k]}, require: \"!args.k.matches('bad')\"}}", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), JUDGED)
def test_patterns_that_judge_too_much_or_too_little_are_warned_of(text: str, expected: list[str]) -> None:
    assert warned(text, catalog="") == expected
