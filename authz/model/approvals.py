"""A person's yes to one exact call: what a rule wants, what is asked, how it stands and what people said."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Approval:
    """An obligation as a rule states it: a person must have said yes to exactly this call.

    `timeout` is in seconds from when it is asked for: how long the request waits and the yes counts. `by` empty:
    anyone whom the service lets approve. A grant serves `uses` calls, or for `remember` seconds any number of calls
    (then `uses` is 0: not counted) of the same digest. `content` is a digest of the rule itself: a yes under a rule
    that has since changed is no yes.
    """

    rule: str
    timeout: float
    by: tuple[str, ...] = ()
    uses: int = 1
    remember: float = 0.0
    reason_required: bool = False
    content: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """All approvals that one message owes, as the one thing that a person is asked.

    `digest` is of exactly this call: server, principal, tool, parameters and rules (authz/approval.py). `owner` is
    the descriptor of who asks, in bounded text, by which pending requests are bounded; `principal` the same for
    people. `claim` is the value of the configured claim of the requester, by which nobody approves one's own call
    ("": there is none). Every entry of `by` must be satisfied, by one approver or by several; an empty tuple anyone
    satisfies. `params` is what will run, as canonical JSON text. `reason` is the policy's own sentence.
    """

    digest: bytes
    owner: str
    server: str
    tool: str
    principal: str
    claim: str
    rule: str
    reason: str
    params: str
    timeout: float
    by: tuple[tuple[str, ...], ...] = ((),)
    uses: int = 1
    remember: float = 0.0
    reason_required: bool = False
    categories: tuple[str, ...] = ()
    risk: str = ""
    anonymous: bool = False


class ApprovalStatus(enum.StrEnum):
    """How an approval stands. PENDING until a person decides or its time is over."""

    PENDING = "pending"
    GRANTED = "granted"
    DENIED = "denied"
    USED = "used"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Standing:
    """How the approval of one message stands after an attempt. `status` is PENDING, GRANTED or DENIED.

    GRANTED: a grant is there, and claimed if the attempt was paid. `expires_in` is in seconds. `filed`: this attempt
    made the request, so people must hear of it. `decided_by` and `comment` are the approver's, "" while pending.
    """

    id: str
    status: ApprovalStatus
    expires_in: float
    filed: bool = False
    decided_by: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Approver:
    """A person who may decide, as the approvals listener has authenticated them.

    `claim` is their value of the configured claim ("": there is none), compared with the requester's.
    """

    id: str
    groups: frozenset[str] = frozenset()
    claim: str = ""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What one approver said of a request. `satisfies` are the indices of its `by` that a yes satisfies.

    `at` is wall-clock seconds since the epoch, `origin` the address that the approver's own request came from.
    """

    approver: str
    granted: bool
    satisfies: tuple[int, ...] = ()
    comment: str = ""
    at: float = 0.0
    origin: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalRecord:
    """A request with all that has become of it, for people. Times are wall-clock seconds since the epoch.

    `id` is 128 random bits as text. `used` is how many calls its grant has served. `ended_at` is when it stopped being
    pending, 0 while it is.
    """

    id: str
    request: ApprovalRequest
    status: ApprovalStatus
    requested_at: float
    expires_at: float
    rulings: tuple[Ruling, ...] = ()
    used: int = 0
    ended_at: float = 0.0
