"""Settings -> what the approvals listener is told of them, secrets read, or every reason not to start."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from authz.app.settings.secret import read_secret
from authz.app.settings.settings import Settings, table
from authz.app.settings.values import Address, Secret
from authz.errors import SettingsError
from authz.model import Approver

_LEAST_SECRET = 16  # bytes
_LEAST_WEBHOOK_SECRET = 24  # Standard Webhooks: between 24 and 64 bytes
_WEBHOOK_PREFIX = "whsec_"
_OF_THE_PAGE = (
    "approvals_plaintext_ok",
    "approvals_session_key",
    "approvers",
    "approvals_proxy_user",
    "approvals_proxy_groups",
    "approvals_proxy_claim",
    "approvals_proxy_secret",
    "approve_unidentified",
)
SECRET_HEADER = "x-approvals-proxy-secret"  # noqa: S105 - the name of a header


@dataclass(frozen=True, slots=True)
class ProxyHeaders:
    """The headers in which a reverse proxy says who an approver is; "" where it does not. `secret` b"": none.

    `claim_is_id`: without a header of its own for the claim, the user is what is compared.
    """

    user: str
    groups: str = ""
    claim: str = ""
    claim_is_id: bool = False
    secret: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Hook:
    """Where new and decided requests are told. `secret` b"": not signed."""

    url: str
    form: str = "generic"
    secret: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ApprovalsOptions:
    """What the listener needs to know. `url` "": the bound address.

    `claim_is_id`: what tells requester and approver apart is the id, which an approver has without saying so.
    `everybody`: whoever comes is this approver, for the demonstration on this machine and nothing else.
    """

    address: Address
    url: str = ""
    socket_mode: int = 0o660
    approvers: Path | None = None
    proxy: ProxyHeaders | None = None
    session_key: bytes = field(default=b"", repr=False)
    claim_is_id: bool = True
    unidentified_ok: bool = False
    hook: Hook | None = None
    everybody: Approver | None = None


def from_settings(
    settings: Settings, environ: Mapping[str, str] = os.environ, *, everybody: Approver | None = None
) -> ApprovalsOptions:
    """The options; raises SettingsError with a line for each problem."""
    address = settings.approvals
    if address is None:
        raise SettingsError("approvals: expected where to listen, got none")
    problems: list[str] = []

    def secret(name: str, source: Secret | None, least: int) -> bytes:
        try:
            return read_secret(name, source, environ, least) if source else b""
        except SettingsError as error:
            problems.append(str(error))
            return b""

    proxy_secret = secret("approvals_proxy_secret", settings.approvals_proxy_secret, _LEAST_SECRET)
    key = secret("approvals_session_key", settings.approvals_session_key, _LEAST_SECRET)
    problems += _problems(settings, address, everybody)
    hook = None
    try:
        hook = webhook(settings, environ)
    except SettingsError as error:
        problems.append(str(error))
    if problems:
        raise SettingsError("\n".join(problems))
    proxy = None
    if settings.approvals_proxy_user:
        proxy = ProxyHeaders(
            settings.approvals_proxy_user,
            settings.approvals_proxy_groups,
            settings.approvals_proxy_claim,
            settings.approval_claim == "id",
            proxy_secret,
        )
    return ApprovalsOptions(
        address=address,
        url=settings.approvals_url,
        socket_mode=settings.socket_mode,
        approvers=settings.approvers,
        proxy=proxy,
        session_key=key,
        claim_is_id=settings.approval_claim == "id",
        unidentified_ok=settings.approve_unidentified,
        hook=hook,
        everybody=everybody,
    )


def require_page(settings: Settings) -> None:
    """Raises SettingsError for settings that only a service with a page reads, where `approvals` is not given.

    `approvals_url` and `approval_claim` count for every service that asks people: the page may be another process's.
    So does the webhook, with `approvals_url` for its links: requests are told of where they are filed.
    """
    if settings.approvals is not None:
        return
    idle = [name for name in _OF_THE_PAGE if getattr(settings, name) != table()[name].default]
    problems = [f"{name}: expected approvals (where the page listens) beside it, got none" for name in idle]
    if settings.webhook_url and not settings.approvals_url:
        problems.append("webhook_url: expected approvals, or approvals_url where the page is another process's")
    problems += _hook_problems(settings)
    if problems:
        raise SettingsError("\n".join(problems))


def webhook(settings: Settings, environ: Mapping[str, str] = os.environ) -> Hook | None:
    """Where requests are told, None where nowhere; raises SettingsError."""
    if not settings.webhook_url:
        return None
    source, key = settings.webhook_secret, b""
    if source:
        key = _webhook_key(read_secret("webhook_secret", source, environ, _LEAST_SECRET))
    return Hook(settings.webhook_url, settings.webhook_format, key)


def _problems(settings: Settings, address: Address, everybody: Approver | None) -> list[str]:
    problems = []
    proxied, named = settings.approvals_proxy_user, settings.approvers
    if everybody is not None:
        if not address.loopback:
            problems.append(f"approvals: expected a loopback address where everybody may approve, got '{address}'")
    elif not proxied and not named:
        problems.append("approvals: expected approvers (a file) or approvals_proxy_user (a header), got neither")
    if not address.loopback and not settings.approvals_plaintext_ok:
        problems.append(
            f"approvals: expected unix:PATH or a loopback address, got '{address}': plain text beyond this machine "
            "needs --approvals-plaintext-ok, and a proxy in front of it that has TLS"
        )
    if proxied and not address.path and not settings.approvals_proxy_secret:
        problems.append(
            "approvals_proxy_user: expected --approvals unix:PATH, or approvals_proxy_secret: whoever reaches a port "
            "can send a header"
        )
    beside = ("approvals_proxy_groups", "approvals_proxy_claim", "approvals_proxy_secret")
    lonely = [name for name in beside if getattr(settings, name) and not proxied]
    problems += [f"{name}: expected approvals_proxy_user beside it" for name in lonely]
    if not settings.approvals_url and (address.path or _is_unspecified(address.host)):
        problems.append(f"approvals_url: expected how people reach '{address}', got nothing")
    return problems + _hook_problems(settings)


def _hook_problems(settings: Settings) -> list[str]:
    if not settings.webhook_url:
        lonely = [one for one in ("webhook_secret", "webhook_format") if getattr(settings, one) != table()[one].default]
        return [f"{name}: expected webhook_url beside it" for name in lonely]
    problems = []
    if settings.webhook_format == "generic" and not settings.webhook_secret:
        problems.append("webhook_secret: expected one where webhook_format is generic, got nothing")
    parts = urlsplit(settings.webhook_url)
    if parts.scheme == "http" and not Address(parts.hostname or "").loopback:
        problems.append("webhook_url: expected https, or http to this machine")
    return problems


def _webhook_key(secret: bytes) -> bytes:
    """The key in the form of Standard Webhooks (`whsec_` and base64), or the bytes themselves."""
    key = secret
    if secret.startswith(_WEBHOOK_PREFIX.encode()):
        try:
            key = base64.b64decode(secret[len(_WEBHOOK_PREFIX) :], validate=True)
        except binascii.Error:
            raise SettingsError("webhook_secret: expected base64 after whsec_, got something else") from None
    if len(key) < _LEAST_WEBHOOK_SECRET:
        raise SettingsError(f"webhook_secret: expected at least {_LEAST_WEBHOOK_SECRET} bytes, got {len(key)}")
    return key


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
