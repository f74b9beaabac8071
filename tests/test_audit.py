"""What an audit line says, what it never says, and how long it can get."""

from __future__ import annotations

import hashlib
import json
import math
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from authz.audit import MAX_ARGUMENTS, MAX_LINE, Record, Redaction, arguments_digest, clip, encode, encode_gap
from authz.model import (
    Approval,
    Charge,
    Decision,
    Effect,
    Era,
    Limit,
    Message,
    MessageKind,
    Principal,
    Reason,
    Shadowed,
    Target,
    TargetKind,
)

BODY = b'{"jsonrpc": "2.0"}'
CALL = Message(
    MessageKind.REQUEST,
    "tools/call",
    1,
    (Target(TargetKind.TOOL, "valkey_write"),),
    {"command": "SET", "args": ["app:1", "hello"]},
)
DECISION = Decision(
    "7f-1", Effect.ALLOW, Reason.ALLOWED, CALL, "valkey", "valkey_*", "tools.valkey_*", revision="abc123"
)
RECORD = Record(
    time=1763716800.25,
    decision=DECISION,
    principal=Principal("alice", "https://idp.example", "corp", "agent-1", verified=True),
    session="session-secret",
    http_method="POST",
    address="192.0.2.7",
    peer="spiffe://mesh/agent",
    era=Era.LEGACY,
    version="2025-11-25",
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    request_id="11d3",
    body=BODY,
    latency=61.4e-6,
)


def asked(message: Message, **changes: Any) -> Record:
    return replace(RECORD, decision=replace(DECISION, message=message), **changes)


def with_arguments(arguments: Any, **changes: Any) -> Record:
    return asked(replace(CALL, arguments=arguments), **changes)


def read(line: bytes) -> dict[str, Any]:
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line) <= MAX_LINE
    assert all(32 <= byte < 127 for byte in line[:-1]), "a line is printable ASCII"
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_a_line_says_who_asked_what_and_what_was_decided() -> None:
    assert read(encode(RECORD)) == {
        "time": "2025-11-21T09:20:00.250000Z",
        "decision_id": "7f-1",
        "effect": "allow",
        "reason": "allowed",
        "rule": "tools.valkey_*",
        "server": "valkey",
        "method": "tools/call",
        "policy_target": "valkey_*",
        "tool": "valkey_write",
        "principal": {
            "id": "alice",
            "issuer": "https://idp.example",
            "source": "corp",
            "client_id": "agent-1",
        },
        "peer": "spiffe://mesh/agent",
        "address": "192.0.2.7",
        "session_sha256": hashlib.sha256(b"session-secret").hexdigest()[:16],
        "http_method": "POST",
        "protocol": "2025-11-25",
        "era": "legacy",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "request_id": "11d3",
        "body_sha256": hashlib.sha256(BODY).hexdigest(),
        "body_bytes": len(BODY),
        "arguments_sha256": hashlib.sha256(b'{"args":["app:1","hello"],"command":"SET"}').hexdigest(),
        "revision": "abc123",
        "latency_us": 61,
    }


def test_a_denial_before_parsing_has_a_line_with_the_digest_of_the_body() -> None:
    message = Message(MessageKind.HTTP, "")
    decision = Decision("7f-2", Effect.DENY, Reason.MALFORMED, message, cause="body: expected UTF-8", detail="utf8")
    line = read(encode(Record(time=0.0, decision=decision, http_method="POST", body=b"\xff\xfe")))
    assert line == {
        "time": "1970-01-01T00:00:00.000000Z",
        "decision_id": "7f-2",
        "effect": "deny",
        "reason": "malformed",
        "http_method": "POST",
        "body_sha256": hashlib.sha256(b"\xff\xfe").hexdigest(),
        "body_bytes": 2,
        "latency_us": 0,
        "detail": "utf8",
        "cause": "body: expected UTF-8",
    }


def test_parts_of_a_batch_are_numbered_and_the_body_is_told_once() -> None:
    first, second = (read(encode(replace(RECORD, part=part, parts=2))) for part in (0, 1))
    assert (first["part"], first["parts"], second["part"], second["parts"]) == (0, 2, 1, 2)
    assert "body_sha256" in first
    assert "body_sha256" not in second


