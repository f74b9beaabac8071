import pytest

from authz.engine import Engine
from authz.envoy.codec import decode_check_request
from authz.model import HttpRequest
from authz.policy.compile.file import PolicyContext
from authz.policy.compile.policies import compile_policies
from authz.state.memory import MemoryStore
from tests.bench import policies
from tests.bench.policies import Shape
from tests.bench.question import mixed, tool_call
from tests.support.sinks import Sink


def engine(files) -> tuple[Engine, Sink]:
    compiled = compile_policies({name: text.encode() for name, text in files.items()}, PolicyContext())
    assert not compiled.problems
    assert not compiled.warnings
    sink = Sink()
    return Engine(compiled, MemoryStore(), [sink]), sink


def request(asked) -> HttpRequest:
    return decode_check_request(asked.fill(1), "unix")


@pytest.mark.parametrize("shape", list(Shape))
@pytest.mark.parametrize("size", [1, 10])
async def test_a_policy_of_any_shape_and_size_allows_the_call_and_counts_it(shape, size):
    subject, sink = engine(policies.policies(shape, size))
    reply = await subject.check(request(tool_call()))
    assert reply.allowed
    assert sink.last.obligations, "one limit is charged"


@pytest.mark.parametrize("files", [policies.policies(), policies.with_condition()])
async def test_every_question_of_the_mix_gets_the_verdict_that_it_carries(files):
    subject, sink = engine(files)
    for asked in mixed()[:64]:
        reply = await subject.check(request(asked))
        assert reply.allowed is asked.verdict.allowed
        assert sink.last.decision.reason.value == asked.verdict.reason


async def test_the_policy_with_approvals_asks_a_person():
    subject, sink = engine(policies.with_approval())
    assert not (await subject.check(request(tool_call()))).allowed
    assert sink.last.decision.reason.value == "approval_required"


def test_there_are_as_many_as_were_asked_for():
    assert policies.policies(Shape.TOOLS, 10)["bench.yaml"].count("action: allow") == 10
    assert len(policies.policies(Shape.FILES, 10)) == 10
    assert policies.policies(Shape.BLOCK, 10)["bench.yaml"].count("- {") == 10
