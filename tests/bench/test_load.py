import contextlib
import json
import os
import subprocess
import sys

import pytest

from authz.app.demo.processes import Children
from authz.envoy.codec import encode
from authz.model import Reply
from tests.bench import policies, question
from tests.bench.client import LoadError
from tests.bench.lab import Lab
from tests.bench.load import percentile, verify
from tests.bench.processes import Cores, ProgramError
from tests.bench.question import ALLOW, Verdict, mixed, tool_call
from tests.bench.samples import Samples
from tests.bench.suites import transport

ALLOWED = encode(Reply(allowed=True, status=200, metadata={"reason": "allowed"}))
DENIED = encode(Reply(allowed=False, status=200, body=b"{}", metadata={"reason": "rate_limited"}))


@pytest.mark.parametrize(
    ("message", "right"),
    [
        (ALLOWED, ALLOW),
        (DENIED, Verdict(False, "rate_limited", 200)),
        (DENIED, Verdict(False)),
        (DENIED, Verdict(None)),
        (ALLOWED, Verdict(None)),
    ],
)
def test_the_right_answer_is_taken(message, right):
    verify(message, right)


@pytest.mark.parametrize(
    ("message", "right", "said"),
    [
        (DENIED, ALLOW, "expected allowed=True, got"),
        (ALLOWED, Verdict(False), "expected allowed=False, got"),
        (DENIED, Verdict(False, "rule_denied", 200), "expected the reason rule_denied, got 'rate_limited'"),
        (DENIED, Verdict(False, "rate_limited", 403), "expected status 403, got"),
        (b"", Verdict(None), "expected a response that fits its status, got"),
    ],
)
def test_any_other_answer_ends_the_run(message, right, said):
    with pytest.raises(LoadError, match=said):
        verify(message, right)


def test_a_percentile_is_one_of_the_values():
    assert percentile([1, 2, 3, 4], 0.5) == 3
    assert percentile([1], 0.99) == 1
    assert percentile([], 0.5) == 0


@pytest.fixture
def lab(tmp_path):
    cores = Cores.shared_out(frozenset(os.sched_getaffinity(0)), pin=False)
    directory = tmp_path / "x"
    directory.mkdir()
    with Children(directory) as children, contextlib.ExitStack() as cleanup:
        yield Lab(children, cores, Samples(), 1, 0.2, quick=True, say=print, cleanup=cleanup)


def test_a_load_counts_every_call_and_what_it_cost(lab):
    subject = lab.service("service", policies.policies(number=2))
    loaded = lab.ask(subject, mixed(), in_flight=8)
    assert loaded.calls > 0
    assert loaded.all_allowed >= loaded.calls * 0.8
    assert loaded.cpu[subject.child.pid] >= 0
    assert 0 < loaded.p50 <= loaded.p99 <= loaded.worst
    transport.agree(lab, subject, loaded.all_allowed)
    with pytest.raises(ProgramError, match=rf"expected 1 allowed calls in its metrics, got {loaded.all_allowed}$"):
        transport.agree(lab, subject, 1)


def test_a_wrong_verdict_ends_a_load(lab):
    subject = lab.service("service", policies.policies(number=2))
    with pytest.raises(ProgramError, match=r"expected allowed=False, got"):
        lab.ask(subject, [tool_call(verdict=Verdict(False))], warm=0)


@pytest.mark.parametrize("carrier", ["native", "grpcio"])
def test_the_least_that_any_service_does_allows_everything(lab, carrier):
    subject = lab.always_ok("ok", carrier)
    loaded = lab.ask(subject, mixed(always=True), in_flight=4)
    assert loaded.all_allowed >= loaded.calls > 0


def test_a_load_of_so_many_calls_ends_by_itself(lab, tmp_path):
    subject = lab.always_ok("ok", "native")
    file = question.save(mixed(always=True), tmp_path / "q")
    command = [sys.executable, "-m", "tests.bench.load", str(subject.socket), str(file), "--calls", "37"]
    output = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603
    assert json.loads(output)["calls"] == 37
