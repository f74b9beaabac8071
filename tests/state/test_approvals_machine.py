"""Any sequence of calls, rulings, repeats and clock moves, against a model that keeps every request for ever.

No call runs twice on a use of a grant, without every entry of `by` satisfied, after a no or after its time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from authz.model import Ruling
from authz.state.store import Attempt, Owed

WINDOW, MOST, REPEAT = 40.0, 4, 10.0
CALLS = {
    "once": {"timeout": 30.0, "uses": 1},
    "twice": {"timeout": 50.0, "uses": 2},
    "hour": {"timeout": 20.0, "uses": 0, "remember": 45.0},
    "both": {"timeout": 60.0, "uses": 1, "by": (("group:a",), ("group:b",))},
}


@dataclass
class Request:
    what: str
    filed: float
    until: float
    log: list  # what filing has charged
    id: str = ""
    status: str = "pending"
    said: set = field(default_factory=set)
    used: int = 0

    @property
    def uses(self):
        return CALLS[self.what]["uses"]

    def run(self, now):
        """One more call: the promises themselves, whatever the rest of the model says."""
        assert self.status == "granted"
        assert now < self.until
        assert self.said >= set(range(len(CALLS[self.what].get("by", ((),)))))
        self.used += 1
        assert not self.uses or self.used <= self.uses
        if self.used == self.uses:
            self.status = "used"


class Model:
    def __init__(self):
        self.requests = []
        self.charged = []  # [time, cost] of the one limit of all calls
        self.repeats = {}  # until when, cost and requests claimed, by key

    def current(self, what, now):
        found = [one for one in self.requests if one.what == what and one.status in ("pending", "granted", "denied")]
        return next((one for one in found if one.until > now), None)

    def live(self, now, without=()):
        return sum(one[1] for one in self.charged if one[0] + WINDOW > now and not any(one is w for w in without))

    def attempt(self, parts, key, peek, now):
        """(paid, statuses, whether the limit refused)"""
        due, known, claimed = self.repeats.get(key, (now, 0, [])) if key else (now, 0, [])
        known, claimed = (known, list(claimed)) if due > now else (0, [])
        before = list(claimed)
        statuses, claims, missing, unfiled, covered = [], [], [], [], []
        for what in parts:
            if what == "free":
                statuses.append(None)
                continue
            again = next((one for one in reversed(claimed) if one.what == what), None)
            one = self.current(what, now)
            if again:
                claimed.remove(again)
                covered.append(again)
                statuses.append("granted")
            elif one is None:
                statuses.append("pending")
                unfiled.append(len(statuses) - 1)
                missing += [what] if what not in missing else []
            elif one.status == "granted" and one.uses and one.used + claims.count(one) >= one.uses:
                statuses.append("pending")
            else:
                statuses.append(one.status)
                claims += [one] if one.status == "granted" else []
        if "denied" in statuses:
            return False, statuses, False
        if "pending" in statuses:
            if missing and self.live(now) + len(missing) > MOST:
                return False, [None if i in unfiled else status for i, status in enumerate(statuses)], True
            if not peek:
                for what in missing:
                    entry = [now, 1]
                    self.charged.append(entry)
                    self.requests.append(Request(what, now, now + CALLS[what]["timeout"], [entry]))
            return False, statuses, False
        without = [entry for one in claims for entry in one.log]
        cost = max(0, len(parts) - known)
        if cost and self.live(now, without) + cost > MOST:
            return False, statuses, True
        if not peek:
            self.charged = [one for one in self.charged if not any(one is w for w in without)]
            self.charged += [[now, cost]] if cost else []
            for one in claims:
                one.log = []
                one.run(now)
            if key and (cost or claims):
                if due > now:
                    kept = list(before)
                    for one in covered:  # each use once: a grant of two may have been claimed twice
                        kept.remove(one)
                    self.repeats[key] = (due, max(known, len(parts)), [*kept, *covered, *claims])
                else:
                    self.repeats[key] = (now + REPEAT, len(parts), claims)
        return True, statuses, False

    def rule(self, one, granted, satisfies, now):
        if one.status != "pending" or one.until <= now:
            return
        if not granted:
            one.status = "denied"
            return
        one.said |= set(satisfies)
        if one.said >= set(range(len(CALLS[one.what].get("by", ((),))))):
            one.status = "granted"
            one.until = now + CALLS[one.what].get("remember", one.until - now)


ASKS = st.tuples(
    st.just("ask"),
    st.lists(st.sampled_from([*CALLS, "once", "free"]), min_size=1, max_size=3),
    st.sampled_from([b"", b"k", b"k", b"l"]),
    st.sampled_from([False] * 5 + [True]),
)
# One request that is checked again and again, with more and more of the same call in it.
AGAIN = st.tuples(
    st.just("ask"),
    st.tuples(st.sampled_from(["once", "twice"]), st.integers(1, 3)).map(lambda both: [both[0]] * both[1]),
    st.just(b"k"),
    st.just(False),
)
RULES = st.tuples(
    st.just("rule"),
    st.integers(0, 3),  # which request, from the newest
    st.sampled_from([True, True, True, False]),
    st.sampled_from([("carol", (0,)), ("carol", (0,)), ("dave", (1,)), ("erin", (0, 1)), ("frank", ())]),
)
STEPS = st.tuples(st.just("wait"), st.sampled_from([0.125, 1.0, 5.0, 10.0, 20.0, 30.0, 50.0]))


# One of two claimed uses is asked about again beside another call; the second one still counts as claimed.
TWO_USES = [
    ("ask", ["twice"], b"", False),
    ("ask", ["both"], b"", False),
    ("rule", 0, True, ("erin", (0, 1))),
    ("rule", 1, True, ("carol", (0,))),
    ("ask", ["twice", "twice"], b"k", False),
    ("ask", ["twice", "both"], b"k", False),
    ("ask", ["twice", "twice"], b"k", False),
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(ASKS, ASKS, AGAIN, RULES, RULES, STEPS), min_size=12, max_size=40))
@example(TWO_USES)
def test_no_sequence_lets_a_call_run_without_a_yes_of_its_own(play, ask, charge, limit, moves):
    one_limit = charge(limit(MOST, WINDOW))

    async def script(store, clock):
        model = Model()
        for kind, *move in moves:
            now, changes = clock.now, await store.changes()
            if kind == "wait":
                clock.now += move[0]
            elif kind == "rule" and model.requests:
                index, granted, (who, satisfies) = move
                one = model.requests[-1 - index % len(model.requests)]
                record = await store.submit(one.id, Ruling(who, granted, satisfies if granted else (), at=now))
                before = one.status
                model.rule(one, granted, satisfies, now)
                assert record.status == (
                    "expired" if one.until <= now and one.status in ("pending", "granted") else one.status
                )
                assert before == one.status or await store.changes() > changes
            elif kind == "ask":
                parts, key, peek = move
                owed = [Owed((one_limit,), ask(what, **CALLS[what]) if what != "free" else None) for what in parts]
                filed = len(model.requests)
                paid, statuses, refused = model.attempt(parts, key, peek, now)
                got = await store.discharge(Attempt(owed, key, peek))
                assert (got.paid, [s and s.status for s in got.standings], bool(got.exhausted)) == (
                    paid,
                    statuses,
                    refused,
                )
                news = {
                    what: standing.id
                    for what, standing in zip(parts, got.standings, strict=True)
                    if standing and standing.filed
                }
                assert list(news) == [one.what for one in model.requests[filed:]]
                for one in model.requests[filed:]:
                    one.id = news[one.what]
                assert got.quotas[0].remaining == max(0, MOST - model.live(now))
        records = {record.id: record for record in await store.records()}
        assert len(records) == len(model.requests)
        for one in model.requests:
            lapsed = one.until <= clock.now and one.status in ("pending", "granted")
            assert (records[one.id].status, records[one.id].used) == ("expired" if lapsed else one.status, one.used)

    play(script)
