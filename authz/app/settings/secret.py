"""Where a secret is (`values.Secret`) -> the secret. What goes wrong is told without telling it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from authz.app.phrases import reason
from authz.app.settings.values import Secret
from authz.errors import SettingsError


def read_secret(name: str, source: Secret, environ: Mapping[str, str], least: int = 1) -> bytes:
    """The secret of the setting `name`, without white space around it; raises SettingsError.

    `least` is in bytes.
    """
    if source.path:
        try:
            found = Path(source.path).read_bytes().strip()
        except OSError as error:
            raise SettingsError(f"{name}: {source.path}: cannot be read: {reason(error)}") from error
    else:
        found = environ.get(source.variable, "").encode("utf-8", "surrogateescape").strip()
    if len(found) < least:
        raise SettingsError(f"{name}: {source}: expected at least {least} bytes, got {len(found)}")
    return found
