"""What no case reached is told with its place, for terminals and as a page."""

from __future__ import annotations

import re

from printed import printed

from authz.app.testing import coverage
from authz.app.testing.elements import Kind, Way
from authz.app.testing.page import page

POLICY = """version: 1
origins: ["https://a.example"]
default: deny
tools:
  get: allow
  put:
    action: allow
    arguments: {properties: {key: {type: string, pattern: "^app:"}}, required: [key]}
    require:
      - "args.key != 'app:x'"
      - {expr: "args.key != 'app:y'", reason: y is taken}
    rate_limit: [{max: 1, window: 60, name: puts}, 5/hour]
  admin:
    arguments: {properties: {force: {type: boolean}}}
    rules:
      - {when: "has(args.force)", action: deny, arguments: {properties: {force: {const: true}}}}
      - {action: allow, require: "source.address != '203.0.113.9'"}
  "file_*": deny
prompts: {"*": allow}
limits: [{name: all, max: 100, window: 60}]
"""
CASES = """version: 1
cases:
  - {name: a, tool: put, arguments: {key: "app:a"}, expect: allow}
  - {name: b, tool: put, arguments: {key: "sys:a"}, expect: deny}
  - {name: c, tool: admin, arguments: {}, expect: allow}
  - {name: d, tool: other, expect: deny}
  - {name: e, tool: put, arguments: {key: "app:a"}, steps: [{expect: allow}, {expect: deny, reason: rate_limited}]}
  - {name: f, tool: get, headers: {origin: "https://b.example"}, expect: deny, reason: origin_denied}
  - {name: g, tool: get, server: nobody, expect: deny, reason: no_policy}
"""
FILES = {"bank.yaml": POLICY, "bank_test.yaml": CASES}


def test_each_rule_constraint_and_limit_has_the_ways_that_cases_miss(playing):
    played = playing(FILES)
    assert played.failed == {}
    (file,) = coverage.cover(played.found, played.sightings)
    found = {one.element.place: (one.line, one.element.kind, one.missing) for one in file.elements}
    assert found == {
        "origins": (2, Kind.ORIGINS, ()),
        "default": (3, Kind.DEFAULT, ()),
        "tools.get": (5, Kind.RULE, (Way.DECIDED,)),
        "tools.put": (6, Kind.RULE, ()),
        "tools.put.arguments": (8, Kind.ARGUMENTS, ()),
        "tools.put.require[0]": (10, Kind.REQUIRE, (Way.FAILED,)),
        "tools.put.require[1]": (11, Kind.REQUIRE, (Way.FAILED,)),
        "tools.put.rate_limit[0]": (12, Kind.LIMIT, ()),
        "tools.put.rate_limit[1]": (12, Kind.LIMIT, (Way.EXHAUSTED,)),
        "tools.admin.arguments": (14, Kind.ARGUMENTS, (Way.FAILED,)),
        "tools.admin.rules[0]": (16, Kind.RULE, (Way.DECIDED,)),
        "tools.admin.rules[1]": (17, Kind.RULE, ()),
        "tools.admin.rules[1].require[0]": (17, Kind.REQUIRE, (Way.FAILED,)),
        "tools.file_*": (18, Kind.RULE, (Way.DECIDED,)),
        "prompts.*": (19, Kind.RULE, (Way.DECIDED,)),
        "limits[0]": (20, Kind.LIMIT, (Way.EXHAUSTED,)),
    }
    assert (file.wanted, file.reached) == (24, 14)


def test_what_is_missing_is_told_with_its_place(playing):
    played = playing(FILES)
    shown = printed(coverage.lines(coverage.cover(played.found, played.sightings)))
    assert shown.splitlines()[:3] == [
        "",
        "coverage",
        "  bank.yaml   58.3 %  rules 2/6, arguments 1/2, require 0/3, limits 1/3, default 1/1, origins 1/1",
    ]
    assert "bank.yaml:5:3: tools.get: no case is decided by it\n" in shown
    assert "bank.yaml:20:10: limits[0]: no case exhausts it\n" in shown
    assert shown.endswith("coverage 58.3 %\n")


