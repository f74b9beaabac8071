import itertools

import pytest

from authz.envoy.codec import decode_check_request
from authz.envoy.pb import ext_authz_pb2 as pb
from authz.mcp.message import BodyLimits, decode
from tests.bench import question
from tests.bench.question import ALLOW, HOLE, Question, Verdict, mixed, tool_call


def test_each_call_has_a_stream_id_of_its_own_and_nothing_else_differs():
    asked = tool_call()
    first, second = (pb.CheckRequest.FromString(asked.fill(number)) for number in (1, 2))
    assert first.attributes.request.http.id == "0000000000000000001"
    assert second.attributes.request.http.id == "0000000000000000002"
    second.attributes.request.http.id = first.attributes.request.http.id
    assert first == second


@pytest.mark.parametrize("where", ["subject", "session", "number"])
def test_whatever_holds_a_hole_is_different_in_each_call(where):
    asked = tool_call(**{where: f"x-{HOLE}"})
    assert len(asked.holes) == 2
    assert asked.fill(5).count(b"x-0000000000000000005") == 1


def test_a_question_without_a_hole_is_sent_as_it_is():
    assert Question.of(b"abc", ALLOW).fill(7) == b"abc"


def test_a_question_is_a_call_that_the_service_reads():
    request = decode_check_request(tool_call().fill(1), "unix")
    exchange = decode(request, BodyLimits())
    assert exchange.messages[0].method == "tools/call"
    assert exchange.session == "session-00"


def test_one_call_in_sixteen_is_wrong_and_every_agent_has_its_turn():
    asked = mixed()
    denied = [one for one in asked if one.verdict == Verdict(False, "arguments_invalid", 200)]
    assert len(denied) * question.DENIED_EVERY == len(asked)
    assert b"fifty" in denied[0].data
    assert all(one.verdict.allowed for one in mixed(always=True))
    agents = {name for one in asked for name in (b"agent-%02d" % n for n in range(40)) if name in one.data}
    assert len(agents) == question.CALLERS


def test_questions_come_in_turn_for_ever_each_with_the_next_number():
    questions = [Question.of(name + HOLE.encode(), ALLOW) for name in (b"a", b"b")]
    sent = [data for data, _ in itertools.islice(question.numbered(questions, 9), 3)]
    assert sent == [b"a" + b"%019d" % 9, b"b" + b"%019d" % 10, b"a" + b"%019d" % 11]


def test_another_process_reads_what_was_saved(tmp_path):
    path = question.save(mixed(), tmp_path / "questions")
    assert question.load(path) == mixed()
