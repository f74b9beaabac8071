"""The files of a directory -> the set of policies in force, with every problem at once (policies/README.md 7 and 10).

One file's mistake stops that file and not its neighbours: where it has a last good version, that stays in force.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from authz.errors import Problem
from authz.policy.compile.file import PolicyContext, broken_file, compile_file, digest_of
from authz.policy.rules import Compiled, Policy
from authz.policy.selection import EVERY_SERVER, PolicySet

_log = logging.getLogger(__name__)


def compile_policies(
    files: Mapping[str, bytes], context: PolicyContext, previous: PolicySet | None = None
) -> PolicySet:
    """`files` (place relative to the directory -> content) and what was in force before -> what is in force now.

    Files that did not change are not compiled again. Never raises for what a file says: `problems` has all of it, and
    `fatal` is set where a start must be refused (nothing loads, or a baseline does not).
    """
    if not files and previous is not None:
        gone = Problem("", 0, 0, "", "no policy file is left; the last good policies stay in force")
        return replace(previous, problems=(gone,), warnings=())
    before = previous.files if previous is not None else {}
    compiled = {}
    for file, text in sorted(files.items()):
        known = before.get(file)
        unchanged = known is not None and known.digest == digest_of(text)
        compiled[file] = known if known is not None and unchanged else _compiled(file, text, context)
    held = {file: last for file in files if (last := _last_good(previous, file)) is not None}
    valid = [one.policy for one in compiled.values() if one.policy is not None]
    conflicts = _conflicts(valid, [held[file] for file, one in compiled.items() if file in held and not one.policy])
    loaded = {file: one.policy for file, one in compiled.items() if one.policy is not None and file not in conflicts}
    taken = {one.server for one in loaded.values() if not one.shadow and not one.baseline}
    for file, last in held.items():
        # A file that loads may have taken the server over from one that no longer does.
        if file not in loaded and (last.shadow or last.baseline or last.server not in taken):
            loaded[file] = last
    loaded = dict(sorted(loaded.items()))  # baselines are asked in the order of their names, whatever was kept

    policies = {one.server: one for one in loaded.values() if not one.shadow and not one.baseline}
    baselines = tuple(one for one in loaded.values() if one.baseline and not one.shadow)
    shadows: dict[str, tuple[Policy, ...]] = defaultdict(tuple)
    for one in loaded.values():
        if one.shadow:
            shadows[EVERY_SERVER if one.baseline else one.server] += (one,)
    failed = [one for file, one in compiled.items() if file not in loaded]
    broken = {one.server for one in failed if not one.shadow and not one.baseline}
    return PolicySet(
        policies=policies,
        hosts=_hosts(policies.values()) if context.select_by_host else {},
        baselines=baselines,
        shadows=dict(shadows),
        broken=frozenset(broken - policies.keys()),
        files=compiled,
        revision=_revision(loaded),
        problems=tuple(sorted([*_all(one.problems for one in compiled.values()), *_all(conflicts.values())])),
        warnings=tuple(sorted(_all(one.warnings for one in compiled.values()))),
        fatal=not loaded or any(one.baseline and not one.shadow for one in failed),
    )


def _compiled(file: str, text: bytes, context: PolicyContext) -> Compiled:
    """What `file` is; a mistake of this program in one file reaches its neighbours as little as one of its author."""
    try:
        return compile_file(file, text, context)
    except Exception as error:
        _log.exception("%s could not be compiled", file)
        problem = Problem(
            file, 0, 0, "", f"could not be compiled, by a mistake of this program: {type(error).__name__}"
        )
        return broken_file(file, text, problem)


def _hosts(policies: Iterable[Policy]) -> dict[str, tuple[tuple[str, Policy], ...]]:
    """By host, the paths that policies match, longest first."""
    hosts: dict[str, list[tuple[str, Policy]]] = defaultdict(list)
    for policy in policies:
        for match in policy.match:
            hosts[match.host].append((match.path, policy))
    return {host: tuple(sorted(found, key=lambda one: -len(one[0]))) for host, found in hosts.items()}


def _last_good(previous: PolicySet | None, file: str) -> Policy | None:
    """What `file` had in force before, if anything."""
    if previous is None:
        return None
    shadows = (one for several in previous.shadows.values() for one in several)
    candidates = (*previous.policies.values(), *previous.baselines, *shadows)
    return next((one for one in candidates if one.file == file), None)


def _conflicts(valid: Sequence[Policy], held: Sequence[Policy]) -> dict[str, list[Problem]]:
    """Files that cannot all be in force: two for one server, or two that match one host and path equally well.

    `held` are last good versions of files that no longer load; a valid file may take over their server, but not the
    host and path of another server's.
    """
    enforcing = [policy for policy in valid if not policy.shadow and not policy.baseline]
    servers = {policy.server for policy in enforcing}
    claims: dict[str, list[Policy]] = defaultdict(list)
    for policy in enforcing:
        claims[f"server {policy.server!r}"].append(policy)
    for policy in (*enforcing, *(one for one in held if not one.shadow and one.server not in servers)):
        for match in policy.match:
            claims[f"host {match.host!r} with path {match.path!r}"].append(policy)
    problems: dict[str, list[Problem]] = defaultdict(list)
    for claim, policies in claims.items():
        for policy in policies:
            others = sorted({other.file for other in policies if other is not policy})
            if others:
                text = f"{claim} is governed by {', '.join(others)} too; only one file may enforce for it"
                problems[policy.file].append(Problem(policy.file, 0, 0, "", text))
    return problems


def _revision(loaded: Mapping[str, Policy]) -> str:
    """Twelve hex digits that are the same exactly where the same versions of the same files are in force."""
    text = "".join(f"{file}\n{policy.digest}\n" for file, policy in sorted(loaded.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _all(several: Iterable[Sequence[Problem]]) -> Iterable[Problem]:
    return chain.from_iterable(several)
