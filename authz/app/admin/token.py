"""The setting `admin_token` -> whether a request comes from somebody who may change something."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping

from authz.app.admin.exchange import Request
from authz.app.settings.secret import read_secret
from authz.app.settings.settings import Settings
from authz.app.settings.values import Secret
from authz.errors import SettingsError

SETTING = "admin_token"
_LEAST = 16  # bytes
_SENDABLE = re.compile(rb"[!-~]+")  # what every client can put into a header as it is


def read_token(settings: Settings, environ: Mapping[str, str] = os.environ) -> bytes:
    """The token of the settings, b"" where none is set; raises SettingsError, which does not tell it."""
    source = settings.admin_token
    return read_sendable(SETTING, source, environ, _LEAST) if source else b""


def read_sendable(name: str, source: Secret, environ: Mapping[str, str], least: int = 1) -> bytes:
    """A token of at least `least` bytes that fits into a header; raises SettingsError, which does not tell it."""
    token = read_secret(name, source, environ, least)
    if not _SENDABLE.fullmatch(token):
        raise SettingsError(f"{name}: {source}: expected printable ASCII without spaces, got something else")
    return token


class Token:
    """Compares in a time that tells nothing, digests of equal length. Of b"" there is no token that fits."""

    def __init__(self, token: bytes = b"") -> None:
        self._digest = hashlib.sha256(token).digest() if token else b""

    @property
    def given(self) -> bool:
        """Whether there is a token at all."""
        return bool(self._digest)

    def fits(self, request: Request) -> bool:
        """Whether `request` has it as its one bearer token (RFC 6750)."""
        headers = request.header("authorization")
        scheme, _, sent = headers[0].partition(" ") if headers else ("", "", "")
        digest = hashlib.sha256(sent.strip(" ").encode("latin-1")).digest()
        return len(headers) == 1 and scheme.lower() == "bearer" and hmac.compare_digest(digest, self._digest)
