"""What a server or the way to it answered -> why there is no answer: one closed set of causes, one error.

Words that begin an error reply are the server's own (https://valkey.io/topics/protocol/#simple-errors).
"""

from __future__ import annotations

import enum

from authz.errors import StoreError


class Cause(enum.StrEnum):
    """Why the shared store could not tell."""

    TIMEOUT = "timeout"  # no answer in time; what was asked may have been done
    CONNECTION = "connection"  # nobody there, refused, not let in, not the primary any more
    READONLY = "readonly"
    OOM = "oom"
    OTHER = "other"  # busy, still loading, data of another kind, an error in a script


class StoreFailure(StoreError):  # noqa: N818 - "failure" is what it counts as, an error is what was raised
    """The shared store did not answer, or not with what was asked for. `cause` is for metrics, the text for the log."""

    def __init__(self, text: str, cause: Cause) -> None:
        super().__init__(text)
        self.cause = cause

    def again(self) -> StoreFailure:
        """The same to raise again: an exception that is kept would gather a traceback each time."""
        return StoreFailure(str(self), self.cause)


_CAUSES = {
    "READONLY": Cause.READONLY,
    "OOM": Cause.OOM,
    "MASTERDOWN": Cause.CONNECTION,
    "CLUSTERDOWN": Cause.CONNECTION,
    "NOAUTH": Cause.CONNECTION,
    "WRONGPASS": Cause.CONNECTION,
    "NOPERM": Cause.CONNECTION,
    "UNBLOCKED": Cause.CONNECTION,
}
# After these another server may be the one to ask, so that the connection is made anew.
MOVED_ON = frozenset({"READONLY", "MASTERDOWN", "LOADING", "NOAUTH", "UNBLOCKED"})
_LONGEST = 200  # characters of an error reply: a script's error may hold its arguments


def refused(place: object, reply: Exception) -> StoreFailure:
    """The failure that an error reply of the server at `place` stands for."""
    text = str(reply)
    return StoreFailure(f"{place}: {printable(text)}", _CAUSES.get(word(reply), Cause.OTHER))


def word(reply: Exception) -> str:
    """What kind of error reply it is: `OOM`, `READONLY`, `NOSCRIPT`, `ERR` and so on."""
    return str(reply).partition(" ")[0]


def printable(text: str) -> str:
    """`text` as the log may have it: one line, not too long."""
    short = text[:_LONGEST]
    return short if short.isprintable() else repr(short)[1:-1]
