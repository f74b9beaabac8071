import os
import sys

import pytest

from tests.bench.processes import Cores, ProgramError, cpu_seconds, descriptors, on, open_files, output_of, rss, threads


def test_the_service_has_a_core_of_its_own_where_there_are_two():
    cores = Cores.shared_out(frozenset({0, 1, 2}))
    assert (cores.service, cores.rest) == ({2}, {0, 1})
    assert cores.pinned


@pytest.mark.parametrize(("cores", "pin"), [({0}, True), ({0, 1}, False)])
def test_with_one_core_or_without_pinning_all_share_what_there_is(cores, pin):
    shared = Cores.shared_out(frozenset(cores), pin=pin)
    assert shared.service == shared.rest == cores
    assert not shared.pinned


def test_what_is_started_on_a_core_stays_there_and_the_caller_does_not():
    before = os.sched_getaffinity(0)
    core = min(before)
    with on(frozenset({core})):
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before


def test_a_program_that_fails_is_an_error_with_its_words():
    with pytest.raises(ProgramError, match=r"^tests\.bench\.load: exit code 2: usage"):
        output_of("tests.bench.load", [], frozenset(os.sched_getaffinity(0)))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_is_known_by_what_it_holds():
    pid = os.getpid()
    assert cpu_seconds(pid) > 0
    assert rss(pid) > 1
    assert threads(pid) >= 1
    assert open_files(pid) == pytest.approx(len(descriptors(pid)), abs=20)
