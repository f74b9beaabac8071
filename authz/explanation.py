"""One decided request as a whole: what `explain` shows, and what is written down of it. Values only."""

from __future__ import annotations

from msgspec import Struct

from authz.model import (
    ANONYMOUS,
    Decision,
    Era,
    Exchange,
    Message,
    MessageKind,
    Obligation,
    Principal,
    Reply,
    Shadowed,
    Step,
)
from authz.policy.matching import Way

UNREAD = Message(MessageKind.HTTP, "")
NOTHING_READ = Exchange(Era.LEGACY, (UNREAD,))


class Explanation(Struct, frozen=True, gc=False):
    """One request as the engine sees it, with nothing charged and nothing written.

    `steps` are every block, rule and condition that was tried; `obligations` what would be owed by each message.
    `selected_by` is what chose the policy, None where there was no choice.
    """

    exchange: Exchange
    principal: Principal
    decisions: tuple[Decision, ...]
    obligations: tuple[tuple[Obligation, ...], ...]
    steps: tuple[Step, ...]
    shadowed: tuple[Shadowed, ...]
    reply: Reply
    selected_by: Way | None = None


def unexamined(decision: Decision, reply: Reply) -> Explanation:
    """All there is to say where no message was seen."""
    return Explanation(NOTHING_READ, ANONYMOUS, (decision,), ((),), (), (), reply)
