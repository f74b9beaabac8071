"""Text from a flag, a variable or a settings file -> typed values: sizes, durations, addresses, closed sets.

Knows nothing of which settings there are.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from authz.app.store.address import parse as state_address
from authz.identity.callers import parse_caller
from authz.policy.text.suggestion import did_you_mean

_SIZE = re.compile(r"([0-9]{1,15}) ?(|KiB|MiB|GiB)")
_SIZES = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ms|s|m|h|)")
_DURATIONS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_OCTAL = 'an octal mode such as "0660"'
_MODE = re.compile(r"0?[0-7]{3}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110 5.6.2, lower case as the proxy sends header names

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)

UNIX_PATH_BYTES = 107  # sockaddr_un.sun_path without its NUL


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of value is written.

    `parse` turns text into the value or raises ValueError with what was expected and got. `scalars` are the types a
    settings file may use for it. `shown` is the placeholder in help texts, `expected` says the same in words where it
    is not enough; `switch` is true for `--x / --no-x`.
    """

    shown: str
    parse: Callable[[str], Any]
    scalars: tuple[type, ...] = (str,)
    switch: bool = False
    expected: str = ""

    def read(self, raw: object) -> Any:
        """A value of a settings file; its type must be one of `scalars`, so that `"true"` is no switch."""
        if type(raw) not in self.scalars:
            raise ValueError(f"expected {self.expected or self.shown}, got {raw!r}")
        return self.parse(str(raw).lower() if isinstance(raw, bool) else str(raw))


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a unix socket (`path`) or a TCP host and port. `str()` gives it as it is written."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether nobody beyond this machine can connect (by name only `localhost` counts)."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is: in a file (`path`) or an environment variable. Never the secret itself: settings are shown."""

    path: str = ""
    variable: str = ""

    def __str__(self) -> str:
        return f"file:{self.path}" if self.path else f"env:{self.variable}"


def whole(low: int, high: int) -> Kind:
    """A whole number from `low` to `high`, both included."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,15}", text) or not low <= int(text) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}, got {text!r}")
        return int(text)

    return Kind("N", parse, (int,))


def size(low: int, high: int) -> Kind:
    """A number of bytes: `4194304` or `4MiB`."""

    def parse(text: str) -> int:
        match = _SIZE.fullmatch(text)
        value = int(match[1]) * _SIZES[match[2]] if match else -1
        if not low <= value <= high:
            raise ValueError(f"expected bytes from {low} to {high} (such as 4194304 or 4MiB), got {text!r}")
        return value

    return Kind("BYTES", parse, (int, str))


def duration(low: float, high: float) -> Kind:
    """Seconds: `0.15`, `150ms`, `5s`, `1m`."""

    def parse(text: str) -> float:
        match = _DURATION.fullmatch(text)
        value = float(match[1]) * _DURATIONS[match[2]] if match else -1.0
        if not low <= value <= high:
            raise ValueError(f"expected a duration from {low:g}s to {high:g}s (such as 150ms or 5s), got {text!r}")
        return value

    return Kind("DURATION", parse, (int, float, str))


def one_of(words: Sequence[str], convert: Callable[[str], Any] = str) -> Kind:
    """One word of a closed set, turned into `convert(word)`."""

    def parse(text: str) -> Any:
        if text not in words:
            raise ValueError(f"expected one of {', '.join(words)}, got {text!r}{did_you_mean(text, words)}")
        return convert(text)

    return Kind("|".join(words), parse)


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"expected true or false, got {text!r}")
    return text == "true"


def _text(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"expected printable text, got {text!r}")
    return text


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError(f"expected a path, got {text!r}")
    return Path(text)


def _mode(text: str) -> int:
    if not _MODE.fullmatch(text):
        raise ValueError(f"expected {_OCTAL}, got {text!r}")
    return int(text, 8)


def _header(text: str) -> str:
    name = text.lower()
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"expected a header name, got {text!r}")
    return name


def address(text: str) -> Address:
    """`unix:PATH`, `HOST:PORT` or `[IPv6]:PORT`; port 0 lets the system choose. Raises ValueError."""
    if text.startswith("unix:"):
        path = text[5:]
        if not path or "\0" in path or len(path.encode()) > UNIX_PATH_BYTES:
            raise ValueError(f"expected unix:PATH with a path of 1 to {UNIX_PATH_BYTES} bytes, got {text!r}")
        return Address(path=path)
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or (":" in host and bare == host) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise ValueError(f"expected unix:PATH, HOST:PORT or [IPv6]:PORT, got {text!r}")
    if int(port) > 65535:
        raise ValueError(f"expected a port up to 65535, got {text!r}")
    return Address(host=bare, port=int(port))


def _listen_or_none(text: str) -> Address | None:
    return None if text == "none" else address(text)


def _secret(text: str) -> Secret:
    kind, _, rest = text.partition(":")
    if kind not in ("file", "env") or not rest or "\0" in rest or (kind == "env" and not _VARIABLE.fullmatch(rest)):
        raise ValueError("expected file:PATH or env:NAME, got something else")  # which may be the secret: not repeated
    return Secret(path=rest) if kind == "file" else Secret(variable=rest)


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise ValueError(f"expected https://HOST or http://HOST:PORT without a path, got {text!r}")
    scheme, _, rest = text.lower().partition("://")
    return f"{scheme}://{rest.removesuffix(':443' if scheme == 'https' else ':80')}"  # as browsers write it


def _web(text: str) -> str:
    parts = urlsplit(text) if text.isascii() and text.isprintable() and " " not in text else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise ValueError("expected an http or https address, got something else")  # a web hook's address is a secret
    return text


def _tcp(text: str) -> Address | None:
    if text == "none":
        return None
    found = address(text)
    if found.path:
        raise ValueError(f"expected HOST:PORT or none, got {text!r}")
    return found


SWITCH = Kind("true|false", _switch, (bool,), switch=True)
TEXT = Kind("TEXT", _text)
PATH = Kind("PATH", _path)
MODE = Kind("MODE", _mode, expected=_OCTAL)
HEADER = Kind("NAME", _header)
LISTEN = Kind("unix:PATH|HOST:PORT", address)
TCP = Kind("HOST:PORT|none", _tcp)
LISTEN_OR_NONE = Kind("unix:PATH|HOST:PORT|none", _listen_or_none)
FILE = Kind("FILE", _path)
SECRET = Kind("file:PATH|env:NAME", _secret)
ORIGIN = Kind("URL", _origin)
WEB = Kind("URL", _web)
CALLER = Kind("ID[=SERVER,…]", parse_caller)
STATE = Kind("memory|valkey://HOST:PORT/0", state_address)
