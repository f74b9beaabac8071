"""The requests that an attempt needs granted -> how each of its parts stands. Changes nothing, charges nothing."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass, field

from authz.model import ApprovalStatus, Standing
from authz.state.filed import Filed
from authz.state.ledger import Ledger
from authz.state.repeats import Paid
from authz.state.store import Owed


@dataclass(slots=True)
class Standings:
    """`parts` has one entry a part, for a request that is not there how it will stand once it is.

    `claims` are the grants of which the attempt needs a use, once for each; `covered` are digest and id of what it has
    claimed before, when it was checked for the first time. `missing` are the parts, by digest, whose request is not
    there.
    """

    parts: list[Standing | None] = field(default_factory=list)
    claims: list[Filed] = field(default_factory=list)
    covered: list[tuple[bytes, str]] = field(default_factory=list)
    missing: dict[bytes, list[int]] = field(default_factory=dict)

    def filed(self, filed: Filed, now: float) -> None:
        """The request of some missing parts is there now: the first of them has filed it, the others join."""
        for index in self.missing[filed.request.digest]:
            self.parts[index] = filed.standing(now, filed=index == self.missing[filed.request.digest][0])

    def unfiled(self) -> None:
        """The missing requests could not be filed."""
        for indices in self.missing.values():
            for index in indices:
                self.parts[index] = None

    @property
    def claimed(self) -> list[tuple[bytes, str]]:
        """Digest and id of every grant that the attempt runs on, claimed now or before."""
        return [*self.covered, *((filed.request.digest, filed.id) for filed in self.claims)]

    @property
    def granted(self) -> bool:
        """Whether nothing stands in the way but limits."""
        return all(standing is None or standing.status is ApprovalStatus.GRANTED for standing in self.parts)

    @property
    def denied(self) -> bool:
        """Whether somebody said no to one of them."""
        return any(standing is not None and standing.status is ApprovalStatus.DENIED for standing in self.parts)


def look_up(ledger: Ledger, parts: Sequence[Owed], known: Paid | None, now: float) -> Standings:
    """How the requests of `parts` stand at `now`; uses up what is `known` to be claimed.

    The same digest twice needs two uses: the part for which none is left stands as pending.
    """
    found = Standings()
    needed: Tally[str] = Tally()
    for index, part in enumerate(parts):
        request = part.request
        if request is None:
            found.parts.append(None)
            continue
        if known and known.claims.get(request.digest):
            id_ = known.claims[request.digest].pop()
            found.covered.append((request.digest, id_))
            before = ledger.get(id_, now)
            granted = ApprovalStatus.GRANTED
            found.parts.append(before.standing(now, granted) if before else Standing(id_, granted, 0.0))
            continue
        filed = ledger.find(request.digest)
        if filed is None:
            found.missing.setdefault(request.digest, []).append(index)
            found.parts.append(Standing("", ApprovalStatus.PENDING, request.timeout))
        elif filed.serves(needed[filed.id] + 1):
            needed[filed.id] += 1
            found.claims.append(filed)
            found.parts.append(filed.standing(now))
        elif filed.status is ApprovalStatus.GRANTED:
            found.parts.append(filed.standing(now, ApprovalStatus.PENDING))
        else:
            found.parts.append(filed.standing(now))
    return found
