"""What the service tells operators of itself: ready or not, degraded or not, which policies are in force.

Knows no HTTP; `admin` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from authz import __version__
from authz.app.policies.reload import Loaded
from authz.app.policies.standing import Standings
from authz.errors import Problem


class StoreHealth(Protocol):
    """What a shared store tells of itself."""

    @property
    def problem(self) -> str:
        """Why calls are judged without it, "" where they are not."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """How it stands, fit for JSON."""
        ...


class TokenHealth(Protocol):
    """What the verification of tokens tells of itself."""

    @property
    def problem(self) -> str:
        """Whose tokens cannot be verified, "" where all can."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """How each source stands, fit for JSON."""
        ...


class ServiceState:
    """One service from its start to its end. Not ready until `serving` is set, nor once it drains."""

    def __init__(
        self, loaded: Loaded, store: StoreHealth | None = None, tokens: TokenHealth | None = None, *, now: float
    ) -> None:
        self.serving = False
        self._store = store
        self._tokens = tokens
        self.draining = False
        self._loaded = loaded
        self._at = now
        self._standings = Standings(loaded.policies, now=now)

    def loaded(self, loaded: Loaded, *, now: float) -> None:
        """Policies were loaded, or could not be and were kept, at `now` (epoch seconds)."""
        self._loaded = loaded
        self._at = now
        self._standings.loaded(loaded.policies, now=now)

    def ready(self) -> tuple[bool, str]:
        """Whether calls should be sent here. What is degraded is still ready: the policies in force decide."""
        if self.draining:
            return False, "draining"
        if not self.serving:
            return False, "starting"
        policies = self._loaded.policies
        away = [one.problem for one in (self._store, self._tokens) if one and one.problem]
        if not policies.degraded and not self._loaded.kept and not away:
            return True, f"ready, revision {policies.revision}"
        lines = [f"ready but degraded, revision {policies.revision}", *map(str, policies.problems)]
        return True, "\n".join([*lines, *away])

    def describe(self) -> Mapping[str, Any]:
        """Servers, revision and problems, fit for JSON."""
        policies = self._loaded.policies
        return {
            "version": __version__,
            "revision": policies.revision,
            "last_load": datetime.fromtimestamp(self._at, UTC).isoformat(timespec="seconds"),
            "kept": self._loaded.kept,
            "degraded": policies.degraded,
            "state": self._store.describe() if self._store else {"store": "memory"},
            "identity": self._tokens.describe() if self._tokens else {},
            "servers": {
                **{policy.server: {"file": policy.file, "state": "in force"} for policy in policies.policies.values()},
                **{server: {"file": "", "state": "broken"} for server in sorted(policies.broken)},
            },
            "baselines": [baseline.file for baseline in policies.baselines],
            "shadows": [shadow.file for several in policies.shadows.values() for shadow in several],
            "problems": [_shown(problem) for problem in policies.problems],
            "warnings": [_shown(warning) for warning in policies.warnings],
        }

    def files(self) -> Mapping[str, Any]:
        """How each file stands, fit for JSON."""
        revision = self._loaded.policies.revision
        return {"revision": revision, "kept": self._loaded.kept, **self._standings.describe()}


def _shown(problem: Problem) -> Mapping[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "message": problem.message,
    }
