"""`explain` shows what the service would do, by the service's own engine, and changes nothing."""

import io
import json
import sys
from pathlib import Path

import pytest

from authz.app.commands import explain
from authz.app.commands.explain import Question
from authz.app.commands.question import QuestionError
from authz.app.settings import configuration

POLICY = """
version: 1
server: bank
tools:
  get_value: allow
  set_value:
    action: allow
    arguments: {properties: {key: {type: string, pattern: "^app:.*$"}}, required: [key]}
    require: {expr: "args.key != 'app:x'", reason: x is taken}
    rate_limit: {max: 3, window: 60, name: writes}
  admin:
    rules:
      - {principals: ["group:dba"], action: allow}
      - {principals: ["client:cron", "scope:ops"], action: allow}
      - {principals: ["alice"], action: require_approval, approval: {by: ["group:dba"], timeout: 15m}}
      - {action: deny, reason: for the database team}
"""
CALL = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get_value","arguments":{}}}'


@pytest.fixture
def ask(policies, capsys, tmp_path):
    """Explain a question: exit code and what was printed, as data or as text."""
    root = policies({"bank.yaml": POLICY})

    def call(*, config: str = "", text: bool = False, **question):
        file = tmp_path / "settings.yaml"
        file.write_text(config or "sessions: 10\n")
        settings = configuration.load({"policies": str(root)}, {}, file=file)
        code = explain.run(Question(**question), settings, as_json=not text)
        out = capsys.readouterr().out
        return code, out if text else json.loads(out)

    return call


def test_an_allowed_call_is_explained_with_what_it_owes(ask):
    code, out = ask(tool="set_value", arguments='{"key": "app:a"}')
    assert code == 0
    assert out["allowed"]
    (message,) = out["messages"]
    assert (message["effect"], message["reason"], message["rule"]) == ("allow", "allowed", "tools.set_value")
    assert message["owed"] == [
        {"limit": "writes", "max": 3, "window": 60, "cost": 1.0, "per": [["address", "127.0.0.1"]]}
    ]


def test_a_denied_call_is_explained_with_every_rule_and_the_exact_answer(ask):
    code, out = ask(tool="admin", arguments="{}", principal="bob", client="other")
    assert code == 1
    assert [(step["place"], step["result"]) for step in out["tried"]][-1] == ("tools.admin.rules[3]", "held")
    assert out["messages"][0]["reason"] == "rule_denied"
    assert out["messages"][0]["reason_text"] == "for the database team"
    assert out["answer"]["status"] == 200
    body = json.loads(out["answer"]["body"])
    assert (body["id"], body["result"]["isError"]) == (1, True)


def test_the_text_says_the_same_to_people(ask):
    code, out = ask(text=True, tool="set_value", arguments='{"key": "app:x"}')
    assert code == 1
    assert out.startswith("deny tools/call set_value: requirement_failed by tools.set_value.require[0]\n  x is taken\n")
    for line in ("asked by nobody verified", "tried:", "the client gets:", "  HTTP 200", '"isError":true'):
        assert line in out
    code, out = ask(text=True, tool="set_value", arguments='{"key": "app:a"}', principal="alice", groups=("a", "b"))
    assert code == 0
    for line in ("owed:\n  writes: 1 of 3 in 60 s", "alice (source default), groups a, b", "sends the request on"):
        assert line in out


def test_an_approval_that_is_owed_is_shown(ask):
    code, out = ask(text=True, tool="admin", principal="alice", client="other")
    assert code == 1
    assert "approval for tools.admin.rules[2] by group:dba within 900 s" in out


OWED = """
version: 1
server: bank
tools:
  spend:
    action: allow
    arguments: {properties: {amount: {type: integer}}, required: [amount]}
    rate_limit:
      - {max: 10000000, window: 1d, per: server, name: spend, cost: args.amount, algorithm: fixed_window}
      - {max: 60, window: 1m, per: server, name: calls, algorithm: token_bucket, burst: 5}
  drop: {action: require_approval, approval: {by: "group:dba", uses: 3, timeout: 10m, reason_required: true}}
  wipe: {action: require_approval, approval: {by: "group:dba", remember: 1h}}
"""


