"""A request to the operator's side and the answer to it, as its pages see them. Knows no connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

TEXT = "text/plain; charset=utf-8"


class BodyRefused(Exception):  # noqa: N818 - named for what it is about
    """A body that cannot be read; `status` is what the client gets, the text says what was expected."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request. Names of `headers` are lower case, as h11 gives them.

    `read` gives the body of at most so many bytes or raises BodyRefused. What nobody reads stays unread, so that
    nobody can make the service wait for a body that it does not want.
    """

    method: str
    target: str
    headers: Sequence[tuple[bytes, bytes]]
    read: Callable[[int], Awaitable[bytes]]

    @property
    def path(self) -> str:
        """The target without its query, as it was sent."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the path, "" where there is nothing."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> list[str]:
        """All values of a header, in order."""
        wanted = name.encode("ascii")
        return [value.decode("latin-1") for key, value in self.headers if key == wanted]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `headers` come on top of Content-Type and Content-Length."""

    status: int
    body: bytes
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()
