"""Cases are played by the service's own engine; whatever differs from what is wanted is told."""

from __future__ import annotations

import pytest
from printed import printed

from authz.app.settings.settings import Settings
from authz.app.testing import reporting
from authz.identity import IdentitySource, SourceKind
from authz.policy.matching import Way

POLICY = """
version: 1
tools:
  get: allow
  put:
    action: allow
    arguments: {properties: {key: {type: string, pattern: "^app:"}}, required: [key]}
    require: {expr: "args.key != 'app:x'", reason: x is taken}
    rate_limit: {max: 2, window: 60, name: puts}
  drop: {action: require_approval, reason: ask, approval: {by: ["group:dba"], reason_required: true}}
  own: {action: allow, principals: ["group:dba"]}
  late: {action: allow, when: "now >= timestamp('2026-06-01T00:00:00Z')"}
"""
HEAD = "version: 1\nprincipals: {alice: {groups: [dba]}, bob: {}, half: {absent: [groups]}}\n"


def bank(cases: str) -> dict[str, str]:
    return {"bank.yaml": POLICY, "bank_test.yaml": f"{HEAD}cases:\n{cases}"}


def test_cases_that_get_what_they_want_pass(playing):
    played = playing(
        bank(
            """
  - {name: a, tool: get, expect: allow, reason: allowed, rule: tools.get, text: "", owes: []}
  - {name: b, tool: put, arguments: {key: "sys:"}, expect: deny, reason: arguments_invalid, answer: isError}
  - {name: c, tool: put, arguments: {key: "app:x"}, expect: deny, rule: "tools.put.require[0]", text: x is taken}
  - {name: d, tool: put, arguments: {key: "app:a"}, expect: allow, owes: [puts]}
  - {name: e, tool: own, principal: alice, expect: allow}
  - {name: f, tool: own, principal: half, expect: deny, reason: unauthenticated}
  - {name: g, tool: own, expect: deny, reason: unauthenticated}
  - {name: h, tool: other, expect: deny, reason: default_denied, rule: default}
  - {name: i, tool: late, expect: deny, reason: no_rule_holds}
  - {name: j, tool: late, time: "2026-06-01T02:00:00+02:00", expect: allow}
  - {name: k, body: "{", expect: deny, reason: malformed}
  - {name: b2, tool: put, arguments: {key: "sys:"}, expect: deny, detail: args.key}
  - {name: l, method: ping, expect: allow}
  - {name: m, tool: get, server: nobody, expect: deny, reason: no_policy}
"""
        )
    )
    assert played.failed == {}
    assert len(played.outcomes) == 14


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (
            "tool: get, expect: deny, reason: rule_denied",
            "expected deny (rule_denied), got allow: allowed by tools.get",
        ),
        ("body: '{', expect: allow", "expected allow, got deny: malformed"),
        ("tool: get, expect: allow, rule: tools.put", "rule: expected 'tools.put', got 'tools.get'"),
        ("tool: zap, expect: deny, reason: rule_denied", "reason: expected rule_denied, got default_denied"),
        ("tool: zap, expect: deny, text: never", "text: expected 'never', got 'no rule of the policy names it'"),
        ("tool: zap, expect: deny, detail: args.key", "detail: expected a part 'args.key', got ''"),
        ("tool: get, expect: allow, answer: isError", "answer: expected a part 'isError', got ''"),
        ("tool: get, expect: allow, owes: [puts]", "owes: expected [puts], got []"),
        ("tool: get, expect: allow, approvers: []", "approvers: expected [], got nobody was asked"),
        (
            "tool: drop, principal: bob, expect: deny, approvers: [alice]",
            "approvers: expected [alice], got [group:dba]",
        ),
        ("tool: zap, expect: deny, retry_after: 5", "retry_after: expected 5, got 0"),
    ],
)
def test_each_difference_is_told(playing, case, said):
    assert playing(bank(f"  - {{name: a, {case}}}")).failed == {"a": (said,)}