def test_how_a_limit_counts_and_what_a_call_costs_are_shown(ask, policies):
    policies({"bank.yaml": OWED})
    _, out = ask(text=True, tool="spend", arguments='{"amount": 1234567}')
    assert "  spend: 1234567 of 10000000 in 86400 s by fixed_window, counted for server 'bank'\n" in out
    assert "  calls: 1 of 60 in 60 s by token_bucket of burst 5, counted for server 'bank'\n" in out
    spend, calls = ask(tool="spend", arguments='{"amount": 1234567}')[1]["messages"][0]["owed"]
    assert (spend["cost"], spend["algorithm"], "burst" in spend) == (1234567, "fixed_window", False)
    assert (calls["algorithm"], calls["burst"]) == ("token_bucket", 5)


def test_how_far_an_approval_goes_is_shown(ask, policies):
    policies({"bank.yaml": OWED})
    _, out = ask(text=True, tool="drop")
    assert "  approval for tools.drop by group:dba within 600 s, for 3 equal calls, with a reason\n" in out
    _, out = ask(text=True, tool="wipe")
    assert "within 900 s, for any number of equal calls in the 3600 s after the yes\n" in out
    (drop,) = ask(tool="drop")[1]["messages"][0]["owed"]
    assert drop == {
        "approval": "tools.drop",
        "by": ["group:dba"],
        "timeout": 600.0,
        "uses": 3,
        "remember": 0.0,
        "reason_required": True,
    }


@pytest.mark.parametrize("who", [{"groups": ("dba",)}, {"client": "cron"}, {"scopes": ("ops",)}])
def test_groups_client_and_scopes_are_what_the_token_says(ask, who):
    assert ask(tool="admin", principal="bob", **who)[0] == 0


def test_without_a_principal_nobody_is_verified(ask):
    code, out = ask(tool="admin")
    assert code == 1
    assert out["messages"][0]["reason"] == "unauthenticated"
    assert not out["principal"]["verified"]


@pytest.mark.parametrize(
    "source",
    [
        "{name: corp, from: jwt_authn, payload: p, issuer: 'https://idp', id: email, groups: roles}",
        "{name: gw, from: header, id: X-User, groups: X-Groups}",
        "{name: sso, from: jwt, issuer: 'https://idp', audience: 'https://mcp/{server}', jwks: /no/such/file}",
    ],
)
def test_the_principal_is_put_where_the_configured_source_looks(ask, source):
    code, out = ask(config=f"identity: [{source}]\n", tool="admin", principal="bob", groups=("dba",))
    assert code == 0
    assert (out["principal"]["id"], out["principal"]["groups"]) == ("bob", ["dba"])


def test_a_peer_is_the_identity_of_the_connection(ask):
    spiffe = "spiffe://cluster.local/ns/a/sa/b"
    out = ask(config="identity: [{name: mesh, from: peer}]\n", tool="get_value", principal=spiffe)[1]
    assert (out["principal"]["id"], out["principal"]["peer"]) == (spiffe, spiffe)


def test_a_server_that_no_policy_governs_is_denied(ask):
    code, out = ask(tool="get_value", server="shop")
    assert (code, out["messages"][0]["reason"]) == (1, "no_policy")
    assert ask(tool="get_value", server="bank")[0] == 0


def test_where_no_policy_governs_it_says_which_servers_there_are(policies, capsys):
    root = policies({"files.yaml": POLICY.replace("bank", "files"), "other.yaml": POLICY.replace("bank", "other")})
    settings = configuration.load({"policies": str(root)}, {})
    for server, text in (
        (None, "2 servers (files, other) and the route names none: --server NAME\n"),
        ("file", "--server: expected one of files, other, got 'file', did you mean 'files'?\n"),
        ("files", ""),
    ):
        code = explain.run(Question(tool="get_value", server=server), settings, as_json=True)
        assert (code, capsys.readouterr().err) == (1 if text else 0, text)


def test_nothing_is_said_twice(ask, tmp_path):
    assert "tried:\n  tools.get_value  held\n" in ask(text=True, tool="get_value")[1]
    assert "tried:\n  tools.admin " in ask(text=True, tool="admin", principal="bob")[1]
    file = tmp_path / "request"
    head = "POST /mcp HTTP/1.1\nHost: x\nContent-Type: application/json\nAccept: application/json\n\n"
    file.write_text(head + '{"jsonrpc":"2.0","id":1,"method":"tools/list"}')
    assert ask(text=True, file=file)[1].startswith("allow tools/list: allowed\n")


