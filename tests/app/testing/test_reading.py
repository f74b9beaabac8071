"""Test files are read as strictly as policies: what could be meant in two ways has a problem with its place."""

from __future__ import annotations

import json
from importlib import resources

import jsonschema_rs
import pytest

from authz.app.testing.reading import SCHEMA, overlay, read_cases
from authz.identity import DEFAULT_SOURCE, JWT_AUTHN, Identities, IdentitySource, SourceKind
from authz.model import Effect, Reason
from authz.state.approvals import Refusal

HEAD = "version: 1\n"


def read(text: str, *, server: str | None = "bank", identities: Identities | None = None):
    return read_cases((HEAD + text).encode(), "bank_test.yaml", "bank.yaml", server, identities or Identities())


def problems(text: str, **more) -> list[str]:
    found = read(text, **more)
    assert not found.cases
    return [str(problem) for problem in found.problems]


def only(text: str, **more):
    found = read(text, **more)
    assert not found.problems, found.problems
    (case,) = found.cases
    return case


def request(text: str, **more):
    return only(f"cases: [{{name: a, expect: allow, {text}}}]", **more).steps[0].request


def test_the_schema_is_one_and_knows_every_reason():
    schema = json.loads(resources.files("authz.policy").joinpath(SCHEMA).read_bytes())
    jsonschema_rs.meta.validate(schema)
    assert [one["const"] for one in schema["$defs"]["reason_member"]["anyOf"]] == list(Reason)
    assert {one["const"] for one in schema["$defs"]["refused_member"]["anyOf"]} == set(Refusal)


# ---------------------------------------------------------------------------------------------------- the call


def test_a_tool_is_called_as_clients_of_2025_11_25_call_it():
    made = request("tool: pay, arguments: {to: bob, note: null}")
    assert (made.method, made.path, made.host, made.source_address) == ("POST", "/mcp", "mcp.example", "192.0.2.1")
    assert json.loads(made.body) == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "pay", "arguments": {"to": "bob", "note": None}},
    }
    assert made.headers["mcp-protocol-version"] == "2025-11-25"
    assert (made.context, made.verified, made.size) == ({"mcp_server": "bank"}, {}, len(made.body))


def test_a_call_of_2026_07_28_says_so_in_its_headers_and_its_meta():
    made = request('tool: "päy", protocol: "2026-07-28", meta: {io.modelcontextprotocol/logLevel: debug}')
    assert made.headers["mcp-method"] == "tools/call"
    assert made.headers["mcp-name"] == "=?base64?cMOkeQ==?="
    assert json.loads(made.body)["params"]["_meta"] == {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/logLevel": "debug",
    }
    assert request('resource: "file:///x", protocol: "2026-07-28"').headers["mcp-name"] == "file:///x"
    assert "mcp-name" not in request('method: tools/list, protocol: "2026-07-28"').headers


def test_prompts_resources_methods_and_notifications_are_called_too():
    assert json.loads(request("prompt: hello, arguments: {a: b}").body)["params"] == {
        "name": "hello",
        "arguments": {"a": "b"},
    }
    assert json.loads(request('resource: "file:///x"').body)["params"] == {"uri": "file:///x"}
    listed = json.loads(request("method: tools/list, params: {cursor: x}").body)
    assert (listed["method"], listed["params"]) == ("tools/list", {"cursor": "x"})
    assert "id" not in json.loads(request("method: notifications/initialized").body)
    ended = request("method: DELETE, session: s-1, path: /other")
    assert (ended.method, ended.body, ended.path, ended.headers["mcp-session-id"]) == ("DELETE", b"", "/other", "s-1")


def test_a_body_and_a_whole_request_are_taken_as_they_are():
    assert request('body: \'{"jsonrpc": "2.0"\'').body == b'{"jsonrpc": "2.0"'
    made = request(
        'request: "PUT /x HTTP/1.1\\nHost: a.example\\nX-A: b\\n\\nhello", headers: {X-A: c}, address: 203.0.113.9'
    )
    assert (made.method, made.path, made.host, made.body) == ("PUT", "/x", "a.example", b"hello")
    assert (made.headers["x-a"], made.source_address) == ("c", "203.0.113.9")


def test_arguments_as_text_are_put_in_as_they_are():
    assert b'"arguments": {"a": 1, "a": 2}' in request('tool: pay, arguments: \'{"a": 1, "a": 2}\'').body


def test_arguments_can_be_left_out_and_made_long():
    made = json.loads(request("tool: pay, arguments: {to: bob, note: ab, x: 1}, without: [x], lengths: {note: 5}").body)
    assert made["params"]["arguments"] == {"to": "bob", "note": "ababa"}


# ------------------------------------------------------------------------------------------------- who and when

CORP = IdentitySource(
    "corp", SourceKind.JWT_AUTHN, issuer="https://idp", groups="groups", scopes="scope", client_id="azp"
)
GATEWAY = IdentitySource("gw", SourceKind.HEADER, id="x-user", groups="x-groups", scopes="x-scopes")
MESH = IdentitySource("mesh", SourceKind.PEER)


