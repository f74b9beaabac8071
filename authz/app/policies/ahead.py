"""Many changed files -> their YAML read by a process beside this one, where there is a core for it.

Reading is a third of a load (2.6 of 7.7 s for 1000 files of 50 tools) and holds the interpreter like all of it. Nobody
waits for the other process: what it has not sent yet is read here, so it may be slow, killed or not start at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import logging
import mmap
import os
import subprocess
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from authz.app.phrases import reason
from authz.policy.text.source import Reading, Source

_log = logging.getLogger("mcp_authz.reload")

MODULE = "authz.app.policies.ahead_process"
FEWEST = 100  # files; below that it is done here before another process has begun
HEAD_START = 32  # files that are read here while the other process starts
_PIPE = 1 << 20  # bytes that may wait; the default holds the answer to four files
_LARGEST = 64 << 20  # bytes of an answer; a text has at most 1 MiB, and each value in it five more for its place
# Numbers are big-endian. Before a text stands its length, before an answer the number of its text and the length: 0 for
# one to be read here. The file of texts begins with the number of the last one that was read here: too late for those.
LENGTH = 4
POSITION = 8


@contextlib.contextmanager
def reading_ahead(files: Mapping[str, Source], fewest: int = FEWEST) -> Iterator[None]:
    """Until the block ends, the YAML of `files` comes from another process as far as that is ahead.

    They are expected to be asked for in the order of their names.
    """
    sources = [source for _, source in sorted(files.items())][HEAD_START:]
    if len(files) < fewest or _cores() < 2:
        yield
        return
    try:
        ahead = _Ahead(sources)
    except OSError as error:
        _log.info("policies: read without another process: %s", reason(error))
        yield
        return
    for number, source in enumerate(sources):
        source.ahead = functools.partial(ahead.take, number)
    try:
        yield
    finally:
        for source in sources:
            source.ahead = None
        ahead.end()


def _cores() -> int:
    """How many this process may use; 1 where the system has no way to tell, nor files in memory."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


class _Ahead:
    """The other process: its answers come in the order of `sources`, without those that it was too late for."""

    def __init__(self, sources: Sequence[Source]) -> None:
        content = os.memfd_create("policies")
        try:
            with open(content, "wb", closefd=False) as file:
                file.write(bytes(POSITION))
                for source in sources:
                    file.write(len(source).to_bytes(LENGTH) + source)
            self._position = mmap.mmap(content, POSITION)
            # -P: else a file `yaml.py` in the directory that somebody happens to be in would be run.
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter and a module of this package
                [sys.executable, "-P", "-m", MODULE, str(content)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(content,),
            )
        finally:
            os.close(content)
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        self._answers = self._process.stdout
        os.set_blocking(self._answers.fileno(), False)
        with contextlib.suppress(OSError):  # beyond what this user may have; then fewer answers wait
            fcntl.fcntl(self._answers.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
        self._buffer = bytearray()
        self._waiting: tuple[int, bytes] | None = None  # an answer for a source that was not asked for yet
        self._over = False
        self._next = 0  # what the next answer may be for at least
        self._count = len(sources)

    def take(self, number: int) -> Reading | None:
        """What is known of source `number`, None where it is to be read here. Never waits."""
        while self._waiting is None or self._waiting[0] < number:
            self._waiting = self._answer()
            if self._waiting is None:
                break
        if self._waiting is None or self._waiting[0] != number:
            self._position[:] = number.to_bytes(POSITION)
            return None
        answer = self._waiting[1]
        self._waiting = None
        if not answer:
            return None
        try:
            value, starts = msgspec.msgpack.decode(answer)
            return value, array("I", starts)
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            self._distrust(str(error))
            return None

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._answers.close()
        self._process.wait()
        self._position.close()

    def _answer(self) -> tuple[int, bytes] | None:
        """The next whole answer and which source it is for, None if it has not arrived."""
        head = 2 * LENGTH
        while not self._over:
            if len(self._buffer) >= head:
                number, size = int.from_bytes(self._buffer[:LENGTH]), int.from_bytes(self._buffer[LENGTH:head])
                if not self._next <= number < self._count or size > _LARGEST:
                    self._distrust(f"expected text {self._next} or a later one, got {size} bytes for text {number}")
                    return None
                end = head + size
                if len(self._buffer) >= end:
                    found = number, bytes(self._buffer[head:end])
                    del self._buffer[:end]
                    self._next = number + 1
                    return found
            try:
                more = os.read(self._answers.fileno(), _PIPE)
            except BlockingIOError:
                return None
            self._over = not more
            self._buffer += more
        return None

    def _distrust(self, why: str) -> None:
        """Read the rest here: what the process says cannot be an answer."""
        self._over = True
        _log.warning("policies: read without the other process, which does not answer as it should: %s", why)
