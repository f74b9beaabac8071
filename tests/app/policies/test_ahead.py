"""The process that reads ahead: what it gives is what is read here, and nothing is lost where it gives nothing."""

import io
import logging
import mmap
import os
import select
import subprocess
import sys

import pytest

from authz.app.policies import ahead
from authz.app.policies.ahead import HEAD_START, LENGTH, POSITION, reading_ahead
from authz.app.policies.ahead_process import answer, run
from authz.app.policies.reload import Loader
from authz.policy.compile.file import PolicyContext
from authz.policy.text.document import parse
from authz.policy.text.source import Source
from tests.support.many_policies import policy_text, server_name, write_policies

COUNT = HEAD_START + 20
BROKEN = b"version: 1\ntools: {a: &x allow}\n"


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.fixture
def processes(monkeypatch) -> list[subprocess.Popen]:
    """The processes that were started."""
    started: list[subprocess.Popen] = []
    real = subprocess.Popen

    def start(*arguments, **options):
        started.append(real(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return started


def sources() -> dict[str, Source]:
    files = {f"{server_name(number)}.yaml": Source(policy_text(number, 5).encode()) for number in range(COUNT)}
    files[f"{server_name(COUNT - 1)}.yaml"] = Source(BROKEN)
    return files


def finished(processes) -> None:
    """Wait until the process has sent all and ended, which is sooner than 20 policies fill the pipe."""
    assert processes[0].wait(20) == 0


def test_what_the_other_process_reads_is_what_is_read_here(processes):
    files = sources()
    with reading_ahead(files, fewest=1):
        finished(processes)
        asked = [file for file, source in sorted(files.items()) if source.ahead is not None]
        there = {file: files[file].ahead() for file in asked}
    assert len(asked) == COUNT - HEAD_START
    broken = asked.pop()
    assert there[broken] is None
    assert {file: there[file] for file in asked} == {file: parse(files[file], file).reading for file in asked}


def test_a_document_that_was_read_ahead_has_its_places(processes):
    files = sources()
    name = sorted(files)[HEAD_START]
    with reading_ahead(files, fewest=1):
        finished(processes)
        document = parse(files[name], name)
    assert document.place(("tools", "list_account_1")) == parse(bytes(files[name]), name).place(
        ("tools", "list_account_1")
    )
    assert document.problems == ()


def test_a_file_with_a_problem_is_read_here_where_the_problem_is_said(processes):
    files = sources()
    name = sorted(files)[-1]
    with reading_ahead(files, fewest=1):
        finished(processes)
        document = parse(files[name], name)
    assert document.problems == parse(BROKEN, name).problems
    assert str(document.problems[0]).startswith(f"{name}:2:12: tools.a: ")


def test_nothing_is_waited_for(monkeypatch, processes):
    monkeypatch.setattr(ahead, "MODULE", "this")  # says other things, and ends
    files = sources()
    with reading_ahead(files, fewest=1):
        assert all(source.ahead() is None for source in files.values() if source.ahead)
    assert [process.returncode is not None for process in processes] == [True]


def test_the_other_process_is_gone_and_reaped_after_the_load(processes):
    with reading_ahead(sources(), fewest=1):
        pass
    assert processes[0].returncode == -9


def frame(number: int, content: bytes) -> bytes:
    return number.to_bytes(LENGTH) + len(content).to_bytes(LENGTH) + content


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (frame(1, b"") + frame(0, b""), "expected text 2 or a later one, got 0 bytes for text 0"),
        (frame(0, b"") * 9, "expected text 1 or a later one, got 0 bytes for text 0"),
        (frame(20, b""), "expected text 0 or a later one, got 0 bytes for text 20"),
        ((5).to_bytes(LENGTH) + b"\xff" * LENGTH, "expected text 0 or a later one, got 4294967295 bytes for text 5"),
        (frame(0, b"\xc1"), "MessagePack data is malformed: invalid opcode '\\xc1' (byte 0)"),
        (frame(0, b"\x01"), "cannot unpack non-iterable int object"),
    ],
)
def test_what_cannot_be_an_answer_is_not_believed_and_the_rest_is_read_here(monkeypatch, caplog, said, why):
    caplog.set_level(logging.WARNING)
    real = subprocess.Popen
    started: list[subprocess.Popen] = []

    def start(command, **options):
        forever = f"import sys, time; sys.stdout.buffer.write({said!r}); sys.stdout.flush(); time.sleep(60)"
        started.append(real([sys.executable, "-c", forever], **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    files = sources()
    with reading_ahead(files, fewest=1):
        asked = [source for _, source in sorted(files.items()) if source.ahead is not None]
        assert select.select([started[0].stdout], [], [], 20)[0]
        assert [source.ahead() for source in asked] == [None] * len(asked)
    assert [record.getMessage() for record in caplog.records] == [
        f"policies: read without the other process, which does not answer as it should: {why}"
    ]


def test_no_module_comes_from_the_directory_somebody_is_in(tmp_path, monkeypatch, processes):
    (tmp_path / "msgspec.py").write_text("raise SystemExit('run')\n")
    monkeypatch.chdir(tmp_path)
    with reading_ahead(sources(), fewest=1):
        finished(processes)


def test_a_load_without_its_process_gives_the_same_policies(tmp_path, monkeypatch, processes):
    write_policies(tmp_path, 120, 2)
    whole = Loader(tmp_path, PolicyContext()).first().policies
    real = ahead._Ahead.take

    def kill_first(self, number):
        self._process.kill()
        self._process.wait()
        return real(self, number)

    monkeypatch.setattr(ahead._Ahead, "take", kill_first)
    alone = Loader(tmp_path, PolicyContext()).first().policies
    assert len(processes) == 2
    assert (alone.revision, alone.problems, len(alone.policies)) == (whole.revision, (), 120)


def test_where_no_process_starts_everything_is_read_here(monkeypatch, caplog):
    def refuse(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    caplog.set_level(logging.INFO)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    files = sources()
    with reading_ahead(files, fewest=1):
        assert all(source.ahead is None for source in files.values())
    assert "policies: read without another process: resource temporarily unavailable" in caplog.text


@pytest.mark.parametrize(("cores", "fewest"), [({0}, 1), ({0, 1}, COUNT + 1)])
def test_on_one_core_or_for_few_files_no_process_is_started(monkeypatch, processes, cores, fewest):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    with reading_ahead(sources(), fewest=fewest):
        pass
    assert processes == []


# ------------------------------------------------------------------------------------------------- the other process


def given(*texts: bytes, position: int = 0) -> mmap.mmap:
    whole = position.to_bytes(POSITION) + b"".join(len(text).to_bytes(LENGTH) + text for text in texts)
    file = mmap.mmap(-1, len(whole))
    file.write(whole)
    return file


def numbers(answers: bytes) -> list[int]:
    found, at = [], 0
    while at < len(answers):
        found.append(int.from_bytes(answers[at : at + LENGTH]))
        at += 2 * LENGTH + int.from_bytes(answers[at + LENGTH : at + 2 * LENGTH])
    return found


def test_each_text_is_answered_in_order_and_one_with_a_problem_by_nothing():
    out = io.BytesIO()
    run(given(b"version: 1\n", BROKEN, b"\xff", b"version: 2\n"), out)
    assert numbers(out.getvalue()) == [0, 1, 2, 3]
    assert [answer(text) for text in (BROKEN, b"\xff", b"")] == [b"", b"", b""]
    assert answer(b"version: 1\n") != b""


def test_texts_that_were_read_meanwhile_are_left_out():
    out = io.BytesIO()
    run(given(b"a: 1\n", b"b: 1\n", b"c: 1\n", b"d: 1\n", position=2), out)
    assert numbers(out.getvalue()) == [0, 3]


def test_it_ends_when_nobody_takes_its_answers():
    class Closed(io.BytesIO):
        def write(self, _):
            raise BrokenPipeError

    run(given(b"a: 1\n", b"b: 1\n"), Closed())


def test_it_needs_little_of_the_program():
    code = (
        "import sys, authz.app.policies.ahead_process; print('cel_expr_python' in sys.modules, 'grpc' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)  # noqa: S603 - as it says
    assert done.stdout.split() == ["False", "False"]