def test_obligations_limits_and_shadow_outcomes_are_told() -> None:
    limit = Limit("total", ("valkey", "total"), 10, 60.0, "valkey")
    record = replace(
        RECORD,
        decision=replace(
            DECISION, effect=Effect.DENY, reason=Reason.RATE_LIMITED, limits=("total",), retry_after=1.23456
        ),
        obligations=(Charge(limit, (("principal", "alice"),)), Approval("tools.x", 900.0, ("group:dba",))),
        shadowed=(Shadowed("next.yaml", Effect.DENY, Reason.RULE_DENIED, "tools.x"),),
    )
    line = read(encode(record))
    assert line["obligations"] == [{"limit": "total", "cost": 1.0}, {"approval": "tools.x", "by": ["group:dba"]}]
    assert line["limits"] == ["total"]
    assert line["retry_after"] == 1.235
    assert line["shadow"] == [{"policy": "next.yaml", "effect": "deny", "reason": "rule_denied", "rule": "tools.x"}]


def test_no_time_to_retry_is_left_out_as_json_has_no_infinity() -> None:
    line = encode(replace(RECORD, decision=replace(DECISION, retry_after=math.inf)))
    assert "retry_after" not in read(line)


def test_several_resources_are_listed_up_to_eight() -> None:
    targets = tuple(Target(TargetKind.RESOURCE, f"file:///{number}") for number in range(20))
    line = read(encode(asked(Message(MessageKind.REQUEST, "subscriptions/listen", 1, targets))))
    assert line["resource"] == "file:///0"
    assert line["targets"] == [f"file:///{number}" for number in range(8)]
    assert line["targets_total"] == 20


def test_a_target_that_is_the_method_itself_is_not_repeated() -> None:
    message = Message(MessageKind.REQUEST, "ping", 1, (Target(TargetKind.METHOD, "ping"),), continuation=True)
    line = read(encode(asked(message)))
    assert line["method"] == "ping"
    assert line["continuation"] is True


# ------------------------------------------------------------------------------------------------- what is not said


def test_no_session_id_and_no_argument_value_is_in_a_line_by_default() -> None:
    line = encode(with_arguments({"password": "hunter2", "note": "a value"}))
    for secret in (b"session-secret", b"hunter2", b"a value", b"password"):
        assert secret not in line


def test_values_are_written_if_asked_for_but_never_those_of_redacted_names() -> None:
    arguments = {
        "command": "SET",
        "Password": "hunter2",
        "nested": [{"API_TOKEN": {"value": "t0p"}, "ok": True}],
        "ＰＡＳＳＷＯＲＤ": "wide",
        "x" * 200: "a name too long to look at",
    }
    line = read(encode(with_arguments(arguments), Redaction(values=True)))
    assert line["arguments"] == {
        "command": "SET",
        "Password": "[redacted]",
        "nested": [{"API_TOKEN": "[redacted]", "ok": True}],
        "ＰＡＳＳＷＯＲＤ": "[redacted]",
        "x" * 200: "[redacted]",
    }


def test_globs_of_the_settings_replace_the_default_ones() -> None:
    line = read(encode(with_arguments({"iban": "DE0", "token": "t"}), Redaction(values=True, redact=("IBAN*",))))
    assert line["arguments"] == {"iban": "[redacted]", "token": "t"}
    assert read(encode(with_arguments({"iban": "DE0"}), Redaction(values=True, redact=())))["arguments"] == {
        "iban": "DE0"
    }


def test_values_are_bounded_in_number_depth_and_length() -> None:
    arguments = {"list": list(range(100)), "deep": {"a": {"b": {"c": 1}}}, "long": "v" * 1000, "big": 10**100}
    bounded = Redaction(values=True, items=20, depth=3)
    assert read(encode(with_arguments(arguments), bounded))["arguments"] == {
        "list": [*range(18), "[+82]"],
        "…": "[+3]",
    }
    del arguments["list"]
    assert read(encode(with_arguments(arguments), bounded))["arguments"] == {
        "deep": {"a": {"b": "[nested deeper]"}},
        "long": "v" * 256 + "…[of 1000]",
        "big": "[a number of more than 256 bits]",
    }


# ---------------------------------------------------------------------------------------------------------- digests


def test_the_digest_keeps_numbers_apart_that_doubles_confuse() -> None:
    numbers: list[Any] = [9007199254740992, 9007199254740993, 1, 1.0, True, "1", 10**30, 1e30]
    assert len({arguments_digest({"n": number}) for number in numbers}) == len(numbers)