def test_limits_count_within_a_case_and_forget_with_time(playing):
    played = playing(
        bank(
            """
  - name: two
    tool: put
    arguments: {key: "app:a"}
    steps:
      - {repeat: 2, expect: allow}
      - {expect: deny, reason: rate_limited, retry_after: 60}
      - {advance: 30.5}
      - {expect: deny, reason: rate_limited, retry_after: 29.5}
      - {time: "2026-01-01T12:01:00Z", expect: allow}
  - {name: each case counts anew, tool: put, arguments: {key: "app:a"}, repeat: 2, expect: allow}
  - {name: the third fails, tool: put, arguments: {key: "app:a"}, repeat: 4, expect: allow}
  - name: time does not go back
    tool: get
    steps: [{advance: 1h}, {time: "2026-01-01T12:00:01Z", expect: allow}]
"""
        )
    )
    assert played.failed == {
        "the third fails": ("expected allow, got deny: rate_limited by tools.put",),
        "time does not go back": ("time: expected no earlier time than that of the step before",),
    }
    shown = printed(reporting.failures(played.outcomes))
    assert "bank_test.yaml:15:5: the third fails, call 3\n" in shown
    assert "tried:\n  tools.put             held\n" in shown


def test_people_decide_between_calls(playing):
    played = playing(
        bank(
            """
  - name: a yes is for one call
    tool: drop
    arguments: {a: 1}
    principal: bob
    steps:
      - {expect: deny, reason: approval_required, approvers: ["group:dba"]}
      - {approve: bob, refused: unknown}
      - {approve: alice, refused: comment}
      - {approve: alice, comment: fine}
      - {approve: alice, comment: fine, refused: ended}
      - {arguments: {a: 2}, expect: deny, reason: approval_required}
      - {expect: allow}
      - {expect: deny, reason: approval_required}
  - name: a no
    tool: drop
    principal: bob
    steps:
      - {expect: deny}
      - {deny: alice, comment: never}
      - {expect: deny, reason: approval_denied}
  - name: nobody approves for who is nobody
    tool: drop
    steps: [{expect: deny}, {approve: alice, comment: fine, refused: unidentified}]
"""
        )
    )
    assert played.failed == {}


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("approve: alice", "approve: expected it taken, got refused comment"),
        ("deny: bob, refused: self", "deny: expected refused self, got refused unknown"),
        ("approve: alice, comment: x, refused: self", "approve: expected refused self, got it taken"),
    ],
)
def test_what_is_wrong_with_a_decision_is_told(playing, step, said):
    cases = f"  - {{name: a, tool: drop, principal: bob, steps: [{{expect: deny}}, {{{step}}}]}}"
    assert playing(bank(cases)).failed == {"a": (said,)}


def test_a_decision_needs_something_to_decide(playing):
    played = playing(bank("  - {name: a, tool: drop, steps: [{approve: alice}, {expect: deny}]}"))
    assert played.failed == {"a": ("approve: no call has asked for an approval yet",)}


def test_settings_bear_on_cases_as_on_the_service(playing):
    sources = (IdentitySource("corp", SourceKind.JWT_AUTHN, groups="groups", claims={"mail": "string"}),)
    settings = Settings(identity=sources, approval_claim="mail", approve_unidentified=False, sessions=1)
    cases = """
  - name: who asks cannot approve by another name
    tool: drop
    principal: {id: bob, claims: {mail: b@x.example}}
    steps:
      - {expect: deny}
      - {approve: {id: robert, groups: [dba], claims: {mail: B@x.example}}, comment: fine, refused: self}
      - {approve: {id: robert, groups: [dba]}, comment: fine, refused: unidentified}
  - name: one session counts
    tool: put
    principal: {id: bob}
    arguments: {key: "app:a"}
    steps:
      - {session: a, expect: allow}
      - {session: b, expect: allow}
      - {session: c, expect: deny, reason: rate_limited}
"""
    assert playing(bank(cases), settings).failed == {}


def test_a_token_that_the_service_would_verify_itself_is_believed(playing):
    settings = Settings(identity=(IdentitySource("corp", SourceKind.JWT, groups="groups"),))
    cases = """
  - {name: a, tool: own, principal: alice, expect: allow}
  - {name: b, tool: own, principal: bob, expect: deny, reason: no_rule_holds}
  - {name: c, tool: own, principal: half, expect: deny, reason: unauthenticated}
  - {name: d, tool: own, expect: deny, reason: unauthenticated}
"""
    assert playing(bank(cases), settings).failed == {}


def test_a_batch_is_compared_by_the_message_that_was_denied(playing):
    call = '{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s"}}'
    body = f"[{call % (1, 'get')},{call % (2, 'zap')}]"
    headers = "{mcp-protocol-version: '2025-03-26'}"
    case = f"  - {{name: a, body: '{body}', headers: {headers}, expect: deny, reason: default_denied}}"
    assert playing(bank(case)).failed == {}


