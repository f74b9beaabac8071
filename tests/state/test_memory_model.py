"""The embedded store against a naive one that keeps every call for ever and adds them up each time."""

from __future__ import annotations

import copy
import itertools
import math
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from authz.state.memory import MemoryStore
from authz.state.store import Attempt, Owed

SESSIONS = 2
REPEAT = 10.0


class Naive:
    """Counters are lists of (time, cost) by name; nothing is ever removed from them."""

    def __init__(self):
        self.log = defaultdict(list)
        self.repeats = {}

    @staticmethod
    def live(entries, now, window):
        return [(then, cost) for then, cost in entries if then + window > now]

    def resolve(self, charge, now, fresh):
        """The counters of `charge` with the most that each takes."""
        limit, owner = charge.limit, (charge.limit.key, charge.descriptor, charge.anonymous)
        if not charge.session:
            return [((*owner, "own"), limit.max)]
        mine = (*owner, "session", charge.session)
        taken = {
            name
            for name, entries in self.log.items()
            if name[:4] == (*owner, "session") and (name in fresh or self.live(entries, now, limit.window))
        }
        name = mine
        if mine not in taken:
            if len(taken) < SESSIONS:
                fresh.add(mine)
                self.log[mine] = self.live(self.log[(*owner, "shared")], now, limit.window)
            else:
                name = (*owner, "shared")
        return [(name, limit.max), ((*owner, "cap"), limit.max * SESSIONS)]

    def pay(self, parts, key, peek, now):
        """(paid, names of exhausted limits, seconds to retry, {limit: (left, reset)})"""
        before = copy.deepcopy(self.log)
        fresh, owed = set(), {}
        since, covered = self.repeats.get(key, (-math.inf, {})) if key else (-math.inf, {})
        covered = dict(covered) if since + REPEAT > now else {}
        total = defaultdict(float)
        for charge in itertools.chain(*parts):
            who = (charge.limit.key, charge.descriptor, charge.session)
            total[who] += charge.cost
            free = min(charge.cost, covered.get(who, 0.0))
            covered[who] = covered.get(who, 0.0) - free
            for name, most in self.resolve(charge, now, fresh):
                owed[name] = (charge.limit, most, owed.get(name, (0, 0, 0.0))[2] + charge.cost - free)
        exhausted, retry = [], 0.0
        for name, (limit, most, cost) in owed.items():
            used = self.used(name, now, limit)
            if cost and used + cost > most:
                exhausted += [limit.name] if limit.name not in exhausted else []
                dues = sorted(then + limit.window for then, _ in self.live(self.log[name], now, limit.window))
                opens = [due - now for due in dues if self.used(name, due, limit) + cost <= most and cost <= most]
                retry = max(retry, min(opens, default=math.inf))
        paid = not exhausted
        if paid and not peek:
            for name, (_, _, cost) in owed.items():
                self.log[name] += [(now, cost)] if cost else []
            if key and any(cost for _, _, cost in owed.values()):
                if since + REPEAT > now:
                    for who, cost in self.repeats[key][1].items():
                        total[who] = max(total[who], cost)
                    self.repeats[key] = (since, dict(total))
                else:
                    self.repeats[key] = (now, dict(total))
        quotas = {}
        for name, (limit, most, _) in owed.items():
            ends = [then + limit.window - now for then, _ in self.live(self.log[name], now, limit.window)]
            quota = (max(0, int(most - self.used(name, now, limit))), -max(ends, default=0.0))
            quotas[limit.name] = min(quota, quotas.get(limit.name, quota))
        if not paid or peek:
            self.log = before
        return paid, exhausted, retry, {name: (left, -reset) for name, (left, reset) in quotas.items()}

    def used(self, name, now, limit):
        return math.fsum(cost for _, cost in self.live(self.log[name], now, limit.window))


# Times are multiples of 1/8, so that edges are hit and the store's arithmetic is exact. Negative steps are a clock that
# goes back: for both time stands still.
STEPS = st.one_of(st.just(0), st.integers(0, 80), st.integers(-40, 0), st.sampled_from([80, 160, 320])).map(
    lambda n: n / 8
)
CHARGES = st.tuples(
    st.sampled_from([("short", 10.0), ("short", 10.0), ("long", 40.0)]),
    st.sampled_from(["alice", "alice", "bob"]),
    st.sampled_from(["", "s", "t", "u", "v"]),
    st.sampled_from([1.0, 1.0, 1.0, 2.0, 0.5]),
    st.sampled_from([False, False, True]),
)
ATTEMPTS = st.tuples(
    STEPS,
    st.lists(st.lists(CHARGES, min_size=1, max_size=2), min_size=1, max_size=4),
    st.sampled_from([b"", b"", b"", b"k", b"l"]),
    st.sampled_from([False] * 7 + [True]),
    st.sampled_from([None, None, None, None, 1, 2, 3, 5, 128]),
)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 6), st.lists(ATTEMPTS, max_size=40))
def test_every_attempt_ends_as_by_the_naive_store(run, limit, charge, clock_type, most, attempts):
    clock = clock_type()
    store, naive, now = MemoryStore(clock, sessions=SESSIONS), Naive(), clock.now
    for step, messages, key, peek, changed in attempts:
        clock.now += step
        now += max(0.0, step)
        most = changed or most
        owed = [c for message in messages for c in message]
        # One request is one caller's, so all its charges are verified or none is.
        anonymous = bool(owed) and owed[0][4]
        parts = [
            [
                charge(limit(most, window, name), who, cost=cost, session=session, anonymous=anonymous)
                for (name, window), who, session, cost, _ in message
            ]
            for message in messages
        ]
        key = key and key + (b"!" if anonymous else b"")
        got = run(store.discharge(Attempt([Owed(tuple(part)) for part in parts], key, peek)))
        assert (
            got.paid,
            [exhausted.name for exhausted in got.exhausted],
            got.retry_after,
            {quota.limit.name: (quota.remaining, quota.reset) for quota in got.quotas},
        ) == naive.pay(parts, key, peek, now)
