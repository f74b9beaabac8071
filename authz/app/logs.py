"""The program's own log -> stderr, as JSON lines or text, from a thread: a reader that stopped stalls no verdict.

Records of decisions are not here; they are the audit's (`authz.audit`).
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import queue
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TextIO

_ROOM = 10_000  # lines that wait for a slow reader; what comes beyond is dropped
_PATIENCE = 1.0  # seconds for the last lines to go
_UNPRINTABLE = {code: f"\\x{code:02x}" for code in (*range(32), 127) if code != 10}


@contextlib.contextmanager
def started(level: str, form: str, stream: TextIO | None = None) -> Iterator[None]:
    """Log to `stream` (stderr) until the block ends; then write what waits. `form` is `json`, `text` or `auto`."""
    stream = stream or sys.stderr
    text = form == "text" or (form == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Text() if text else _Json())
    waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(_ROOM)
    writer = threading.Thread(target=_write, args=(waiting, handler), name="log", daemon=True)
    entrance = _Entrance(waiting)
    root = logging.getLogger()
    before = root.level
    root.addHandler(entrance)
    root.setLevel(level.upper())
    writer.start()
    try:
        yield
    finally:
        root.removeHandler(entrance)
        root.setLevel(before)
        # A reader that takes nothing must not keep the program from ending.
        with contextlib.suppress(queue.Full):
            waiting.put(None, timeout=_PATIENCE)
            writer.join(_PATIENCE)


def _write(waiting: queue.Queue[logging.LogRecord | None], handler: logging.Handler) -> None:
    while (record := waiting.get()) is not None:
        handler.handle(record)


class _Entrance(logging.handlers.QueueHandler):
    """Takes records as they are, for the formatter is on the other side, and drops what has no room."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.msg, record.args = record.getMessage(), None
        return record

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        return  # the queue is full; to say so there is no room


class _Json(logging.Formatter):
    """One JSON object a line, ASCII only, so that nothing in it can end the line or move the cursor."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _Text(logging.Formatter):
    """One line for a person; an exception follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage().translate(_UNPRINTABLE).replace("\n", "\\n")
        line = f"{_rfc3339(record.created)} {record.levelname.lower():7} {text}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