def test_routes_and_hosts_choose_where_the_settings_let_them(playing):
    settings = Settings(select_by=(Way.ROUTE, Way.HOST))
    files = bank(
        """
  - {name: a, tool: get, server: "", route: ns/bank, expect: allow}
  - {name: b, tool: get, server: "", route: ns/other, expect: deny, reason: no_policy}
  - {name: c, tool: get, server: "", host: bank.example, expect: allow}
"""
    )
    files["bank.yaml"] = f"match: [{{route: ns/bank}}, {{host: bank.example}}]\n{POLICY.lstrip()}"
    assert playing(files, settings).failed == {}


# ---------------------------------------------------------------------------------------- which policies are played

BASELINE = """
version: 1
server: "*"
tools:
  "drop*": {action: deny, reason: never}
  "*":
    rules:
      - {when: "server == 'bank' && source.address == '203.0.113.9'", action: deny, reason: not from there}
"""
NEXT = "version: 1\nserver: bank\nshadow: true\ntools: {get: {action: deny, reason: soon}}\n"


def test_baselines_hold_beside_the_policy(playing):
    files = bank("  - {name: a, tool: drop, expect: deny, text: never}\n  - {name: b, tool: get, expect: allow}")
    files["baseline.yaml"] = BASELINE
    files["baseline_test.yaml"] = (
        "version: 1\nserver: bank\n"
        "cases: [{name: c, tool: get, address: 203.0.113.9, expect: deny, text: not from there}]"
    )
    assert playing(files).failed == {}


def test_the_tests_of_a_shadow_policy_are_played_as_if_it_enforced(playing):
    files = bank("  - {name: a, tool: get, expect: allow}")
    files |= {
        "next.yaml": NEXT,
        "next_test.yaml": "version: 1\ncases: [{name: b, tool: get, expect: deny, text: soon}]",
        "baseline-next.yaml": BASELINE.replace("version: 1", "version: 1\nshadow: true"),
        "baseline-next_test.yaml": (
            "version: 1\nserver: bank\ncases: [{name: c, tool: drop, expect: deny, text: never}]"
        ),
    }
    played = playing(files)
    assert played.failed == {}
    assert len(played.outcomes) == 3


def test_tests_of_a_team_stand_beside_its_policies(playing):
    files = {
        "team/bank.yaml": POLICY,
        "team/bank_test.yaml": f"{HEAD}cases: [{{name: a, tool: get, expect: allow, rule: tools.get}}]",
    }
    assert playing(files).failed == {}


# -------------------------------------------------------------------------------------------------------- is told


def test_a_sign_a_case_and_a_line_for_each_that_failed(playing):
    played = playing(
        bank(
            "\n".join(
                f"  - {{name: {name}, tool: get, expect: {effect}}}"
                for name, effect in (("a", "allow"), ("b", "deny"), ("c", "allow"))
            )
        )
    )
    assert printed(reporting.progress(played.outcomes, width=80, verbose=False)) == "bank_test.yaml .F.\n"
    assert printed(reporting.progress(played.outcomes, width=20, verbose=False)) == "bank_test.yaml .F.\n"
    assert printed(reporting.progress(played.outcomes, width=80, verbose=True)).splitlines() == [
        "bank_test.yaml::a PASSED",
        "bank_test.yaml::b FAILED",
        "bank_test.yaml::c PASSED",
    ]
    assert printed(reporting.short_summary(played.outcomes)) == (
        "FAILED bank_test.yaml::b - expected deny, got allow: allowed by tools.get\n"
    )
    said = reporting.total(played.outcomes, deselected=2, took=0.127)
    assert printed(said) == "1 failed, 2 passed, 2 deselected in 0.13 s (3 calls)\n"


def test_many_signs_take_several_lines(playing):
    cases = "\n".join(f"  - {{name: c{at}, tool: get, expect: allow}}" for at in range(25))
    shown = printed(reporting.progress(playing(bank(cases)).outcomes, width=25, verbose=False))
    assert shown.splitlines() == [f"bank_test.yaml {'.' * 10}", f"{' ' * 15}{'.' * 10}", f"{' ' * 15}{'.' * 5}"]


def test_what_a_terminal_would_obey_is_made_visible(playing):
    played = playing(bank('  - {name: "a\\e[1m", tool: get, expect: allow, text: "\\e[2J"}'))
    shown = printed(reporting.failures(played.outcomes)) + printed(reporting.short_summary(played.outcomes))
    shown += printed(reporting.progress(played.outcomes, width=80, verbose=True))
    assert "\x1b" not in shown
    assert "\\x1b[2J" in shown
    assert shown.endswith("bank_test.yaml::a\\x1b[1m FAILED\n")
