"""All policies of a directory as one value, and which of them governs a request (policies/README.md 1 and 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from authz.errors import Problem
from authz.model import HttpRequest, Reason
from authz.paths import is_metadata, is_plain
from authz.policy.catalog.files import CatalogFile
from authz.policy.matching import Way
from authz.policy.rules import Compiled, Policy

SERVER_EXTENSION = "mcp_server"  # the context extension by which a route names its server
EVERY_SERVER = "*"


class Selection(NamedTuple):
    """The policy of a request, or why it has none. `way` is what chose it, None where there was no choice."""

    policy: Policy | Reason
    way: Way | None = None


@dataclass(frozen=True, slots=True)
class PolicySet:
    """What is in force, swapped as a whole.

    `policies` are by server, `shadows` too (under `*` those that stand beside every server), `broken` the servers
    whose file does not load and has no last good version. `hosts` has the paths that policies match, longest first,
    and is empty unless the settings let a host choose; `matches` has what else they match, and `ways` what of it
    chooses, in that order. `files` is what each file was compiled to, `catalogs` what each catalogue says.
    `problems` and `warnings` are those of the last load; `fatal` says that a start must be refused.
    """

    policies: Mapping[str, Policy] = field(default_factory=dict)
    hosts: Mapping[str, tuple[tuple[str, Policy], ...]] = field(default_factory=dict)
    matches: Mapping[tuple[Way, str], Policy] = field(default_factory=dict)
    ways: tuple[Way, ...] = ()
    baselines: tuple[Policy, ...] = ()
    shadows: Mapping[str, tuple[Policy, ...]] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    files: Mapping[str, Compiled] = field(default_factory=dict)
    catalogs: Mapping[str, CatalogFile] = field(default_factory=dict)
    revision: str = ""
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    fatal: bool = False

    @property
    def degraded(self) -> bool:
        """Whether something in the directory is not in force as it was written."""
        return bool(self.problems)

    @property
    def names(self) -> Mapping[str, frozenset[str]]:
        """By server, the names and globs that its policy (and every baseline) spells: the only ones fit for a label."""
        shared = frozenset().union(*(baseline.names for baseline in self.baselines))
        known = {server: policy.names | shared if shared else policy.names for server, policy in self.policies.items()}
        return {**known, **dict.fromkeys(self.broken.difference(known), frozenset())}

    def beside(self, server: str) -> Sequence[Policy]:
        """The shadow policies that watch `server`."""
        if not self.shadows:
            return ()
        return (*self.shadows.get(server, ()), *self.shadows.get(EVERY_SERVER, ()))

    def select(self, request: HttpRequest) -> Selection:
        """The policy that governs `request`, or why there is none; the first way that says anything is final."""
        server = request.context.get(SERVER_EXTENSION)
        if server is not None:
            return Selection(self._named(server), Way.EXTENSION)
        if len(self.policies) + len(self.broken) == 1:
            only = next(iter(self.policies.values()), None)
            if only is None:
                return Selection(Reason.POLICY_INVALID)
            if not only.match:
                return Selection(only)
        for way in self.ways:
            if way is Way.HOST:
                return Selection(self._matching(request), way)
            value = request.route if way is Way.ROUTE else request.destination
            if value:
                return Selection(self.matches.get((way, value), Reason.NO_POLICY), way)
        return Selection(Reason.NO_POLICY)

    def _named(self, server: str) -> Policy | Reason:
        policy = self.policies.get(server)
        if policy is not None:
            return policy
        return Reason.POLICY_INVALID if server in self.broken else Reason.NO_POLICY

    def _matching(self, request: HttpRequest) -> Policy | Reason:
        plain = request.path.partition("?")[0]
        if not is_plain(plain):
            return Reason.NO_POLICY  # `/%61dmin` and `/x/../admin` are /admin to some servers
        if request.method in ("GET", "OPTIONS") and is_metadata(plain):
            # RFC 9728 3.1: the metadata of /mcp is at /.well-known/oauth-protected-resource/mcp.
            plain = "/" + plain.removeprefix("/.well-known/").partition("/")[2]
        wanted = request.host.lower()
        known = self.hosts.get(wanted) or self.hosts.get(wanted.rpartition(":")[0], ())
        for prefix, policy in known:
            if _covers(prefix, plain):
                return policy
        return Reason.NO_POLICY


def _covers(prefix: str, path: str) -> bool:
    """Whether `path` is `prefix` or below it, on segment boundaries."""
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")
