"""Bearer tokens that this service verifies itself: one verifier for each source that is `from: jwt`.

The keys come over the network, off the path of calls (`fetching`).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

from authz.identity import IdentitySource, SourceKind, TokenVerifier

if TYPE_CHECKING:
    from authz.identity.jwt import Verifier


class Tokens:
    """The verifiers of those of `sources` that have one, by name, and what keeps their keys up to date."""

    def __init__(self, sources: Sequence[IdentitySource]) -> None:
        self._sources = [source for source in sources if source.kind is SourceKind.JWT]
        self._verifiers: dict[str, Verifier] = {}
        if self._sources:
            # Only a service that verifies tokens pays for the libraries: 0.1 s and 10 MiB.
            from authz.identity.jwt import Verifier
            from authz.identity.keys import Keys

            self._verifiers = {source.name: Verifier(source, Keys()) for source in self._sources}

    @property
    def verifiers(self) -> Mapping[str, TokenVerifier]:
        """By the name of the source."""
        return self._verifiers

    @contextlib.asynccontextmanager
    async def kept_up_to_date(self) -> AsyncIterator[None]:
        """Within, keys are fetched: at first what comes at once."""
        if not self._sources:
            yield
            return
        from authz.app.tokens.fetching import Fetcher, fetching

        fetchers = [Fetcher(source.name, source.jwks, self._verifiers[source.name].keys) for source in self._sources]
        async with fetching(fetchers):
            yield
