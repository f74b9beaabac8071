"""A program's standard output and error, passed on up to a bound: `python -m authz.app.catalog.bounded BYTES COMMAND…`.

The reader of a local MCP server keeps a line until it ends; a server that never ends one must not fill the memory of
whoever scans it. Standard library only.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO

TOO_MUCH = 75  # exit code: more than the bound was said
_CHUNK = 1 << 16
_STDERR = 1 << 16  # bytes of standard error that are passed on; the rest is read and dropped


def run(limit: int, command: Sequence[str]) -> int:
    """Run `command` with this program's standard input; its exit code, or TOO_MUCH where it said more than `limit`."""
    try:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603 - what was typed
    except OSError as error:
        print(f"{command[0]}: {(error.strerror or str(error)).lower()}", file=sys.stderr)
        return 127
    with child:
        said, complained = child.stdout, child.stderr
        if said is None or complained is None:
            raise AssertionError("both are pipes")
        errors = threading.Thread(target=_pass_errors, args=(complained,), daemon=True)
        errors.start()
        whole = _pass_on(said, limit)
        if not whole:
            child.kill()
        code = child.wait()
        errors.join(timeout=1)
    if whole:
        return code
    print(f"said more than {limit} bytes", file=sys.stderr)
    return TOO_MUCH


def _pass_on(source: IO[bytes], limit: int) -> bool:
    while chunk := source.read1(_CHUNK):  # type: ignore[attr-defined]  # a BufferedReader
        limit -= len(chunk)
        if limit < 0:
            return False
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
    return True


def _pass_errors(source: IO[bytes]) -> None:
    left = _STDERR
    while chunk := source.read1(_CHUNK):  # type: ignore[attr-defined]
        sys.stderr.buffer.write(chunk[:left])
        sys.stderr.buffer.flush()
        left -= min(left, len(chunk))


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), sys.argv[2:]))
