"""The demo with few calls, in this process: what it shows, and that a surprise is not passed over."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from authz.app import demo
from authz.app.demo import play, scenes, show, stack
from authz.app.demo.calls import ROWS, Row, Seen, Who
from authz.errors import SettingsError

LIMITED, TWICE = ROWS[:2], [row for row in ROWS if row.who is Who.RAW][:1]
FEW = (*LIMITED, *TWICE, next(row for row in ROWS if row.what == "delete_cache()"))


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200, highlight=False)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_expected_answers_are_ticked_and_the_exit_code_is_0(console, monkeypatch):
    monkeypatch.setitem(scenes.SCENES, "demo", dataclasses.replace(scenes.SCENES["demo"], rows=FEW))
    assert play.play(console=console) == 0
    text = printed(console)
    assert text.count("✓") == len(FEW)
    assert "4 of 4 calls got what they must" in text
    assert 'mcp_authz_rate_limit_hits_total{limit="demo/tools.start_import_job/1",server="demo"' in text


def test_an_answer_that_is_not_the_expected_one_is_marked_and_the_exit_code_is_1(console, monkeypatch, tmp_path: Path):
    text = (stack.example_policies() / "demo.yaml").read_text()
    (tmp_path / "demo.yaml").write_text(text.replace("action: deny\n", "action: allow\n"))
    monkeypatch.setitem(scenes.SCENES, "demo", dataclasses.replace(scenes.SCENES["demo"], rows=FEW))
    monkeypatch.setattr(stack, "example_policies", lambda: tmp_path)
    assert play.play(console=console) == 1
    assert "expected rule_denied, got allowed" in printed(console)
    assert "3 of 4 calls got what they must" in printed(console)


def test_ctrl_c_ends_what_is_kept(console, monkeypatch):
    def interrupt(*children) -> None:
        assert all(child.alive() for child in children)
        raise KeyboardInterrupt

    monkeypatch.setitem(scenes.SCENES, "demo", dataclasses.replace(scenes.SCENES["demo"], rows=FEW))
    monkeypatch.setattr(play, "_stay", interrupt)
    assert play.play(keep=True, console=console) == 130
    assert "curl -s http://127.0.0.1:" in printed(console)


def test_without_its_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "authz.app.demo.play", None)
    with pytest.raises(SettingsError, match=r"^demo: expected its extra, pip install '\.\[demo\]', got no "):
        demo.run()


def test_an_answer_cannot_change_how_it_is_shown(console):
    row = Row(Who.RAW, "x", "allowed", lambda clients: None, "[bold]y[/bold]")  # type: ignore[arg-type, return-value]
    console.print(show.table([show.Outcome(row, Seen("allowed", "result", "[red]z[/red]"))]))
    assert "[red]z[/red]" in printed(console)
    assert "[bold]y[/bold]" in printed(console)


def test_a_record_that_is_being_written_is_not_shown():
    assert show.two_records('{"reason":"malformed"}\n{"reason":"rate_') == ['{"reason":"malformed"}\n']


def test_lines_have_a_fixed_width_where_there_is_no_terminal():
    assert show.default_console().width == 150
