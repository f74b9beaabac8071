"""A program may say so much and no more."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from authz.app.catalog.bounded import TOO_MUCH, run


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_what_it_says_and_its_exit_code_are_passed_on(capsysbinary: Any) -> None:
    code = run(100, python("import sys; print('hello'); print('oh', file=sys.stderr); sys.exit(3)"))
    assert code == 3
    said = capsysbinary.readouterr()
    assert (said.out, said.err) == (b"hello\n", b"oh\n")


def test_a_program_that_says_more_is_ended(capsysbinary: Any) -> None:
    assert run(1000, python("while True: print('x' * 99)")) == TOO_MUCH
    said = capsysbinary.readouterr()
    assert len(said.out) <= 1000
    assert said.err.endswith(b"said more than 1000 bytes\n")


def test_complaints_are_cut_and_do_not_stop_it(capsysbinary: Any) -> None:
    assert run(1000, python("import sys; sys.stderr.write('x' * 200000); print('done')")) == 0
    said = capsysbinary.readouterr()
    assert (said.out, len(said.err)) == (b"done\n", 65536)


@pytest.mark.parametrize(
    ("program", "why"), [("no-such-program", "no such file or directory"), ("/", "permission denied")]
)
def test_a_program_that_cannot_be_run_is_told(program: str, why: str, capsys: Any) -> None:
    assert run(1, [program]) == 127
    assert capsys.readouterr().err == f"{program}: {why}\n"
