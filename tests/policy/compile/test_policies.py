"""The files of a directory -> policies: what is refused with which words, and what stays in force."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec import structs

from authz.model import HttpRequest, Reason, TargetKind
from authz.policy.compile import policies as module
from authz.policy.compile.file import PolicyContext
from authz.policy.compile.policies import compile_policies
from authz.policy.matching import Way
from authz.policy.rules import Policy
from authz.policy.selection import PolicySet

CONTEXT = PolicyContext()
TWO_SOURCES = PolicyContext(claims={"corp": {}, "lab": {}})
GOOD = b"version: 1\ntools: {a: allow}\n"


def load(previous: PolicySet | None = None, context: PolicyContext = CONTEXT, **files: str | bytes) -> PolicySet:
    read = {f"{name}.yaml": text if isinstance(text, bytes) else text.encode() for name, text in files.items()}
    return compile_policies(read, context, previous)


def words(found: PolicySet) -> list[str]:
    return [str(problem) for problem in found.problems]


REFUSED = [
    (
        "tools: {a: {action: allow, approval: {timeout: 5m}}}",
        "p.yaml:2:28: tools.a.approval: expected only beside action: require_approval",
    ),
    (
        "resources: {'file:///*': {action: allow, arguments: {properties: {a: {type: string}}}}}",
        'p.yaml:2:42: resources["file:///*"].arguments: only tools and prompts have arguments, resources have none',
    ),
    (
        "resources: {'https://*.example/x': allow}",
        (
            'p.yaml:2:13: resources["https://*.example/x"]: '
            "* within the authority of a URI is refused: it could cross hosts"
        ),
    ),
    (
        "server: '*'",
        "p.yaml:2:1: server: only files named baseline*.yaml, in the directory itself, may govern every server ('*')",
    ),
    ("identity: corp", "p.yaml:2:1: identity: expected one of the identity sources default, got 'corp'"),
    (
        "tools: {a: {action: allow, principals: ['groups:x']}}",
        "p.yaml:2:41: tools.a.principals[0]: unknown kind of principal in 'groups:x', did you mean 'group:x'?",
    ),
    (
        "tools: {a: {action: allow, principals: ['al*']}}",
        "p.yaml:2:41: tools.a.principals[0]: expected an exact name without *, got 'al*'",
    ),
    (
        "tools: {a: {action: allow, principals: ['spiffe://lab/a*']}}",
        (
            "p.yaml:2:41: tools.a.principals[0]: expected an exact spiffe:// id, or one that ends with /* "
            "after a whole segment, got 'spiffe://lab/a*'"
        ),
    ),
    (
        "tools: {a: {action: allow, rate_limit: {max: 1, window: 60, per: args.x}}}",
        "p.yaml:2:61: tools.a.rate_limit.per: args.x has no declared type; add it to the arguments of the block",
    ),
    (
        "tools: {a: {action: allow, rate_limit: [{max: 1, window: 9, name: burst}, {max: 2, window: 9, name: burst}]}}",
        "p.yaml:2:95: tools.a.rate_limit[1].name: the name 'burst' is used twice; it is what a counter is known by",
    ),
    (
        "tools: {a: {action: allow, rate_limit: 10/min}}",
        "p.yaml:2:40: tools.a.rate_limit: expected 10/minute, {max, window}, or a list of these, got '10/min'",
    ),
    (
        "tools: {a: {action: allow, rate_limit: 0/minute}}",
        "p.yaml:2:40: tools.a.rate_limit: expected 10/minute, {max, window}, or a list of these, got '0/minute'",
    ),
    (
        "tools: {a: {action: allow, rate_limit: [10/minute, 5/sec]}}",
        "p.yaml:2:52: tools.a.rate_limit[1]: expected 10/minute or {max, window}, got '5/sec'",
    ),
    (
        "tools: {a: {action: allow, rate_limit: {max: 1, window: 367d}}}",
        "p.yaml:2:49: tools.a.rate_limit.window: expected at least 1 second and at most 366 days, got '367d'",
    ),
    (
        "tools: {a: {action: require_approval, approval: {timeout: 400d}}}",
        "p.yaml:2:50: tools.a.approval.timeout: expected at least 1 second and at most 30 days, got '400d'",
    ),
    (
        "limits: [{name: one, max: 1, window: 60, per: args.x}]",
        "p.yaml:2:42: limits[0].per: args.x needs tools: only their arguments have declared types",
    ),
    (
        "tools: {a: allow}\nlimits: [{name: one, max: 1, window: 60, per: args.x, tools: [a]}]",
        "p.yaml:3:42: limits[0].per: args.x has no declared type in tools.a; add it to the arguments there",
    ),
]


@pytest.mark.parametrize(("text", "problem"), REFUSED)
def test_a_file_with_a_problem_is_refused_with_its_place(text: str, problem: str) -> None:
    found = load(p=f"version: 1\n{text}\n")
    assert words(found) == [problem]
    assert found.fatal
    assert found.broken == {"p"}


def test_every_problem_of_every_file_is_reported_at_once() -> None:
    found = load(
        a="version: 1\ntools: {x: alow, z: {action: allow, when: 'nobody == 1'}}\n",
        b="version: 1\ntools: {x: {action: allow, principals: ['role:x']}}\nfoo: 1\n",
    )
    assert [problem.file for problem in found.problems] == ["a.yaml", "a.yaml", "b.yaml", "b.yaml"]


WARNED = [
    (
        "tools: {a: {rules: [{action: allow}, {action: deny}]}}",
        "p.yaml:2:38: tools.a.rules[1]: never applies: the rule before it (tools.a.rules[0]) holds for every call",
    ),
    (
        "tools: {'a_*': allow, '*_b': allow}",
        "p.yaml:2:23: tools.*_b: '*_b' and 'a_*' can match the same name: both apply and the stricter outcome counts",
    ),
    (
        "tools: {a: {action: deny, rate_limit: 1/minute}}",
        "p.yaml:2:27: tools.a.rate_limit: has no effect on a rule that denies; to deny some calls, use when",
    ),
    (
        "tools: {a: {action: allow, rate_limit: [1/minute, {max: 2, window: 60, cost: 2}]}}",
        (
            "p.yaml:2:51: tools.a.rate_limit[1]: is told from another limit of this block by its place alone; "
            "a name keeps them apart"
        ),
    ),
    ("match: [{host: h}]", "p.yaml:2:9: match[0]: is looked at only with the setting --select-by host"),
]


@pytest.mark.parametrize(("text", "warning"), WARNED)
def test_what_its_author_hardly_meant_is_warned_of(text: str, warning: str) -> None:
    found = load(p=f"version: 1\n{text}\n")
    assert not found.problems
    assert [str(one) for one in found.warnings] == [warning]


def test_with_several_identity_sources_every_entry_names_one() -> None:
    text = "version: 1\ntools: {a: {action: allow, principals: [alice, 'corp/alice', 'group:corp/dba', '*']}}\n"
    found = load(context=TWO_SOURCES, p=text)
    place = "p.yaml:2:41: tools.a.principals[0]"
    expected = "expected NAME/… with NAME one of the identity sources corp, lab, got 'alice'"
    assert words(found) == [f"{place}: {expected}"]


class TestWhatIsInForce:
    def test_one_file_that_does_not_load_stops_only_its_own_server(self) -> None:
        found = load(a=GOOD, b="version: 2\n")
        assert set(found.policies) == {"a"}
        assert found.broken == {"b"}
        assert found.degraded
        assert not found.fatal

    def test_the_last_good_version_of_a_file_stays(self) -> None:
        before = load(a=GOOD, b=GOOD)
        after = load(before, a="version: 1\ntools: {a: deny}\n", b="oops: [")
        assert after.policies["b"] is before.policies["b"]
        assert after.policies["a"] is not before.policies["a"]
        assert after.broken == frozenset()
        assert after.degraded

    def test_a_last_good_version_stays_over_several_bad_ones(self) -> None:
        first = load(a=GOOD)
        second = load(first, a="oops: [")
        third = load(second, a="oops: {")
        assert third.policies["a"] is first.policies["a"]
        assert third.revision == first.revision

    def test_a_file_that_did_not_change_is_not_compiled_again(self) -> None:
        before = load(a=GOOD, b=GOOD)
        after = load(before, a=GOOD, b="version: 1\ntools: {b: deny}\n")
        assert after.policies["a"] is before.policies["a"]
        assert after.revision != before.revision

    def test_a_removed_file_is_no_longer_in_force(self) -> None:
        assert set(load(load(a=GOOD, b=GOOD), a=GOOD).policies) == {"a"}

    def test_an_emptied_directory_keeps_the_last_good_set(self) -> None:
        before = load(a=GOOD)
        after = load(before)
        assert after.policies == before.policies
        assert [problem.message for problem in after.problems] == [
            "no policy file is left; the last good policies stay in force"
        ]

    def test_a_directory_in_which_nothing_loads_is_fatal(self) -> None:
        assert load().fatal
        assert load(a="oops: [").fatal

    def test_a_baseline_that_does_not_load_is_fatal_at_start(self) -> None:
        assert load(a=GOOD, baseline="version: 1\nserver: '*'\ntools: {x: alow}\n").fatal

    def test_a_baseline_that_breaks_later_stays_as_it_was(self) -> None:
        before = load(a=GOOD, baseline="version: 1\nserver: '*'\ntools: {x: deny}\n")
        after = load(before, a=GOOD, baseline="oops: [")
        assert after.baselines == before.baselines
        assert not after.fatal

    @pytest.mark.parametrize("text", ["oops: [", "version: 1\nserver: '*'\nshadow: true\ntools: {x: alow}\n"])
    def test_a_broken_baseline_stays_as_it_was_beside_another_one(self, text: str) -> None:
        one = "version: 1\nserver: '*'\ntools: {x: deny}\n"
        before = load(a=GOOD, baseline=one, **{"baseline-b": one})
        after = load(before, a=GOOD, baseline=one, **{"baseline-b": text})
        assert after.baselines == before.baselines
        assert not after.fatal

    @pytest.mark.parametrize("key", ["default: deny", "identity: default", "match: [{host: h}]"])
    def test_a_baseline_has_nothing_that_could_open(self, key: str) -> None:
        found = load(a=GOOD, baseline=f"version: 1\nserver: '*'\n{key}\n")
        assert "a baseline can only restrict and has no such key" in words(found)[0]

    def test_a_file_named_baseline_must_be_one(self) -> None:
        found = load(a=GOOD, **{"baseline-eu": "version: 1\ntools: {x: deny}\n"})
        assert "a file named baseline*.yaml governs every server: expected server: '*'" in words(found)[0]

    def test_two_files_for_one_server_are_both_refused(self) -> None:
        text = "version: 1\nserver: same\n"
        found = load(a=text, b=text, c=GOOD)
        assert words(found) == [
            "a.yaml: server 'same' is governed by b.yaml too; only one file may enforce for it",
            "b.yaml: server 'same' is governed by a.yaml too; only one file may enforce for it",
        ]
        assert found.broken == {"same"}

    def test_a_second_file_for_a_server_leaves_the_first_in_force(self) -> None:
        before = load(a="version: 1\nserver: same\n")
        after = load(before, a="version: 1\nserver: same\n", b="version: 1\nserver: same\ndefault: allow\n")
        assert after.policies["same"] is before.policies["same"]
        assert after.degraded

    def test_a_shadow_file_may_stand_beside_the_one_that_enforces(self) -> None:
        found = load(a="version: 1\nserver: s\n", b="version: 1\nserver: s\nshadow: true\n")
        assert not found.problems
        assert [shadow.file for shadow in found.beside("s")] == ["b.yaml"]

    def test_a_file_in_a_team_folder_is_for_that_teams_server(self) -> None:
        files = {"billing/pay.yaml": GOOD, "billing/x.yaml": b"version: 1\nserver: billing/named\n"}
        found = compile_policies({**files, "hr/y.yaml": b"version: 1\nserver: pay\n"}, CONTEXT)
        assert set(found.policies) == {"billing/pay", "billing/named", "hr/pay"}

    def test_a_baseline_stands_in_the_directory_itself_and_a_teams_file_stops_nobody_else(self) -> None:
        files = {"a.yaml": GOOD, "team/baseline.yaml": b"version: 1\nserver: '*'\n"}
        found = compile_policies(files, CONTEXT)
        place = "team/baseline.yaml:2:1: server"
        expected = "only files named baseline*.yaml, in the directory itself, may govern every server ('*')"
        assert words(found) == [f"{place}: {expected}"]
        assert not found.fatal
        assert not found.baselines

    def test_a_valid_file_takes_a_server_over_from_one_that_no_longer_loads(self) -> None:
        before = load(a="version: 1\nserver: same\ndefault: allow\n")
        after = load(before, a="oops: [", b="version: 1\nserver: same\n")
        assert after.policies["same"].file == "b.yaml"

    def test_editing_max_keeps_the_counter_and_editing_per_starts_another(self) -> None:
        def key(limit: str) -> tuple[str, ...]:
            found = load(a=f"version: 1\ntools: {{x: {{action: allow, rate_limit: {limit}}}}}\n")
            (block,) = found.policies["a"].sections[TargetKind.TOOL].find("x")
            return block.rules[0].limits[0].limit.key

        first = key("{max: 1, window: 60}")
        assert key("{max: 9, window: 1m}") == first
        assert key("9/minute") == first
        assert key("{max: 1, window: 60, per: principal}") != first
        assert key("{max: 1, window: 61}") != first


def request(host: str = "h", path: str = "/mcp", server: str | None = None, method: str = "POST") -> HttpRequest:
    return HttpRequest(method, path, host, {}, context={} if server is None else {"mcp_server": server})


def chosen(found: PolicySet, asked: HttpRequest) -> str:
    policy = found.select(asked).policy
    return policy.server if isinstance(policy, Policy) else str(policy)


class TestWhichPolicyGoverns:
    BY_HOST = PolicyContext(select_by=(Way.HOST,))

    def matching(self, **matches: Sequence[str]) -> PolicySet:
        """One policy for each name, matching hosts with paths such as `h/mcp`."""
        files = {}
        for name, several in matches.items():
            entries = []
            for one in several:
                host, slash, path = one.partition("/")
                entries.append(f"{{host: {host}, path: /{path}}}" if slash else f"{{host: {host}}}")
            files[name] = f"version: 1\nmatch: [{', '.join(entries)}]\n"
        return load(context=self.BY_HOST, **files)

    def test_what_the_route_says_is_final(self) -> None:
        found = load(a=GOOD)
        assert chosen(found, request(server="a")) == "a"
        assert chosen(found, request(server="b")) == Reason.NO_POLICY
        assert chosen(found, request(server="")) == Reason.NO_POLICY

    def test_the_first_way_that_says_anything_is_final(self) -> None:
        found = load(
            context=PolicyContext(select_by=(Way.ROUTE, Way.DESTINATION, Way.HOST)),
            routed="version: 1\nmatch: [{route: a/valkey}]\n",
            reached="version: 1\nmatch: [{destination: 'spiffe://td/ns/a/sa/b'}]\n",
            hosted="version: 1\nmatch: [{host: h}, {route: a/other}]\n",
        )
        way = {"route": "a/valkey", "destination": "spiffe://td/ns/a/sa/b"}

        def selected(**given: str) -> tuple[str, Way | None]:
            asked = structs.replace(request(), **given)
            return chosen(found, asked), found.select(asked).way

        assert selected(**way) == ("routed", Way.ROUTE)
        assert selected(**way, context={"mcp_server": "hosted"}) == ("hosted", Way.EXTENSION)
        assert selected(route="a/other") == ("hosted", Way.ROUTE)
        assert selected(**{**way, "route": "A/valkey"}) == (Reason.NO_POLICY, Way.ROUTE)
        assert selected(destination=way["destination"]) == ("reached", Way.DESTINATION)
        assert selected(destination="spiffe://td/ns/a/sa/other") == (Reason.NO_POLICY, Way.DESTINATION)
        assert selected() == ("hosted", Way.HOST)
        assert selected(host="other") == (Reason.NO_POLICY, Way.HOST)

    def test_a_way_that_the_settings_do_not_name_chooses_nothing(self) -> None:
        found = load(a="version: 1\nmatch: [{route: a/valkey}]\n", b=GOOD)
        asked = structs.replace(request(), route="a/valkey", destination="spiffe://td/ns/a/sa/b")
        assert (chosen(found, asked), found.select(asked).way) == (Reason.NO_POLICY, None)

    def test_two_files_that_match_one_route_are_both_refused(self) -> None:
        found = load(
            context=PolicyContext(select_by=(Way.ROUTE,)), **dict.fromkeys("ab", "version: 1\nmatch: [{route: a/b}]\n")
        )
        assert [str(problem) for problem in found.problems] == [
            "a.yaml: route 'a/b' is governed by b.yaml too; only one file may enforce for it",
            "b.yaml: route 'a/b' is governed by a.yaml too; only one file may enforce for it",
        ]

    def test_a_server_whose_file_does_not_load_is_denied_as_such(self) -> None:
        assert chosen(load(a=GOOD, b="oops: ["), request(server="b")) == Reason.POLICY_INVALID

    def test_the_only_server_is_denied_as_such_where_its_file_does_not_load(self) -> None:
        assert chosen(load(b="oops: ["), request()) == Reason.POLICY_INVALID

    def test_the_names_fit_for_labels_are_those_that_policies_spell(self) -> None:
        found = load(a=GOOD, b="oops: [", baseline="version: 1\nserver: '*'\ntools: {'drop_*': deny}\n")
        assert found.names == {"a": {"a", "drop_*"}, "b": frozenset()}

    def test_a_shadow_for_every_server_stands_beside_each(self) -> None:
        found = load(a=GOOD, baseline="version: 1\nserver: '*'\nshadow: true\ntools: {a: deny}\n")
        assert [shadow.file for shadow in found.beside("a")] == ["baseline.yaml"]
        assert [shadow.file for shadow in found.beside("other")] == ["baseline.yaml"]
        assert load(a=GOOD).beside("a") == ()

    def test_the_only_policy_governs_where_the_route_says_nothing(self) -> None:
        assert chosen(load(a=GOOD), request()) == "a"

    def test_a_broken_neighbour_counts_as_a_policy(self) -> None:
        assert chosen(load(a=GOOD, b="oops: ["), request()) == Reason.NO_POLICY

    def test_a_baseline_alone_governs_nothing(self) -> None:
        found = load(baseline="version: 1\nserver: '*'\n")
        assert chosen(found, request()) == Reason.NO_POLICY

    def test_the_host_chooses_only_where_the_settings_say_so(self) -> None:
        text = "version: 1\nmatch: [{host: h}]\n"
        assert chosen(load(a=text, b=GOOD), request(host="h")) == Reason.NO_POLICY
        assert chosen(load(context=self.BY_HOST, a=text, b=GOOD), request(host="h")) == "a"
        assert chosen(load(context=self.BY_HOST, a=text, b=GOOD), request(host="other")) == Reason.NO_POLICY

    def test_the_longest_path_wins_on_segment_boundaries(self) -> None:
        found = self.matching(a=["h"], b=["h/mcp"], c=["h/mcp/deep"])
        assert chosen(found, request(path="/other")) == "a"
        assert chosen(found, request(path="/mcp")) == "b"
        assert chosen(found, request(path="/mcp/x?y=/mcp/deep")) == "b"
        assert chosen(found, request(path="/mcpx")) == "a"
        assert chosen(found, request(path="/mcp/deep/er")) == "c"

    @pytest.mark.parametrize(
        "path",
        ["/%6dcp", "//mcp", "/x/../mcp", "/./mcp", "/mcp;x", "/mcp%2f", "/mcp\\x", "/mcp#x", "/mcp/.", "/mcp/.."],
    )
    def test_a_path_with_two_readings_chooses_nothing(self, path: str) -> None:
        assert chosen(self.matching(a=["h"], b=["h/mcp"]), request(path=path)) == Reason.NO_POLICY

    def test_a_port_in_the_host_header_does_not_matter_unless_it_is_matched(self) -> None:
        found = self.matching(a=["h"], b=["'h:8443'"])
        assert chosen(found, request(host="h:80")) == "a"
        assert chosen(found, request(host="H:8443")) == "b"

    def test_oauth_metadata_belongs_to_the_path_it_describes(self) -> None:
        found = self.matching(a=["h"], b=["h/mcp"])
        assert chosen(found, request(path="/.well-known/oauth-protected-resource/mcp", method="GET")) == "b"
        assert chosen(found, request(path="/.well-known/openid-configuration/mcp", method="GET")) == "b"
        assert chosen(found, request(path="/.well-known/oauth-protected-resource")) == "a"

    @pytest.mark.parametrize("name", ["oauth-x", "openid-configuration", "openid-configurationZ"])
    def test_only_a_get_is_for_metadata(self, name: str) -> None:
        assert chosen(self.matching(a=["h"], b=["h/mcp"]), request(path=f"/.well-known/{name}/mcp")) == "a"

    def test_a_path_stays_with_the_file_in_force_when_that_breaks(self) -> None:
        text = "version: 1\nmatch: [{host: h}]\n"
        before = load(context=self.BY_HOST, a=text)
        after = load(before, context=self.BY_HOST, a="oops: [", b=f"{text}default: allow\n")
        assert chosen(after, request()) == "a"
        assert any("is governed by a.yaml too" in one for one in words(after))

    def test_a_tie_is_a_problem_of_both_files(self) -> None:
        found = self.matching(a=["h/mcp"], b=["h/mcp"], c=["x"])
        assert words(found) == [
            "a.yaml: host 'h' with path '/mcp' is governed by b.yaml too; only one file may enforce for it",
            "b.yaml: host 'h' with path '/mcp' is governed by a.yaml too; only one file may enforce for it",
        ]


UNCLEAR = b"""\
version: 1
server: bank
shadow: true
shadow: true
identity: ~
$defs: {key: {type: yes}, other: {typ: string}}
tools:
  a: {action: allow, arguments: {properties: {k: {$ref: "#/$defs/key"}}}, when: "args.k == 'x'"}
  b: {action: alow, reason: on}
  on: deny
