"""Children are ended with what started them, and say why they did not start."""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path

import pytest

from authz.app.demo.processes import Child, Children, DemoError

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_leaving_the_block_ends_what_was_started(tmp_path: Path):
    with Children(tmp_path) as children:
        child = children.start("one", SLEEP)
        assert child.alive()
    assert not child.alive()
    assert child.process.returncode == -signal.SIGTERM


def test_a_mistake_in_the_block_ends_it_too(tmp_path: Path):
    with contextlib.suppress(ZeroDivisionError), Children(tmp_path) as children:
        child = children.start("one", SLEEP)
        _ = 1 / 0
    assert not child.alive()


def test_what_does_not_end_when_told_is_killed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("authz.app.demo.processes.GRACE", 0.05)
    with Children(tmp_path) as children:
        child = children.start("stubborn", STUBBORN)
        child.until(lambda: child.output.read_text() == "up\n")
    assert child.process.returncode == -signal.SIGKILL


def test_a_program_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path):
    child = Child("envoy", python("import sys; print('port in use', file=sys.stderr); sys.exit(3)"), tmp_path)
    with pytest.raises(DemoError) as raised:
        child.until(lambda: False)
    assert str(raised.value) == "envoy: ended with exit code 3:\n  port in use"


def test_a_program_that_ends_silently_is_reported_too(tmp_path: Path):
    child = Child("envoy", python("pass"), tmp_path)
    with pytest.raises(DemoError, match=r"^envoy: ended with exit code 0, without a word$"):
        child.until(lambda: False)


def test_a_program_that_does_not_get_ready_is_not_waited_for(tmp_path: Path):
    with Children(tmp_path) as children:
        child = children.start("slow", SLEEP)
        with pytest.raises(DemoError, match=r"^slow: not ready after 0\.1 s, without a word$"):
            child.until(lambda: False, seconds=0.1)


def test_a_refused_connection_means_not_yet(tmp_path: Path):
    answers = iter([ConnectionRefusedError(), FileNotFoundError(), None])

    def ready() -> bool:
        answer = next(answers)
        if answer:
            raise answer
        return True

    with Children(tmp_path) as children:
        children.start("one", SLEEP).until(ready)
    assert next(answers, "none left") == "none left"