def test_what_nobody_reaches_is_told_in_fewer_words(playing):
    played = playing({"bank.yaml": POLICY, "bank_test.yaml": "version: 1\ncases: [{name: a, tool: x, expect: deny}]"})
    shown = printed(coverage.lines(coverage.cover(played.found, played.sightings)))
    assert "tools.put.arguments: no case reaches it\n" in shown
    assert "origins: no case is refused by it\n" in shown


def test_a_default_that_is_not_written_and_a_baseline_are_covered_too(playing):
    files = {
        "baseline.yaml": 'version: 1\nserver: "*"\ntools: {"*": {action: allow, rate_limit: 1/minute}}\n',
        "bank.yaml": "version: 1\ntools: {get: allow}\n",
        "bank_test.yaml": "version: 1\ncases: [{name: a, tool: get, steps: [{expect: allow}, {expect: deny}]}]",
    }
    played = playing(files)
    bank, baseline = coverage.cover(played.found, played.sightings)
    assert [(one.element.place, one.missing) for one in baseline.elements] == [
        ("tools.*", ()),
        ("tools.*.rate_limit[0]", ()),
    ]
    assert [(one.element.place, one.line, one.missing) for one in bank.elements] == [
        ("default", 1, (Way.DECIDED,)),
        ("tools.get", 2, ()),
    ]


CATALOG = """version: 1
tools:
  look:
    categories: [Read]
    risk: Low
    why: it reads
    input_schema: {type: object, properties: {key: {type: string}}}
"""
BY_CATEGORY = """version: 1
categories:
  Read: {action: allow, strict_arguments: true, rate_limit: 1/minute}
  Unknown: deny
"""


def test_categories_and_what_the_catalogue_says_of_arguments_are_covered_too(playing, policies):
    policies({"catalog/bank.yaml": CATALOG})
    cases = "version: 1\ncases: [{name: a, tool: look, arguments: {key: x}, expect: allow}]"
    played = playing({"bank.yaml": BY_CATEGORY, "bank_test.yaml": cases})
    assert played.failed == {}
    (file,) = coverage.cover(played.found, played.sightings)
    assert [(one.element.place, one.missing) for one in file.elements][1:] == [
        ("categories.Read", ()),
        ("categories.Read.strict_arguments", (Way.FAILED,)),
        ("categories.Read.rate_limit[0]", (Way.EXHAUSTED,)),
        ("categories.Unknown", (Way.DECIDED,)),
    ]
    (mutated,) = played.mutated()
    survived = {f"{one.mutant.path[1:]} {one.mutant.what}" for one in mutated.survivors}
    assert survived == {
        "() the default, which is deny, made allow",
        "('Read', 'strict_arguments') dropped",
        "('Read', 'rate_limit') limit dropped",
        "('Read', 'rate_limit') 1 made 2",
        "('Unknown',) dropped, which denied",
        "('Unknown', 'action') deny made allow",
    }


def test_nothing_to_reach_is_all_of_it():
    assert coverage.percent([]) == 100.0
    assert printed(coverage.lines([])) == "\ncoverage\ncoverage 100.0 %\n"


def test_the_page_shows_each_file_with_a_mark_at_what_is_reached(playing):
    files = FILES | {"bank.yaml": POLICY.replace("version: 1", "version: 1 # <b>&", 1)}
    played = playing(files)
    html = page(played.found, coverage.cover(played.found, played.sightings)).decode()
    rows = re.findall(
        r'<tr(?: class="(\w+)")?><td class="number">(\d+)</td><td class="mark">(.?)</td><td>(.*?)</td></tr>', html
    )
    assert len(rows) == 20
    marked = {int(number): (state, mark) for state, number, mark, _ in rows}
    assert (marked[1], marked[3], marked[5], marked[12]) == (("", ""), ("full", "✓"), ("none", "✗"), ("part", "~"))
    assert "<b>" not in html
    assert "version: 1 # &lt;b&gt;&amp;" in html
    assert "tools.get: no case is decided by it" in html
    assert "http" not in html.replace("https://a.example", "")  # it needs nothing beside itself
