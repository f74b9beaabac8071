"""The sessions of one principal -> which of them have a counter of their own, and what caps them together."""

from __future__ import annotations

import hashlib
import math

from authz.state.counter import Counter

SHARED = ""  # among the members of a family, the counter of all sessions that have none: no session has this id
_LONGEST_SESSION = 64  # characters; beyond that its digest stands for it, as in descriptors


class Family:
    """The counters of one principal's sessions. `cap` caps them all and lives at least as long as each of them."""

    __slots__ = ("cap", "free_at", "members")

    def __init__(self, cap: Counter) -> None:
        self.cap = cap
        self.members: dict[str, Counter] = {}
        self.free_at = -math.inf  # none of them is empty before

    def crowded(self, sessions: int) -> bool:
        """Whether `sessions` of them have a counter of their own."""
        return len(self.members) - (SHARED in self.members) >= sessions

    def dismiss(self, now: float) -> int:
        """Take the place of sessions whose window is empty at `now`; how many."""
        if now < self.free_at:
            return 0
        gone = [name for name, member in self.members.items() if name and member.due <= now]
        for name in gone:
            del self.members[name]
        # Those that the attempt at hand made will be empty a window from now.
        dues = [member.due for name, member in self.members.items() if name]
        self.free_at = min([*dues, now + self.cap.limit.window])
        return len(gone)


def member_name(session: str) -> str:
    """What the counter of `session` is known by, in bounded text."""
    if len(session) <= _LONGEST_SESSION:
        return session
    return "sha256:" + hashlib.sha256(session.encode("utf-8", "surrogatepass")).hexdigest()