def test_a_principal_is_put_where_every_source_looks():
    made = request(
        "tool: pay, principal: {id: bob, groups: [a, b], client: web, scopes: [r, w], claims: {tier: null}}",
        identities=Identities([CORP, GATEWAY, MESH]),
    )
    assert made.verified[JWT_AUTHN]["jwt_payload"] == {
        "iss": "https://idp",
        "sub": "bob",
        "groups": ["a", "b"],
        "scope": "r w",
        "azp": "web",
        "tier": None,
    }
    assert (made.headers["x-user"], made.headers["x-groups"], made.headers["x-scopes"]) == ("bob", "a,b", "r w")
    assert made.peer == "bob"


def test_a_principal_may_be_known_to_one_source_and_its_token_may_not_say():
    identities = Identities([CORP, GATEWAY, MESH])
    made = request(
        "tool: pay, peer: spiffe://x, principal: {id: bob, source: corp, absent: [groups]}", identities=identities
    )
    assert made.verified[JWT_AUTHN]["jwt_payload"] == {"iss": "https://idp", "sub": "bob", "scope": ""}
    assert (made.peer, "x-user" in made.headers) == ("spiffe://x", False)
    made = request("tool: pay, principal: {id: bob, source: gw, absent: [scopes, groups]}", identities=identities)
    assert "x-groups" not in made.headers


def test_principals_have_names_which_are_their_ids():
    case = only("principals: {alice: {groups: [dba]}}\ncases: [{name: a, tool: x, principal: alice, expect: allow}]")
    token = case.steps[0].request.verified[JWT_AUTHN]["jwt_payload"]
    assert (token[DEFAULT_SOURCE.id], token["groups"]) == ("alice", ["dba"])


def test_a_case_has_steps_with_time_and_people_between_them():
    case = only(
        """
cases:
  - name: a
    tool: pay
    time: "2026-03-02T09:00:00+01:00"
    steps:
      - {repeat: 3, expect: deny, reason: rate_limited, owes: [b, a], approvers: [], retry_after: 1.5}
      - {advance: 5m, approve: {id: bob, groups: [dba]}, comment: fine}
      - {time: "2026-03-02T09:00:00Z", deny: {id: bob}, refused: self}
"""
    )
    first, second, third = case.steps
    assert case.time == 1772438400.0
    assert (first.repeat, first.wanted.effect, first.wanted.reason) == (3, Effect.DENY, Reason.RATE_LIMITED)
    assert (first.wanted.owes, first.wanted.approvers, first.wanted.retry_after) == (("a", "b"), (), 1.5)
    assert (second.request, second.advance, second.saying.granted, second.saying.comment) == (None, 300.0, True, "fine")
    assert second.saying.person.groups == ("dba",)
    assert (third.time, third.saying.granted, third.saying.refused) == (1772442000.0, False, Refusal.SELF)


def test_each_variant_of_a_table_is_a_case():
    found = read(
        """
defaults: {address: 203.0.113.1}
cases:
  - name: a table
    tool: pay
    arguments: {to: bob, amount: 1}
    expect: deny
    variants:
      - {arguments: {amount: 2}}
      - {name: another tool, tool: get, expect: allow}
      - {name: no tool, resource: "file:///x"}
"""
    )
    assert [case.name for case in found.cases] == ["a table [1]", "a table [another tool]", "a table [no tool]"]
    bodies = [json.loads(case.steps[0].request.body)["params"] for case in found.cases]
    assert bodies[0] == {"name": "pay", "arguments": {"to": "bob", "amount": 2}}
    assert bodies[1] == {"name": "get", "arguments": {"to": "bob", "amount": 1}}
    assert bodies[2] == {"uri": "file:///x"}
    assert {case.steps[0].request.source_address for case in found.cases} == {"203.0.113.1"}
    assert found.cases[1].document.place(found.cases[1].path) == (11, 9)


def test_what_is_laid_over_takes_the_place_of_what_it_covers():
    assert overlay({"arguments": "{}"}, {"arguments": {"a": 1}}) == {"arguments": {"a": 1}}
    assert overlay({"owes": ["a"]}, {"owes": []}) == {"owes": []}


