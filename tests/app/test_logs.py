"""What the log of the program looks like, and that nothing in it can forge a line."""

import io
import json
import logging
import threading

from authz.app import logs

log = logging.getLogger("mcp_authz.test")


def logged(form: str, emit) -> str:
    stream = io.StringIO()
    with logs.started("info", form, stream):
        emit()
    return stream.getvalue()


def test_a_json_line_says_when_how_bad_who_and_what():
    line = json.loads(logged("json", lambda: log.warning("%s happened", "it")))
    assert {key: line[key] for key in ("level", "logger", "message")} == {
        "level": "warning",
        "logger": "mcp_authz.test",
        "message": "it happened",
    }
    assert line["time"].endswith("Z")


def test_what_is_below_the_level_is_not_logged():
    assert logged("json", lambda: log.debug("nothing")) == ""


def test_a_line_break_in_a_message_makes_no_second_line():
    assert logged("json", lambda: log.error("a\nb\x1b[2J\u202e")).count("\n") == 1
    text = logged("text", lambda: log.error("a\nb\x1b[2J"))
    assert text.endswith(" error   a\\nb\\x1b[2J\n")
    assert text.count("\n") == 1


def test_an_exception_follows_with_its_traceback():
    def fail():
        try:
            int("why")
        except ValueError:
            log.exception("failed")

    assert "ValueError: invalid" in json.loads(logged("json", fail))["exception"]
    assert logged("text", fail).splitlines()[-1] == "ValueError: invalid literal for int() with base 10: 'why'"


def test_auto_is_json_where_there_is_no_terminal():
    assert json.loads(logged("auto", lambda: log.info("x")))["message"] == "x"


class Stopped(io.StringIO):
    """A reader that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def write(self, text: str) -> int:
        self.gate.wait()
        return super().write(text)


def test_a_reader_that_stopped_costs_lines_and_keeps_nobody(monkeypatch):
    monkeypatch.setattr(logs, "_ROOM", 2)
    monkeypatch.setattr(logs, "_PATIENCE", 0.01)
    stream = Stopped()
    with logs.started("info", "json", stream):
        for number in range(100):
            log.info("line %d", number)
        assert stream.getvalue() == "", "the reader took nothing, and nobody waited for it"
    stream.gate.set()
