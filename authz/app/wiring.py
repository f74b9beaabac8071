"""Settings -> what each room wants to be told of them. Nothing here decides anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from authz.app.policies.reload import Loader
from authz.app.settings.settings import Settings
from authz.app.settings.tls import tls_files
from authz.app.store.guarded import GuardedStore
from authz.app.store.opening import open_shared
from authz.audit import DEFAULT_REDACTED, Redaction
from authz.engine import EngineSettings
from authz.identity import Identities, TokenVerifier
from authz.identity.callers import Callers
from authz.mcp.message import BodyLimits
from authz.mcp.reply import DenialStyle, ReplyStyle
from authz.model import NOTHING
from authz.policy.compile.file import PolicyContext
from authz.policy.matching import Way
from authz.state.memory import MemoryStore

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from authz.app.certificates import Certificates


def identities(settings: Settings, verifiers: Mapping[str, TokenVerifier] = NOTHING) -> Identities:
    """The identity sources, the default first; `verifiers` as of `Identities`."""
    sources = sorted(settings.identity, key=lambda source: source.name != settings.default_identity)
    return Identities(sources, verifiers)


def policy_context(settings: Settings) -> PolicyContext:
    """What bears on how policies are read."""
    select_by = tuple(way for way in Way if way in settings.select_by and way is not Way.EXTENSION)
    headers, forbid = frozenset(settings.request_headers), frozenset(settings.forbid)
    return PolicyContext(identities(settings).claims, headers, select_by, forbid)


def loader(settings: Settings, directory: Path | None = None, *, owners: frozenset[int] | None = None) -> Loader:
    """What reads the policies: those of the settings, or `directory` in their place; `owners` as of `Loader`."""
    return Loader(directory or settings.policies, policy_context(settings), owners=owners, platform=settings.baseline)


def engine_settings(
    settings: Settings, approvals_url: str = "", verifiers: Mapping[str, TokenVerifier] = NOTHING
) -> EngineSettings:
    """What bears on a decision; `approvals_url` is where people approve, where the setting of that name says nothing.

    The setting alone is enough where the page is another process's.
    """
    page = settings.approvals_url or approvals_url
    return EngineSettings(
        limits=BodyLimits(settings.max_body_bytes, settings.max_body_values),
        style=ReplyStyle(DenialStyle(settings.denial), settings.disclose, settings.ratelimit_headers, page),
        identities=identities(settings, verifiers),
        challenge=settings.challenge,
        approval_claim=settings.approval_claim,
        callers=Callers(settings.callers),
    )


def store(settings: Settings, observe: Callable[[float], None] | None = None) -> MemoryStore | GuardedStore:
    """Where counters live; `observe` as of `GuardedStore`. Raises SettingsError where its secrets cannot be read."""
    if settings.state.shared:
        return open_shared(settings, observe=observe)
    return MemoryStore(sessions=settings.sessions)


def certificates(settings: Settings, registry: CollectorRegistry) -> Certificates | None:
    """Those of the TLS listener and their metrics, None without one. Raises SettingsError where they cannot be used."""
    files = tls_files(settings)
    if files is None:
        return None
    # Only a service with TLS pays for the library.
    from authz.app.certificates import Certificates
    from authz.app.tls_metrics import TlsMetrics

    found = Certificates(files, Callers(settings.callers), tls_1_2=settings.tls_min_version == "1.2")
    registry.register(TlsMetrics(found))
    return found


def redaction(settings: Settings) -> Redaction:
    """What of the arguments is written down."""
    return Redaction(values=settings.audit_values, redact=(*DEFAULT_REDACTED, *settings.audit_redact))