# ------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "cases: [{name: a, tool: x, expect: allow, raeson: x}]",
            "2:43: cases[0].raeson: unknown key 'raeson', did you mean 'reason'?",
        ),
        (
            "cases: [{name: a, tool: x, expect: alow}]",
            "2:36: cases[0].expect: expected one of allow, deny, got 'alow', did you mean 'allow'?",
        ),
        ("cases: [{name: a, tool: x}]", "2:9: cases[0]: missing key 'expect', expected one of allow, deny"),
        (
            "cases: [{name: a, tool: x, steps: [{repeat: 2}]}]",
            "2:36: cases[0].steps[0]: missing key 'expect', expected one of allow, deny",
        ),
        (
            "cases: [{name: a, expect: allow}]",
            "2:9: cases[0]: expected one of tool, prompt, resource, method, body, request, got none",
        ),
        (
            "cases: [{name: a, tool: x, prompt: z, expect: allow}]",
            "2:9: cases[0]: expected one of tool, prompt, resource, method, body, request, got tool and prompt",
        ),
        (
            "cases: [{name: a, method: ping, arguments: {}, expect: allow}]",
            "2:33: cases[0].arguments: expected only beside tool or prompt, got it beside method",
        ),
        (
            "cases: [{name: a, request: x, meta: {a: b}, expect: allow}]",
            "2:31: cases[0].meta: expected no such key beside request, which has its own",
        ),
        (
            "cases: [{name: a, tool: x, arguments: '{', expect: allow}]",
            "2:28: cases[0].arguments: expected JSON, got text that is none: Expecting property name",
        ),
        (
            "cases: [{name: a, tool: x, arguments: '{}', without: [a], expect: allow}]",
            "2:45: cases[0].without: expected arguments as a mapping beside it, got text",
        ),
        (
            "cases: [{name: a, tool: x, without: [a], expect: allow}]",
            "2:28: cases[0].without: expected the name of an argument, got 'a'",
        ),
        (
            "cases: [{name: a, tool: x, arguments: {a: 1}, lengths: {a: 2}, expect: allow}]",
            "2:57: cases[0].lengths.a: expected an argument that is text and not empty",
        ),
        (
            "cases: [{name: a, tool: x, principal: alcie, expect: allow}]\nprincipals: {alice: {}}",
            "2:28: cases[0].principal: expected a name of principals (alice), got 'alcie', did you mean 'alice'?",
        ),
        (
            "cases: [{name: a, tool: x, principal: alice, expect: allow}]",
            "2:28: cases[0].principal: expected a name of principals (none), got 'alice'",
        ),
        (
            "cases: [{name: a, tool: x, principal: {id: b, source: corp}, expect: allow}]",
            "2:47: cases[0].principal.source: expected one of the identity sources default, got 'corp'",
        ),
        (
            "cases: [{name: a, tool: x, principal: {id: b, groups: [], absent: [groups]}, expect: allow}]",
            "2:47: cases[0].principal.groups: is listed in absent too: the token says it or does not",
        ),
        (
            "cases: [{name: a, tool: x, expect: allow}, {name: a, tool: x, expect: allow}]",
            "2:45: cases[1].name: the name 'a' is used twice",
        ),
        (
            "cases: [{name: a, tool: x, expect: allow, steps: [{expect: allow}]}]",
            "2:28: cases[0].expect: not allowed beside 'steps': say it in one of them",
        ),
        (
            "cases: [{name: a, tool: x, steps: [{advance: 1, reason: allowed}]}]",
            "2:49: cases[0].steps[0].reason: expected only beside 'expect'",
        ),
        (
            "cases: [{name: a, tool: x, expect: allow, comment: x}]",
            "2:43: cases[0].comment: expected only beside 'approve' or 'deny'",
        ),
        (
            "cases: [{name: a, tool: x, steps: [{approve: {id: a}, deny: {id: a}}]}]",
            "2:55: cases[0].steps[0].deny: not allowed beside 'approve': one person says one thing",
        ),
        (
            'cases: [{name: a, tool: x, time: "2026-13-02T09:00:00Z", expect: allow}]',
            "2:28: cases[0].time: expected a time, got '2026-13-02T09:00:00Z': month must be in 1..12",
        ),
        (
            "cases: [{name: a, tool: x, advance: 999d, expect: allow}]",
            "2:28: cases[0].advance: expected at least 1 second and at most 366 days, got '999d'",
        ),
        (
            "cases: [{name: a, tool: x, expect: no}]",
            "2:36: cases[0].expect: 'no' is a boolean to YAML 1.1 and text to 1.2: write false, or \"no\" for the text",
        ),
        (
            "cases: [{name: a, tool: null, expect: deny}]",
            "2:25: cases[0].tool: 'null' is nothing, which is allowed nowhere: write a value, or \"null\" for the text",
        ),
        (
            "cases: [{name: a, tool: x, arguments: {n: 1}, expect: deny}]",
            "2:40: cases[0].arguments.n: a name must be text, and 'n' is a boolean to YAML 1.1",
        ),
        ("cases: []", "2:8: cases: expected a list of cases, got an empty list"),
        ("cases: [", "2:9: not YAML"),
    ],
)
def test_a_mistake_is_told_with_its_place(text, said):
    first, *_ = problems(text)
    assert first.startswith(f"bank_test.yaml:{said}")


def test_a_file_beside_no_policy_must_name_its_server():
    (said,) = problems("cases: [{name: a, tool: x, expect: allow}]", server=None)
    assert said == (
        "bank_test.yaml:1:1: missing key 'server', expected the server that the route names: "
        "no policy has this file's name"
    )
    assert request_context("server: other\ncases: [{name: a, tool: x, expect: allow}]") == {"mcp_server": "other"}
    assert request_context('cases: [{name: a, tool: x, server: "", expect: allow}]') == {}


def request_context(text: str):
    return only(text, server=None).steps[0].request.context