def test_a_flaw_that_ends_with_a_question_mark_gets_no_full_stop(ask, tmp_path):
    file = tmp_path / "request"
    file.write_text("POST /mcp HTTP/1.1\nHost: x\nContent-Type: application/json\nAccept: application/json\n\n")
    assert "does the proxy send bodies? Decision id: explained." in ask(text=True, file=file)[1]


def test_a_request_is_read_from_a_file_or_from_stdin(ask, tmp_path, monkeypatch):
    raw = f"POST /mcp HTTP/1.1\nHost: x\nContent-Type: application/json\nAccept: application/json\n\n{CALL}"
    file = tmp_path / "request"
    file.write_text(raw)
    assert ask(file=file)[0] == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw.encode())))
    code, out = ask(file=Path("-"))
    assert (code, out["messages"][0]["targets"]) == (0, [{"kind": "tool", "name": "get_value"}])


def test_the_parts_of_a_batch_are_explained_one_by_one_and_what_they_exhaust(ask, tmp_path):
    part = '{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"set_value","arguments":{"key":"app:a"}}}'
    batch = ",".join(part % number for number in range(4))
    file = tmp_path / "request"
    headers = "Content-Type: application/json\nAccept: application/json\nMCP-Protocol-Version: 2025-03-26"
    file.write_text(f"POST /mcp HTTP/1.1\n{headers}\n\n[{batch}]")
    code, out = ask(text=True, file=file)
    assert code == 1
    assert out.count("deny tools/call set_value: rate_limited by tools.set_value\n") == 4
    assert "  exhausted: writes; no retry can pass\n" in out
    assert [message["retry_after"] for message in ask(file=file)[1]["messages"]] == [None] * 4


def test_what_a_shadow_would_have_done_is_shown_beside(ask, policies):
    policies({"next.yaml": "version: 1\nserver: bank\nshadow: true\ntools: {get_value: deny}\n"})
    code, out = ask(text=True, tool="get_value")
    assert code == 0
    assert "shadow:\n  next.yaml  would deny  rule_denied tools.get_value\n" in out


def test_headers_that_the_answer_gets_are_shown_for_allowed_calls(ask):
    out = ask(config="ratelimit_headers: true\n", text=True, tool="set_value", arguments='{"key": "app:a"}')[1]
    assert "(added to the server's answer)" in out


def test_a_header_replaces_that_of_the_request(ask):
    code, out = ask(tool="get_value", headers=("Content-Type: text/plain",))
    assert (code, out["messages"][0]["reason"]) == (1, "malformed")
    assert out["messages"][0]["cause"]
    assert out["answer"]["status"] in (400, 415)


def test_what_an_agent_wrote_cannot_move_the_cursor(ask):
    _, out = ask(text=True, tool="get\x1b[2Jvalue\u202e")
    assert "\x1b" not in out
    assert "\u202e" not in out


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        ({}, "expected --tool NAME or --request FILE"),
        ({"tool": "a", "file": "b"}, "expected --tool NAME or --request FILE"),
        ({"file": "b", "arguments": "{}"}, "--args: expected beside --tool only; a request has its own"),
        ({"file": "/nowhere"}, "--request: /nowhere: no such file or directory"),
        ({"file": "/dev/null"}, "--request: /dev/null: expected a request line such as 'POST /mcp HTTP/1.1', got ''"),
        ({"tool": "a", "groups": ("b",)}, "--group: expected --principal beside it"),
        ({"tool": "a", "claims": ("b=1",)}, "--claim: expected --principal beside it"),
        ({"tool": "a", "principal": "b", "claims": ("c",)}, "--claim: expected NAME=JSON, got 'c'"),
        ({"tool": "a", "headers": ("b",)}, "--header: expected a header such as 'Name: value', got 'b'"),
        (
            {"tool": "a", "arguments": "no"},
            "--args: expected JSON, got 'no': Expecting value: line 1 column 1 (char 0)",
        ),
        (
            {"tool": "a", "principal": "b", "claims": ("c=d",)},
            "--claim c: expected JSON, got 'd': Expecting value: line 1 column 1 (char 0)",
        ),
    ],
)
def test_a_question_that_is_none_is_refused_with_the_option(ask, question, problem):
    if "file" in question:
        question = {**question, "file": Path(question["file"])}
    with pytest.raises(QuestionError) as caught:
        ask(**question)
    assert str(caught.value) == problem
