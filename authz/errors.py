"""One tree of errors, each with the reason it leads to, and `Problem`: a mistake in a policy file with its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authz.model import MessageId, Reason


class AuthzError(Exception):
    """Whatever went wrong; `reason` is what the caller is told, the text is for the log."""

    reason: Reason = Reason.INTERNAL


class MalformedMessage(AuthzError):  # noqa: N818 - the field says "malformed message", not "error"
    """A request that cannot be read without doubt.

    `kind` is a short stable word for the metric of malformed requests, `code` the JSON-RPC error code and `status`
    the HTTP status that the protocol wants for it, `id` the request's own id where it could be read, `data` what the
    protocol wants beside the code (the supported versions).
    The text names what was expected and never repeats what was sent.
    """

    reason = Reason.MALFORMED

    def __init__(
        self,
        text: str,
        *,
        kind: str,
        code: int = -32600,
        status: int = 400,
        reason: Reason = Reason.MALFORMED,
        id: MessageId = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(text)
        self.kind = kind
        self.code = code
        self.status = status
        self.reason = reason
        self.id = id
        self.data = data


class StoreError(AuthzError):
    """The store did not answer, or not in time."""

    reason = Reason.STATE_UNAVAILABLE


class ApprovalError(AuthzError):
    """A person cannot be asked about this call; the text says why and names nothing that the caller sent."""

    reason = Reason.APPROVAL_REFUSED


class TokenRefused(AuthzError):  # noqa: N818 - the token is refused, which is no failure
    """A bearer token that does not say who asks; the text says why, and nothing that the token says.

    `cause` is a stable word for the metric of refused tokens.
    """

    reason = Reason.UNAUTHENTICATED

    def __init__(self, text: str, cause: str) -> None:
        super().__init__(text)
        self.cause = cause


class TokenBusy(AuthzError):  # noqa: N818 - as `Busy`
    """A token that nobody has time to verify now, or for which no keys are known yet: the caller should try again."""

    reason = Reason.BUSY


class SettingsError(AuthzError):
    """The settings cannot be used; the text names the setting."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A mistake in a policy file. `line` and `column` count from 1; 0 means the file as a whole.

    `path` is the place in the document, such as `tools.transfer.action`.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class PolicyError(AuthzError):
    """Policy files that cannot be used, with every problem found in them."""

    reason = Reason.POLICY_INVALID

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