def test_the_digest_does_not_depend_on_the_order_of_members() -> None:
    assert arguments_digest({"a": 1, "b": {"c": 2, "d": 3}}) == arguments_digest({"b": {"d": 3, "c": 2}, "a": 1})


_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(deadline=None)  # a shared machine
@given(st.dictionaries(st.text(), _ANY_JSON))
@example({"a": "\x7f"})
def test_the_digest_is_that_of_what_the_standard_library_writes(arguments: dict[str, object]) -> None:
    said = json.dumps(arguments, sort_keys=True, separators=(",", ":")).encode()
    assert arguments_digest(arguments) == hashlib.sha256(said).hexdigest()


def test_the_digest_takes_read_only_mappings() -> None:
    assert arguments_digest(MappingProxyType({"a": MappingProxyType({"b": 1})})) == arguments_digest({"a": {"b": 1}})


def test_what_is_not_json_has_no_digest() -> None:
    with pytest.raises(TypeError, match=r"^expected JSON, got object$"):
        arguments_digest({"a": object()})


def test_arguments_without_a_digest_do_not_end_the_line() -> None:
    assert read(encode(with_arguments({"a": math.nan})))["arguments_unreadable"] == "ValueError"


def test_the_arguments_of_a_large_body_are_digested_with_it_alone() -> None:
    line = read(encode(replace(RECORD, body=b"x" * (MAX_ARGUMENTS + 1)), Redaction(values=True)))
    assert line["body_bytes"] == MAX_ARGUMENTS + 1
    assert "arguments_sha256" not in line
    assert "arguments" not in line


# ------------------------------------------------------------------------------------------- what agents try


@pytest.mark.parametrize(
    "name", ['a"}\r\n{"effect":"allow"', "\x1b[2J", "\u202egnp.exe", "\x00\x7f\x85\u2028", "é" * 40]
)
def test_no_name_can_begin_a_line_or_reach_a_terminal(name: str) -> None:
    line = read(encode(asked(Message(MessageKind.REQUEST, "tools/call", 1, (Target(TargetKind.TOOL, name),)))))
    assert line["tool"] == name


def test_a_lone_surrogate_becomes_text_that_strict_readers_take() -> None:
    line = encode(with_arguments({"a\ud800": "\udfff"}, session="\ud800"), Redaction(values=True))
    assert read(line)["arguments"] == {"a\\ud800": "\\udfff"}


def test_long_names_are_cut_and_their_length_told() -> None:
    message = Message(MessageKind.REQUEST, "m" * 5000, 1, (Target(TargetKind.TOOL, "\U0001f600" * 3000),))
    line = read(encode(asked(message)))
    assert line["method"] == "m" * 256 + "…[of 5000]"
    assert line["tool"] == "\U0001f600" * 21 + "…[of 3000]"
    assert clip("é" * 100) == "é" * 42 + "…[of 100]"


def test_a_line_that_would_be_too_long_leaves_out_what_can_be_missed() -> None:
    long = "\U0001f600" * 300
    limits = [Limit(long, (str(number),), 1, 1.0, "s") for number in range(8)]
    record = replace(
        with_arguments({f"a{number}": long for number in range(60)}),
        decision=replace(DECISION, rule=long, detail=long, cause=long, limits=(long,) * 8),
        obligations=tuple(Charge(limit, ()) for limit in limits),
        shadowed=(Shadowed(long, Effect.DENY, Reason.RULE_DENIED, long),) * 8,
    )
    line = read(encode(record, Redaction(values=True)))
    assert line["left_out"] == ["arguments", "shadow"]
    assert line["decision_id"] == "7f-1"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)
any_text = st.text(st.characters(exclude_categories=()), max_size=400)


@given(any_text, any_text, st.dictionaries(any_text, json_values), st.booleans())
def test_whatever_is_asked_the_line_is_one_bounded_ascii_line(
    method: str, name: str, arguments: dict[str, Any], values: bool
) -> None:
    message = Message(MessageKind.REQUEST, method, 1, (Target(TargetKind.TOOL, name),), arguments)
    record = replace(asked(message), principal=Principal(name, name), trace_id=name, session=name, version=method)
    read(encode(record, Redaction(values=values)))


def test_a_gap_says_how_many_records_are_missing() -> None:
    assert read(encode_gap(0.0, {Effect.ALLOW: 0, Effect.DENY: 12})) == {
        "time": "1970-01-01T00:00:00.000000Z",
        "dropped": {"allow": 0, "deny": 12},
    }
