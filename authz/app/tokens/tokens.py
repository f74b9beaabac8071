"""Identity sources -> one verifier for each that is `from: jwt`, with the keys of its issuer (`fetching`)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from authz.identity import IdentitySource, SourceKind, TokenVerifier

if TYPE_CHECKING:
    from authz.app.tokens.fetching import Fetcher
    from authz.identity.jwt import Verifier


class Tokens:
    """The verifiers of those of `sources` that have one, by name, and what keeps their keys up to date."""

    def __init__(self, sources: Sequence[IdentitySource]) -> None:
        self._verifiers: dict[str, Verifier] = {}
        self._fetchers: dict[str, Fetcher] = {}
        own = [source for source in sources if source.kind is SourceKind.JWT]
        if own:
            # Only a service that verifies tokens pays for the libraries: 0.1 s and 10 MiB.
            from authz.app.tokens.fetching import Fetcher
            from authz.identity.jwt import Verifier
            from authz.identity.keys import Keys

            self._verifiers = {source.name: Verifier(source, Keys()) for source in own}
            self._fetchers = {
                source.name: Fetcher(source.name, source.jwks, self._verifiers[source.name].keys) for source in own
            }

    @property
    def verifiers(self) -> Mapping[str, TokenVerifier]:
        """By the name of the source."""
        return self._verifiers

    @property
    def states(self) -> Mapping[str, tuple[Verifier, Fetcher]]:
        """By the name of the source: what has become of tokens, and of keys."""
        return {name: (verifier, self._fetchers[name]) for name, verifier in self._verifiers.items()}

    @property
    def problem(self) -> str:
        """Whose tokens cannot be verified at all, and why; "" where all can."""
        return "\n".join(
            f"identity {name}: no keys are known: {fetcher.problem or 'not fetched yet'}"
            for name, fetcher in self._fetchers.items()
            if not fetcher.keys
        )

    def describe(self) -> Mapping[str, Any]:
        """How each source stands, fit for JSON. Without a problem the last fetch has succeeded."""
        return {
            name: {
                "keys": len(fetcher.keys),
                "fetched": _moment(fetcher.fetched_at),
                "problem": fetcher.problem,
                "passed_over": list(fetcher.keys.passed_over),
            }
            for name, fetcher in self._fetchers.items()
        }

    @contextlib.asynccontextmanager
    async def kept_up_to_date(self) -> AsyncIterator[None]:
        """Within, keys are fetched: at first what comes at once."""
        if not self._fetchers:
            yield
            return
        from authz.app.tokens.fetching import fetching

        async with fetching(tuple(self._fetchers.values())):
            yield


def _moment(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None
