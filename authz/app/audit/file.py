"""Audit records -> lines in a file or on stdout, off the path: what decides a call only appends to a queue.

A full disk, a closed pipe or a reader that stopped costs records, which are counted, and never a verdict its time.
Allowed calls have a queue of their own, so that a flood of denials cannot push them out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping

from msgspec.structs import replace

from authz.app.audit.target import Target
from authz.app.phrases import reason
from authz.audit import MAX_ARGUMENTS, NO_VALUES, Record, Redaction, RulingRecord, encode, encode_gap, encode_ruling
from authz.model import NOTHING, Effect

_log = logging.getLogger("mcp_authz.audit")

MAX_RECORDS = 8192  # of a queue: two seconds of 4,000 calls/s, about 30 MiB
MAX_BYTES = 32 * 1024 * 1024  # of a queue, by the estimate below
_LINGER = 0.01  # seconds that lines gather before they are written
_BATCH = 64 * 1024  # bytes of lines in one write
_BREATH = 16  # records, about 0.2 ms, that are encoded before other threads get their turn
# Of a busy event loop a turn comes back after 5 ms only (Python's switch interval), so with many waiting a turn must
# bring more: 64 records in 0.8 ms are 10,000 a second and more, 8 were 1,400 and half of all records lost (measured).
_LONG_BREATH = 64
_MANY = 256
_PATIENCE = 0.2  # seconds to wait for room in a pipe before looking up
_BACK_OFF = (0.05, 2.0)  # seconds until a failed write is tried again: at first, at most


class _Queue:
    """A queue from one thread to one other, bounded by records and by the memory they hold."""

    def __init__(self, max_records: int, max_bytes: int) -> None:
        self.records: deque[Record | RulingRecord] = deque()
        self.refused = 0  # counted by the thread that puts
        self.lost = 0  # counted by the thread that takes
        self._max_records = max_records
        self._max_bytes = max_bytes
        # Each side counts for itself, so that no lock is needed: what is held is the difference.
        self._put = 0
        self._taken = 0

    def put(self, record: Record | RulingRecord) -> bool:
        weight = _weight(record)
        if len(self.records) >= self._max_records or self._put - self._taken + weight > self._max_bytes:
            self.refused += 1
            return False
        if (
            isinstance(record, Record) and len(record.body) > MAX_ARGUMENTS
        ):  # its arguments are not written down: do not hold them
            message = replace(record.decision.message, arguments=NOTHING)
            record = replace(record, decision=replace(record.decision, message=message))
        self._put += weight
        self.records.append(record)
        return True

    def take(self) -> Record | RulingRecord:
        record = self.records.popleft()
        self._taken += _weight(record)
        return record


class AuditFile:
    """An AuditSink that writes to `place`: a path, or a descriptor that is already open (1 is stdout).

    `write` is to be called from one thread. `written`, `dropped` and `errors` count lines, lost records by effect and
    failed system calls since the start. With `required`, an allowed call is refused while the last write failed.
    Raises SettingsError if `place` cannot be opened now.
    """

    def __init__(
        self,
        place: str | int,
        *,
        redaction: Redaction = NO_VALUES,
        required: bool = False,
        max_bytes: int = 0,
        keep: int = 5,
        max_records: int = MAX_RECORDS,
        queue_bytes: int = MAX_BYTES,
    ) -> None:
        self.written = 0
        self.errors = 0
        self._broken = ""  # why the last write failed
        self._redaction = redaction
        self._required = required
        self._allowed = _Queue(max_records, queue_bytes)
        self._denied = _Queue(max_records, queue_bytes)
        self._queues = {Effect.ALLOW: self._allowed, Effect.DENY: self._denied}
        self._pending = dict.fromkeys(Effect, 0)  # what is encoded and not written yet
        self._told: Mapping[Effect, int] = self.dropped
        self._asleep = False
        self._wake = threading.Event()
        self._reopen = False
        self._deadline: float | None = None
        self._target = Target(place, max_bytes=max_bytes, keep=keep, on_error=self._failed)
        self._writer = threading.Thread(target=self._run, name="audit", daemon=True)
        self._writer.start()

    @property
    def dropped(self) -> Mapping[Effect, int]:
        """How many records were lost, by what was decided."""
        return {effect: queue.refused + queue.lost for effect, queue in self._queues.items()}

    @property
    def broken(self) -> str:
        """Why nothing can be written now, "" while it can."""
        return self._broken

    def write(self, record: Record) -> bool:
        """Queue a record; False if it is lost. Costs about a microsecond and waits for nothing."""
        allowed = record.decision.effect is Effect.ALLOW
        queue = self._allowed if allowed else self._denied
        if self._deadline is not None or (allowed and self._required and self._broken):
            queue.refused += 1
            return False
        return self._put(queue, record)

    def write_ruling(self, record: RulingRecord) -> bool:
        """Queue what a person said of a request; False if it is lost."""
        return self._put(self._allowed if record.ruling.granted else self._denied, record)

    def _put(self, queue: _Queue, record: Record | RulingRecord) -> bool:
        if not queue.put(record):
            return False
        if self._asleep:
            self._wake.set()
        return True

    def reopen(self) -> None:
        """Open the path again before the next line (SIGHUP, after the file was moved away)."""
        self._reopen = True
        self._wake.set()

    def close(self, timeout: float = 2.0) -> None:
        """Write what is queued for at most `timeout` seconds; what remains is counted as dropped."""
        if self._deadline is None:
            self._deadline = time.monotonic() + timeout
        self._wake.set()
        self._writer.join(timeout + 1.0)
        if self._writer.is_alive():
            _log.error("audit: %s does not take the last lines; they are lost", self._target)

    # --------------------------------------------------------------------------------------------- the writer

    def _run(self) -> None:
        pause = _BACK_OFF[0]
        while not self._over() and self._rest():
            try:
                self._reopen_if_asked()
                if not self._target.pending:
                    self._target.put(self._batch())
                if self._target.write(timeout=_PATIENCE):
                    self._recovered()
                    pause = _BACK_OFF[0]
            except OSError as error:
                self._failed("write", error)
                self._broken = reason(error)
                self._wait(pause)
                pause = min(pause * 2, _BACK_OFF[1])
        for effect, queue in self._queues.items():
            queue.lost += len(queue.records) + self._pending[effect]
            queue.records.clear()
        self._target.close()

    def _over(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _rest(self) -> bool:
        """Wait until there is something to do, and a little more for company; False: there is nothing left to do."""
        while not (self._allowed.records or self._denied.records or self._target.pending or self._reopen):
            if self._deadline is not None:
                return False
            self._asleep = True
            # Whoever appends after this line sees that a wake-up is wanted; whoever did so before it is seen here.
            if not (self._allowed.records or self._denied.records or self._reopen or self._deadline is not None):
                self._wake.wait()
            self._asleep = False
            self._wake.clear()
        if self._deadline is None and self._waiting < _MANY:
            time.sleep(_LINGER)
        return True

    @property
    def _waiting(self) -> int:
        """How many records are queued."""
        return len(self._allowed.records) + len(self._denied.records)

    def _wait(self, seconds: float) -> None:
        """Wait before the next try; a reopening or the end cuts it short."""
        if self._deadline is not None:
            seconds = min(seconds, max(0.0, self._deadline - time.monotonic()))
        self._wake.wait(seconds)
        self._wake.clear()

    def _batch(self) -> bytes:
        """Lines of what is queued, oldest first, with a line before them where records were lost."""
        lines = [self._gap()]
        size = 0
        allowed, denied = self._allowed.records, self._denied.records
        while size < _BATCH and (allowed or denied):
            first = bool(allowed) and (not denied or allowed[0].time <= denied[0].time)
            effect = Effect.ALLOW if first else Effect.DENY
            line = self._encoded(self._queues[effect].take(), effect)
            size += len(line)
            lines.append(line)
            if len(lines) % (_LONG_BREATH if self._waiting > _MANY else _BREATH) == 0:
                time.sleep(0.00005)
        return b"".join(lines)

    def _encoded(self, record: Record | RulingRecord, effect: Effect) -> bytes:
        try:
            line = encode(record, self._redaction) if isinstance(record, Record) else encode_ruling(record)
        except Exception:  # a record that cannot be written must not end the writing of all others
            id_ = record.decision.id if isinstance(record, Record) else record.approval.id
            _log.exception("audit: decision %s cannot be encoded", id_)
            self.errors += 1
            self._queues[effect].lost += 1
            return b""
        self._pending[effect] += 1
        return line

    def _gap(self) -> bytes:
        told, dropped = self._told, self.dropped
        self._told = dropped
        lost = {effect: dropped[effect] - told[effect] for effect in Effect}
        return encode_gap(time.time(), lost) if any(lost.values()) else b""

    def _reopen_if_asked(self) -> None:
        if not self._reopen:
            return
        self._reopen = False
        try:
            self._target.reopen()
        except OSError as error:
            self._failed("reopen", error)  # the old file is still open, and goes on

    def _failed(self, what: str, error: OSError) -> None:
        self.errors += 1
        if what != "write" or not self._broken:
            _log.error("audit: cannot %s %s: %s", what, self._target, reason(error))

    def _recovered(self) -> None:
        self.written += sum(self._pending.values())
        self._pending = dict.fromkeys(Effect, 0)
        if self._broken:
            self._broken = ""
            _log.warning("audit: %s can be written again", self._target)


def _weight(record: Record | RulingRecord) -> int:
    """An estimate of the memory that a record holds: parsed arguments take some times their text."""
    if isinstance(record, RulingRecord):
        return 1024 + len(record.approval.request.params) + len(record.ruling.comment)
    body = len(record.body)
    if record.part:
        body = 0  # the parts of a batch share one body
    return 1024 + (body if body > MAX_ARGUMENTS else 8 * body)
