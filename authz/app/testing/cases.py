"""What a policy test says, as values: a case, its steps, who decides in between, and what must come of each call."""

from __future__ import annotations

from dataclasses import dataclass

from authz.app.callers import Caller
from authz.model import Effect, HttpRequest, Reason
from authz.policy.text.document import Document, Path
from authz.state.approvals import Refusal


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a call must get; None is no matter.

    `text` and `rule` are whole, `detail` and `answer` parts of what there is. `owes` are the names of limits and
    `approvers` entries of the policy, both whole lists in any order. `retry_after` is in seconds.
    """

    effect: Effect
    reason: Reason | None = None
    rule: str | None = None
    text: str | None = None
    detail: str | None = None
    answer: str | None = None
    owes: tuple[str, ...] | None = None
    approvers: tuple[str, ...] | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Saying:
    """What a person says to the request that was asked for last. `refused` is why it must not be taken, None if it is.

    A person is described as a caller is; of that, approving knows the id, the groups and one claim.
    """

    person: Caller
    granted: bool
    comment: str = ""
    refused: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One moment: time passes (`advance` seconds, or until `time`), somebody may say yes or no, a call may be made.

    `request` is made `repeat` times and must get `wanted` each time; None: no call is made. `path` is its place.
    """

    path: Path
    request: HttpRequest | None
    wanted: Wanted | None
    repeat: int = 1
    advance: float = 0.0
    time: float | None = None
    saying: Saying | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One named test. `policy` is the policy file that it stands beside, "" if there is none.

    `time` is when it begins, in seconds since the epoch. Places are found in `document`.
    """

    document: Document
    path: Path
    name: str
    steps: tuple[Step, ...]
    time: float
    policy: str = ""

    @property
    def file(self) -> str:
        """The test file, relative to the directory."""
        return self.document.file

    @property
    def id(self) -> str:
        """What tells it from all others, and what `-k` looks at."""
        return f"{self.file}::{self.name}"