limits:
  - {max: 1e3, window: 60, per: args.k, tools: [a]}
  - {max: 5, window: 5 days, per: session}
"""


def test_a_value_that_is_read_in_two_ways_hides_no_other_problem_of_its_file_and_makes_none_up() -> None:
    found = load(p=UNCLEAR, good=GOOD)
    assert sorted(words(found)) == [
        "p.yaml:10:3: tools.on: a name must be text, and 'on' is a boolean to YAML 1.1 and text to 1.2: write \"on\"",
        (
            "p.yaml:12:11: limits[0].max: '1e3' is a number to some YAML and text to other YAML"
            ': write 1000, or "1e3" for the text'
        ),
        (
            "p.yaml:13:22: limits[1].window: expected seconds (1 or more), or a duration such as 30s, 5m, 1h, 1d, "
            "got '5 days'"
        ),
        "p.yaml:4:1: shadow: duplicate key 'shadow', first at 3:1",
        "p.yaml:5:11: identity: '~' is nothing, which is allowed nowhere: write a value, or \"~\" for the text",
        (
            "p.yaml:6:21: $defs.key.type: 'yes' is a boolean to YAML 1.1 and text to 1.2"
            ': write true, or "yes" for the text'
        ),
        "p.yaml:6:35: $defs.other.typ: unknown keyword; did you mean type?",
        "p.yaml:9:15: tools.b.action: expected one of allow, deny, require_approval, got 'alow', did you mean 'allow'?",
        (
            "p.yaml:9:29: tools.b.reason: 'on' is a boolean to YAML 1.1 and text to 1.2"
            ': write true, or "on" for the text'
        ),
    ]
    assert (found.policies.keys(), found.broken, found.shadows) == ({"good"}, {"bank"}, {})


class TestWhatOneFileCannotDoToOthers:
    def test_a_file_with_more_problems_than_are_told_is_only_broken(self) -> None:
        many = "".join(f"  tool_{number}: {{actoin: allow}}\n" for number in range(1500))
        found = load(a=GOOD, b=f"version: 1\ntools:\n{many}")
        assert set(found.policies) == {"a"}
        assert found.broken == {"b"}
        assert "and more than these 1000 problems" in str(found.problems)

    def test_a_mistake_of_the_program_in_one_file_stops_only_that_file(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        real = module.compile_file
        monkeypatch.setattr(module, "compile_file", lambda file, *rest: 1 // 0 if "b" in file else real(file, *rest))
        found = load(a=GOOD, b=GOOD)
        assert set(found.policies) == {"a"}
        assert words(found) == ["b.yaml: could not be compiled, by a mistake of this program: ZeroDivisionError"]
        assert "b.yaml could not be compiled" in caplog.text

    def test_more_globs_than_can_be_compared_are_refused(self) -> None:
        globs = "".join(f'  "*{number:05}*": allow\n' for number in range(501))
        found = load(a=f"version: 1\ntools:\n{globs}")
        assert words(found) == ["a.yaml:2:1: tools: expected at most 500 globs, got 501; every pair is compared"]
