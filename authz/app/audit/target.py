"""Lines of the audit log -> a file that rotates or is reopened, a named pipe, or a descriptor such as stdout.

Used by one thread, the writer's. It raises OSError and keeps what was not written yet; when to try again, and what
is lost meanwhile, is not its business.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable

from authz.app.phrases import reason
from authz.errors import SettingsError

MODE = 0o640
_PIPE_BUF = select.PIPE_BUF  # POLLOUT promises that so much can be written to a blocking pipe without waiting


class Target:
    """Where the lines go. `place` is a path, or a descriptor that stays the caller's (1 is stdout).

    With `max_bytes` > 0 a regular file is renamed to `PATH.1` before it would grow beyond that, `PATH.1` to `PATH.2`
    and so on; `keep` of them stay. `on_error` is told of a rotation that failed, after which the old file goes on.
    Raises SettingsError if the place cannot be opened now.
    """

    def __init__(
        self, place: str | int, *, max_bytes: int = 0, keep: int = 5, on_error: Callable[[str, OSError], None]
    ) -> None:
        self._place = place
        self._on_error = on_error
        self._max_bytes = max_bytes
        self._keep = keep
        self._fd = -1
        self._size = 0
        self._regular = False
        self._pending = b""
        self._done = 0
        try:
            self.reopen()
        except OSError as error:
            raise SettingsError(f"audit: cannot open {place!r}: {reason(error)}") from error

    def __str__(self) -> str:
        if isinstance(self._place, str):
            return repr(self._place)
        return {1: "stdout", 2: "stderr"}.get(self._place, f"descriptor {self._place}")

    @property
    def pending(self) -> int:
        """How many bytes were taken and are not written."""
        return len(self._pending) - self._done

    def put(self, lines: bytes) -> None:
        """Take whole lines to write; only once nothing is pending."""
        self._pending, self._done = lines, 0

    def write(self, timeout: float) -> bool:
        """Write what is pending, waiting at most `timeout` seconds for room; whether all of it is written."""
        if 0 < self._max_bytes < self._size + self.pending and self._size and not self._done:
            self._rotate()
        while self.pending:
            if not self._regular and not self._has_room(timeout):
                return False
            try:
                written = os.write(self._fd, self._pending[self._done : self._end()])
            except BlockingIOError:
                return False
            self._done += written
            self._size += written
        return True

    def reopen(self) -> None:
        """Open the path again: the file was moved away. If that fails the old one stays open, and OSError is raised."""
        if isinstance(self._place, int):
            self._fd, self._regular = self._place, stat.S_ISREG(os.fstat(self._place).st_mode)
            return
        fd = _open(self._place)
        status = os.fstat(fd)
        self.close()
        self._fd, self._size, self._regular = fd, status.st_size, stat.S_ISREG(status.st_mode)
        # A line that was cut in two goes to the new file as a whole.
        self._done = self._pending.rfind(b"\n", 0, self._done) + 1
        if self._regular and self._size and not _ends_a_line(self._place):
            self._pending = b"\n" + self._pending[self._done :]  # somebody died in the middle of the last line
            self._done = 0

    def close(self) -> None:
        """Close what was opened here."""
        if self._fd >= 0 and not isinstance(self._place, int):
            os.close(self._fd)
        self._fd = -1

    def _end(self) -> int:
        """How far the next write goes: into a pipe no farther than it has room, and whole lines where they fit."""
        if self._regular:
            return len(self._pending)
        limit = self._done + _PIPE_BUF
        return self._pending.rfind(b"\n", self._done, limit) + 1 or limit

    def _has_room(self, timeout: float) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(timeout * 1000))  # an error counts as room: the write then says which

    def _rotate(self) -> None:
        if isinstance(self._place, int) or not self._regular:
            return
        try:
            if os.path.exists(self._place):
                _shift(self._place, self._keep)
            self.reopen()
        except OSError as error:
            self._on_error("rotate", error)


def _open(path: str) -> int:
    # O_NONBLOCK: opening a named pipe must not wait for its reader, nor writing to it.
    flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, MODE)
    except FileExistsError:
        return os.open(path, flags | os.O_CREAT, MODE)
    os.fchmod(fd, MODE)  # whatever the umask: it may be another one while a socket is made
    return fd


def _shift(path: str, keep: int) -> None:
    """`path` becomes `path.1`, that `path.2`, and the last one goes."""
    for number in range(keep - 1, 0, -1):
        if os.path.exists(f"{path}.{number}"):
            os.replace(f"{path}.{number}", f"{path}.{number + 1}")
    if keep:
        os.replace(path, f"{path}.1")
    else:
        os.unlink(path)


def _ends_a_line(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
    except PermissionError:
        return True  # ours to write and not to read: taken for whole
