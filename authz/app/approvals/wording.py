"""How the approvals listener words things for people: refusals, times, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from authz.model import ApprovalRecord, ApprovalStatus
from authz.state.approvals import Refusal


@dataclass(frozen=True, slots=True)
class Said:
    """An HTTP status, a title and a sentence."""

    status: int
    title: str
    text: str


UNKNOWN = Said(404, "No such request", "There is no such request, or it is not yours to decide.")
REFUSALS: Mapping[Refusal, Said] = {
    Refusal.UNKNOWN: UNKNOWN,
    Refusal.ENDED: Said(409, "Already ended", "The request has ended: somebody else decided it, or its time is over."),
    Refusal.SELF: Said(403, "Your own call", "Who asks for a call cannot approve it. Somebody else must."),
    Refusal.UNIDENTIFIED: Said(
        403,
        "Not clear who you are",
        "Nobody can say whether you are the one who asks: the claim that is compared is missing on one side.",
    ),
    Refusal.ALREADY: Said(409, "You have said yes already", "This request needs the yes of somebody else, too."),
    Refusal.COMMENT: Said(422, "A reason is required", "The rule wants a reason with each decision: write a comment."),
}
NOT_IN = Said(401, "Not logged in", "Log in as an approver first.")
BAD_TOKEN = Said(401, "Not logged in", "This token is not known.")
FORM_TOKEN = Said(403, "Stale form", "The form is too old or not from here. Load the page again and repeat it.")
TOO_LONG = Said(422, "Comment too long", "A comment has at most 1,000 characters.")
UNREADABLE = Said(400, "Unreadable", "The request could not be read.")
NOT_HERE = Said(404, "Not found", "There is nothing at this address.")
ONLY_POST = Said(405, "Nothing changed", "This address takes decisions from the page's own form only. Nothing changed.")
NO_STORE = Said(503, "Try again soon", "The store of requests does not answer. Nothing is known to have changed.")
CROWDED = Said(503, "Too many open pages", "Too many pages are open. Close some, or load this one again by hand.")


def throttled(seconds: float) -> Said:
    """Too many failed log-ins."""
    return Said(429, "Too many tries", f"Too many failed tries. Try again in {duration(seconds)}.")


def utc(seconds: float) -> str:
    """`2026-11-21 12:30:00 UTC`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(seconds: float) -> str:
    """RFC 3339, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: float) -> str:
    """`45 s`, `14 min 05 s`, `3 h 20 min`, `2 d 04 h`: two units, the smaller one padded."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02} h"


def progress(record: ApprovalRecord) -> str:
    """How far several approvals have come; "" where one is enough."""
    wanted = len(record.request.by)
    if wanted < 2:
        return ""
    given = {at for ruling in record.rulings if ruling.granted for at in ruling.satisfies}
    return f"{len(given)} of {wanted} approvals given"


def scope(record: ApprovalRecord) -> str:
    """What a yes allows."""
    request = record.request
    if request.remember and not request.uses:
        return f"a yes allows exactly this call for {duration(request.remember)}, any number of times"
    times = "once" if request.uses == 1 else f"{request.uses} times"
    return f"a yes allows exactly this call {times}"


def wanted(record: ApprovalRecord) -> str:
    """Whose yes is wanted."""
    return " and ".join(" or ".join(entry) or "any approver" for entry in record.request.by)


STATUSES: Mapping[ApprovalStatus, str] = {
    ApprovalStatus.PENDING: "pending",
    ApprovalStatus.GRANTED: "granted, not used yet",
    ApprovalStatus.DENIED: "denied",
    ApprovalStatus.USED: "granted and used",
    ApprovalStatus.EXPIRED: "expired",
}
