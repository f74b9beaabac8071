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
from authz.policy.catalog.files import CatalogFile, by_server, load_catalogs
from authz.policy.catalog.load import is_catalog
from authz.policy.compile.file import PolicyContext, broken_file, compile_file
from authz.policy.matching import EXACT, Way
from authz.policy.rules import Compiled, Policy
from authz.policy.selection import EVERY_SERVER, PolicySet
from authz.policy.text.source import digest_of

_log = logging.getLogger(__name__)


def compile_policies(
    files: Mapping[str, bytes], context: PolicyContext, previous: PolicySet | None = None
) -> PolicySet:
    """`files` (place relative to the directory -> content) and what was in force before -> what is in force now.

    Catalogues are among the files. What did not change is not compiled again, a policy whose catalogue did is. Never
    raises for what a file says: `problems` has all of it, and `fatal` is set where a start must be refused (nothing
    loads, or a baseline does not).
    """
    texts = {file: text for file, text in files.items() if is_catalog(file)}
    files = {file: text for file, text in files.items() if file not in texts}
    if not files and previous is not None:
        gone = Problem("", 0, 0, "", "no policy file is left; the last good policies stay in force")
        return replace(previous, problems=(gone,), warnings=())
    before = previous.files if previous is not None else {}
    catalogs = load_catalogs(texts, previous.catalogs if previous is not None else {})
    of_servers = by_server(catalogs)
    compiled = {}
    for file, text in sorted(files.items()):
        known = before.get(file)
        if known is not None and known.digest == digest_of(text) and known.catalog == _state(known, of_servers):
            compiled[file] = known
        else:
            compiled[file] = _compiled(file, text, context, of_servers)
    good = _last_good(previous)
    held = {file: good[file] for file in files if file in good}
    valid = [one.policy for one in compiled.values() if one.policy is not None]
    conflicts = _conflicts(valid, [held[file] for file, one in compiled.items() if file in held and not one.policy])
    conflicts |= _without_catalog(compiled.values(), of_servers, conflicts)
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
        hosts=_hosts(policies.values()) if Way.HOST in context.select_by else {},
        matches=_matches(policies.values()),
        ways=context.select_by,
        baselines=baselines,
        shadows=dict(shadows),
        broken=frozenset(broken - policies.keys()),
        files=compiled,
        catalogs=catalogs,
        revision=_revision(loaded),
        problems=tuple(
            sorted(
                [
                    *_all(one.problems for one in compiled.values()),
                    *_all(one.problems for one in catalogs.values()),
                    *_all(conflicts.values()),
                ]
            )
        ),
        warnings=tuple(sorted(_all(one.warnings for one in compiled.values()))),
        fatal=not loaded or any(one.baseline and not one.shadow for one in failed),
    )


def _state(one: Compiled, catalogs: Mapping[str, CatalogFile]) -> str:
    """The state of the catalogue of its server, as `Compiled.catalog` has it."""
    catalog = None if one.baseline else catalogs.get(one.server)
    return "" if catalog is None else catalog.state


def _without_catalog(
    compiled: Iterable[Compiled], catalogs: Mapping[str, CatalogFile], conflicts: Mapping[str, list[Problem]]
) -> dict[str, list[Problem]]:
    """Files whose server's catalogue does not load though a baseline decides by it."""
    asking = [one.file for one in compiled if one.baseline and not one.shadow and one.needs_catalog]
    problems = {}
    for one in compiled:
        catalog = catalogs.get(one.server)
        if asking and one.policy is not None and not one.baseline and catalog is not None and catalog.catalog is None:
            text = f"needs the catalogue {catalog.file}, which does not load: {asking[0]} decides by it"
            problems[one.file] = [*conflicts.get(one.file, ()), Problem(one.file, 0, 0, "", text)]
    return problems


def _compiled(file: str, text: bytes, context: PolicyContext, catalogs: Mapping[str, CatalogFile]) -> Compiled:
    """What `file` is; a mistake of this program in one file reaches its neighbours as little as one of its author."""
    try:
        return compile_file(file, text, context, catalogs)
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
            if match.way is Way.HOST:
                hosts[match.value].append((match.path, policy))
    return {host: tuple(sorted(found, key=lambda one: -len(one[0]))) for host, found in hosts.items()}


def _matches(policies: Iterable[Policy]) -> dict[tuple[Way, str], Policy]:
    """The policies by what they match exactly."""
    return {(one.way, one.value): policy for policy in policies for one in policy.match if one.way in EXACT}


def _last_good(previous: PolicySet | None) -> dict[str, Policy]:
    """By file, what was in force before."""
    if previous is None:
        return {}
    shadows = (one for several in previous.shadows.values() for one in several)
    return {one.file: one for one in (*previous.policies.values(), *previous.baselines, *shadows)}


def _conflicts(valid: Sequence[Policy], held: Sequence[Policy]) -> dict[str, list[Problem]]:
    """Files that cannot all be in force: two for one server, or two that match the same equally well.

    `held` are last good versions of files that no longer load; a valid file may take over their server, but not what
    another server's matches.
    """
    enforcing = [policy for policy in valid if not policy.shadow and not policy.baseline]
    servers = {policy.server for policy in enforcing}
    claims: dict[str, list[Policy]] = defaultdict(list)
    for policy in enforcing:
        claims[f"server {policy.server!r}"].append(policy)
    for policy in (*enforcing, *(one for one in held if not one.shadow and one.server not in servers)):
        for match in policy.match:
            claims[str(match)].append(policy)
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
    text = "".join(f"{file}\n{policy.digest}\n{policy.catalog_version}" for file, policy in sorted(loaded.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _all(several: Iterable[Sequence[Problem]]) -> Iterable[Problem]:
    return chain.from_iterable(several)
