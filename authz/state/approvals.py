"""Who may decide a request for approval, and the limits on asking. Pure: the same rules over every store."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from authz.model import ApprovalRecord, ApprovalStatus, Approver, Limit, Ruling
from authz.names import fold

HISTORY = 24 * 3600.0  # seconds that a request is shown after it ended

# Varying one byte of a call must not flood approvers. Both limits count per requester.
PENDING_LIMIT = Limit("approvals-pending", ("approvals", "pending"), 20, 0.0, "")
FILING_LIMIT = Limit("approvals-requests", ("approvals", "requests"), 60, 600.0, "")

_GROUP = "group:"


class Refusal(enum.StrEnum):
    """Why a person's decision was not taken."""

    UNKNOWN = "unknown"  # no such request, or none that this approver may see
    ENDED = "ended"  # decided by somebody else, or expired
    SELF = "self"  # the requester cannot approve own calls
    UNIDENTIFIED = "unidentified"  # nobody can say whether approver and requester are the same person
    ALREADY = "already"  # this approver has said yes; somebody else must too
    COMMENT = "comment"  # the rule wants a reason


@dataclass(frozen=True, slots=True)
class Judge:
    """The settings that bear on who may decide. `unidentified_ok`: a missing claim on either side is no obstacle."""

    unidentified_ok: bool = False

    def sees(self, approver: Approver, record: ApprovalRecord) -> bool:
        """Whether this request is any of the approver's business: some entry of its `by` is theirs."""
        return any(_satisfies(approver, entry) for entry in record.request.by)

    def judge(
        self, approver: Approver, record: ApprovalRecord | None, granted: bool, *, comment: str, at: float, origin: str
    ) -> Ruling | Refusal:
        """The ruling to submit, or why there is none.

        Who asked may withdraw the request (deny it) but not grant it. Claims that differ in case only are one person's,
        as mail addresses are, and so are those that only a program can tell apart (`fold`). Where the claim is missing
        on either side a yes is refused, unless the settings allow it.
        """
        if record is None or not self.sees(approver, record):
            return Refusal.UNKNOWN
        if record.status is not ApprovalStatus.PENDING:
            return Refusal.ENDED
        request = record.request
        satisfies = tuple(index for index, entry in enumerate(request.by) if _satisfies(approver, entry))
        if granted:
            theirs, own = fold(request.claim), fold(approver.claim)
            if not theirs or not own:
                if not self.unidentified_ok:
                    return Refusal.UNIDENTIFIED
            elif theirs == own:
                return Refusal.SELF
            if any(one.approver == approver.id and set(satisfies) <= set(one.satisfies) for one in record.rulings):
                return Refusal.ALREADY
        if request.reason_required and not comment.strip():
            return Refusal.COMMENT
        return Ruling(approver.id, granted, satisfies if granted else (), comment, at, origin)


def _satisfies(approver: Approver, entry: tuple[str, ...]) -> bool:
    """Whether one entry of `by` is this approver; an empty one is anybody. Entries are `group:NAME` or an id."""
    if not entry or any(f"{_GROUP}{group}" in entry for group in approver.groups):
        return True
    return approver.id in entry and not approver.id.startswith(_GROUP)  # nobody becomes a group by a name
