"""Audit lines on real files, pipes and a full disk: what is lost, what is counted, and that nobody ever waits."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from authz.app.audit import file as audit_file
from authz.app.audit.file import AuditFile
from authz.audit import Record
from authz.errors import SettingsError
from authz.model import Decision, Effect, Message, MessageKind, Reason, Target, TargetKind

CALL = Message(MessageKind.REQUEST, "tools/call", 1, (Target(TargetKind.TOOL, "get_value"),), {"key": "a"})


def record(number: int = 0, effect: Effect = Effect.ALLOW, body: bytes = b"{}", **changes: Any) -> Record:
    reason = Reason.ALLOWED if effect is Effect.ALLOW else Reason.RULE_DENIED
    return Record(time=float(number), decision=Decision(f"d-{number}", effect, reason, CALL), body=body, **changes)


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for another thread to have done it."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "not in time"
        threading.Event().wait(0.005)


@contextmanager
def opened(place: str | int | Path, timeout: float = 2.0, **settings: Any) -> Iterator[AuditFile]:
    file = AuditFile(str(place) if isinstance(place, Path) else place, **settings)
    try:
        yield file
    finally:
        file.close(timeout)


def ids(path: Path) -> list[str]:
    return [line.get("decision_id", "gap") for line in map(json.loads, path.read_text().splitlines())]


@pytest.fixture
def quick_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_file, "_BACK_OFF", (0.01, 0.02))


# ------------------------------------------------------------------------------------------------------------ a file


def test_every_record_becomes_a_line_and_closing_writes_what_is_queued(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    file = AuditFile(str(path))
    assert all(file.write(record(number)) for number in range(1000))
    file.close()
    assert ids(path) == [f"d-{number}" for number in range(1000)]
    assert (file.written, dict(file.dropped), file.errors, file.broken) == (1000, {"allow": 0, "deny": 0}, 0, "")


def test_a_line_is_there_soon_without_more_coming(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    with opened(path) as file:
        file.write(record(1))
        until(lambda: file.written == 1)
        assert ids(path) == ["d-1"]
        file.write(record(2, Effect.DENY))
        until(lambda: file.written == 2)
        assert ids(path) == ["d-1", "d-2"]


def test_allowed_and_denied_calls_are_in_the_order_of_time(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    file = AuditFile(str(path))
    for number in range(20):
        file.write(record(number, Effect.DENY if number % 3 else Effect.ALLOW))
    file.close()
    assert ids(path) == [f"d-{number}" for number in range(20)]


def test_a_new_file_is_readable_by_its_group_and_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    before = os.umask(0o077)
    try:
        AuditFile(str(path)).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_an_existing_file_is_continued_and_a_torn_last_line_ended(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text('{"decision_id": "old"}\n{"torn": ')
    with opened(path) as file:
        file.write(record(1))
        until(lambda: file.written == 1)
    lines = path.read_text().splitlines()
    assert lines[:2] == ['{"decision_id": "old"}', '{"torn": ']
    assert json.loads(lines[2])["decision_id"] == "d-1"


def test_what_cannot_be_opened_stops_the_start(tmp_path: Path) -> None:
    path = str(tmp_path / "no" / "audit.log")
    with pytest.raises(SettingsError) as error:
        AuditFile(path)
    assert str(error.value) == f"audit: cannot open {path!r}: no such file or directory"


def test_an_idle_writer_uses_no_time(tmp_path: Path) -> None:
    with opened(tmp_path / "audit.log") as file:
        file.write(record(1))
        until(lambda: file.written == 1 and file._asleep)
        threading.Event().wait(0.1)
        native = file._writer.native_id
        switches = Path(f"/proc/self/task/{native}/status").read_text
        before = [line for line in switches().splitlines() if "ctxt" in line]
        threading.Event().wait(0.3)
        assert [line for line in switches().splitlines() if "ctxt" in line] == before


# ------------------------------------------------------------------------------------------------ rotation, reopening


def test_a_file_is_rotated_before_it_grows_too_large_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    with opened(path, max_bytes=1000, keep=2) as file:
        for number in range(40):
            file.write(record(number))
            until(lambda written=number: file.written == written + 1)  # type: ignore[misc]
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert names == ["audit.log", "audit.log.1", "audit.log.2"]
    assert all((tmp_path / name).stat().st_size <= 1000 for name in names)
    kept = ids(tmp_path / "audit.log.2") + ids(tmp_path / "audit.log.1") + ids(path)
    assert kept == [f"d-{number}" for number in range(40 - len(kept), 40)]
    assert file.errors == 0


def test_nothing_is_kept_if_none_is_to_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    with opened(path, max_bytes=10, keep=0) as file:
        for number in range(3):
            file.write(record(number))
            until(lambda written=number: file.written == written + 1)  # type: ignore[misc]
    assert [entry.name for entry in tmp_path.iterdir()] == ["audit.log"]
    assert ids(path) == ["d-2"]


def test_a_rotation_that_fails_goes_on_in_the_old_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "audit.log"
    (tmp_path / "audit.log.1" / "in the way").mkdir(parents=True)
    with opened(path, max_bytes=10, keep=1) as file:
        for number in range(3):
            file.write(record(number))
            until(lambda written=number: file.written == written + 1)  # type: ignore[misc]
    assert ids(path) == ["d-0", "d-1", "d-2"]
    assert file.errors == 2
    assert f"audit: cannot rotate {str(path)!r}: is a directory" in caplog.text


def test_a_file_that_was_moved_away_is_opened_again_when_asked(tmp_path: Path) -> None:
    path, moved = tmp_path / "audit.log", tmp_path / "moved"
    with opened(path) as file:
        file.write(record(1))
        until(lambda: file.written == 1)
        path.rename(moved)
        file.write(record(2))
        until(lambda: file.written == 2)
        file.reopen()
        until(path.exists)
        file.write(record(3))
        until(lambda: file.written == 3)
    assert ids(moved) == ["d-1", "d-2"]
    assert ids(path) == ["d-3"]


def test_reopening_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    with opened(directory / "audit.log") as file:
        directory.rename(tmp_path / "elsewhere")
        file.reopen()
        until(lambda: file.errors == 1)
        file.write(record(1))
        until(lambda: file.written == 1)
    assert ids(tmp_path / "elsewhere" / "audit.log") == ["d-1"]


# ----------------------------------------------------------------------------------------------- nothing is waited for


@pytest.mark.usefixtures("quick_retry")
def test_a_full_disk_is_counted_logged_once_and_retried(caplog: pytest.LogCaptureFixture) -> None:
    file = AuditFile("/dev/full")
    file.write(record(1))
    until(lambda: file.errors >= 3)
    assert file.broken == "no space left on device"
    assert file.write(record(2)), "what there is room for may still be written later"
    file.close(timeout=0.1)
    assert (file.written, dict(file.dropped)) == (0, {"allow": 2, "deny": 0})
    assert [entry.getMessage() for entry in caplog.records] == [
        "audit: cannot write '/dev/full': no space left on device"
    ]


@pytest.mark.usefixtures("quick_retry")
def test_a_disk_that_has_room_again_gets_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "audit.log"
    full = threading.Event()
    write = os.write

    def sometimes(fd: int, data: bytes) -> int:
        if full.is_set() and threading.current_thread().name == "audit":
            if len(data) > 100:
                return write(fd, data[:100])
            raise OSError(28, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr(os, "write", sometimes)
    full.set()
    with opened(path) as file:
        for number in range(5):
            file.write(record(number))
        until(lambda: file.errors)
        full.clear()
        until(lambda: file.written == 5)
        assert file.broken == ""
    assert ids(path) == [f"d-{number}" for number in range(5)]
    assert f"audit: {str(path)!r} can be written again" in caplog.text


@pytest.mark.usefixtures("quick_retry")
def test_a_line_cut_in_two_goes_whole_to_the_file_that_is_opened_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, moved = tmp_path / "audit.log", tmp_path / "moved"
    write = os.write
    left = [100]

    def little(fd: int, data: bytes) -> int:
        if threading.current_thread().name == "audit" and not path.exists():
            raise OSError(28, "No space left on device")
        if threading.current_thread().name == "audit" and left[0]:
            left[0] = 0
            path.rename(moved)
            return write(fd, data[:100])
        return write(fd, data)

    monkeypatch.setattr(os, "write", little)
    with opened(path) as file:
        file.write(record(1))
        until(lambda: file.errors)
        file.reopen()
        until(lambda: file.written == 1)
    assert moved.stat().st_size == 100
    assert ids(path) == ["d-1"]


@pytest.mark.usefixtures("quick_retry")
def test_a_pipe_whose_reader_has_gone_is_counted_and_closing_does_not_hang() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        file = AuditFile(writer)
        file.write(record(1, Effect.DENY))
        until(lambda: file.errors >= 2)
        assert file.broken == "broken pipe"
        file.close(timeout=0.1)
        assert not file._writer.is_alive()
        assert dict(file.dropped) == {"allow": 0, "deny": 1}
    finally:
        os.close(writer)


def test_a_reader_that_stopped_costs_records_but_no_time_and_closing_does_not_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    system_calls: set[str] = set()
    write = os.write

    def watched(fd: int, data: bytes) -> int:
        if fd == writer:
            system_calls.add(threading.current_thread().name)
        return write(fd, data)

    monkeypatch.setattr(os, "write", watched)
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        file = AuditFile(writer, max_records=50)
        while file.dropped[Effect.DENY] < 100:  # nobody reads: a write that waited for the pipe would end here
            file.write(record(1, Effect.DENY))
            time.sleep(0)
        assert system_calls == {"audit"}, "only the writer's own thread touches the pipe"
        assert file.errors == 0
        started = time.monotonic()
        file.close(timeout=0.2)
        assert time.monotonic() - started < 5.0
        assert not file._writer.is_alive()
    finally:
        os.close(reader)
        os.close(writer)


def test_a_reader_that_goes_on_reads_whole_lines_and_how_many_are_missing() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    file = AuditFile(writer, max_records=20)
    while file.dropped[Effect.ALLOW] < 7:
        file.write(record(1))
        time.sleep(0)
    dropped = file.dropped[Effect.ALLOW]
    pieces: list[bytes] = []

    def read() -> None:
        while piece := os.read(reader, 65536):
            pieces.append(piece)

    thread = threading.Thread(target=read)
    thread.start()
    file.close(timeout=5.0)
    os.close(writer)
    thread.join()
    os.close(reader)
    lines = [json.loads(line) for line in b"".join(pieces).splitlines()]
    assert sum(line["dropped"]["allow"] for line in lines if "dropped" in line) == dropped
    assert sum("decision_id" in line for line in lines) == file.written
    assert dict(file.dropped) == {"allow": dropped, "deny": 0}


def test_a_flood_of_denials_does_not_push_out_allowed_calls(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        file = AuditFile(str(fifo), max_records=100)
        for number in range(100_000):
            file.write(record(number, Effect.DENY))
        assert file.dropped[Effect.DENY] > 0
        assert all(file.write(record(number)) for number in range(100))
        assert file.dropped[Effect.ALLOW] == 0
        file.close(timeout=0.1)
    finally:
        os.close(reader)


def test_large_bodies_fill_the_room_by_their_weight(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        file = AuditFile(writer, queue_bytes=950_000)
        file._target.write = lambda timeout: False  # type: ignore[method-assign] # the reader has stopped
        file._target._pending = b"x"
        assert file.write(record(1, body=b"x" * 900_000))
        assert not file.write(record(2, body=b"x" * 900_000))
        assert not file.write(record(2, body=b"x" * 8_000)), "parsed arguments take some times their text"
        assert file.write(record(2, body=b"x" * 900_000, part=1, parts=2)), "the parts of a batch share one body"
        assert all(not queued.decision.message.arguments for queued in file._allowed.records)
        file.close(timeout=0.1)
    finally:
        os.close(reader)
        os.close(writer)


def test_a_named_pipe_without_a_reader_stops_the_start_instead_of_waiting(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(SettingsError) as error:
        AuditFile(str(fifo))
    assert str(error.value) == f"audit: cannot open {str(fifo)!r}: no such device or address"


# ---------------------------------------------------------------------------------------------------------- required


@pytest.mark.usefixtures("quick_retry")
def test_where_records_are_required_a_failing_sink_refuses_allowed_calls_only() -> None:
    file = AuditFile("/dev/full", required=True)
    assert file.write(record(1)), "the failure is not known yet"
    until(lambda: file.broken)
    assert not file.write(record(2))
    assert file.write(record(3, Effect.DENY))
    file.close(timeout=0.1)
    assert dict(file.dropped) == {"allow": 2, "deny": 1}


def test_after_closing_nothing_is_taken(tmp_path: Path) -> None:
    file = AuditFile(str(tmp_path / "audit.log"))
    file.close()
    assert not file.write(record(1))
    assert dict(file.dropped) == {"allow": 1, "deny": 0}
    file.close()


def test_a_record_that_cannot_be_encoded_is_lost_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "audit.log"
    with opened(path) as file:
        file.write(record(1, latency=float("nan")))
        file.write(record(2))
        until(lambda: file.written == 1)
        assert (file.errors, dict(file.dropped)) == (1, {"allow": 1, "deny": 0})
    assert ids(path) == ["d-2"]
    assert caplog.records[0].getMessage() == "audit: decision d-1 cannot be encoded"
    assert caplog.records[0].levelno == logging.ERROR


def test_stdout_is_named_in_the_log_and_stays_open(capfd: pytest.CaptureFixture[str]) -> None:
    with opened(1) as file:
        assert str(file._target) == "stdout"
        file.write(replace(record(1), address="192.0.2.1"))
        file.reopen()
        until(lambda: file.written == 1)
    print("still open", flush=True)
    line, rest = capfd.readouterr().out.splitlines()
    assert json.loads(line)["address"] == "192.0.2.1"
    assert rest == "still open"
