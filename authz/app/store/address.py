"""`--state` as it is written -> where the store is. Connects to nothing and imports no client library."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from urllib.parse import unquote

from authz.policy.text.suggestion import did_you_mean

PORT = 6379  # IANA's for Redis; Valkey has the same
SENTINEL_PORT = 26379
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._-]+)?\]")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")  # what sentinel.c allows for the name of a primary
_DATABASE = re.compile(r"[0-9]{1,5}")
_UNIX_PATH_BYTES = 107  # sockaddr_un.sun_path without its NUL


class Topology(enum.StrEnum):
    """How servers share the work, and so how the one to ask is found."""

    SINGLE = "single"
    UNIX = "unix"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server listens: TCP host and port, or a unix socket (`path`)."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class StateAddress:
    """Where counters live. `places` are the server, its sentinels, or nodes of the cluster; empty: in this process.

    `name` is what sentinels call the primary. `str()` gives it as it was written: there is no password in it.
    """

    text: str = "memory"
    topology: Topology = Topology.SINGLE
    places: tuple[Place, ...] = ()
    tls: bool = False
    user: str = ""
    database: int = 0
    name: str = ""

    def __str__(self) -> str:
        return self.text

    @property
    def shared(self) -> bool:
        """Whether it is beyond this process."""
        return bool(self.places)


MEMORY = StateAddress()

# Both names say the same: the two servers speak one protocol.
_SCHEMES: dict[str, tuple[Topology, bool]] = {}
for _server in ("valkey", "redis"):
    for _topology in Topology:
        _suffix = "" if _topology is Topology.SINGLE else f"+{_topology}"
        _SCHEMES[_server + _suffix] = (_topology, False)
        if _topology is not Topology.UNIX:
            _SCHEMES[f"{_server}s{_suffix}"] = (_topology, True)


def parse(text: str) -> StateAddress:
    """`memory`, `valkey://HOST:PORT/0` and its relatives; raises ValueError with what was expected and got."""
    if text == "memory":
        return MEMORY
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in _SCHEMES:
        # What precedes "://" is no secret, what follows may be.
        meant = did_you_mean(scheme, _SCHEMES) if separator else did_you_mean(text, ["memory"])
        got = repr(f"{scheme}://…") if separator else repr(text) if "@" not in text else "something else"
        raise ValueError(f"expected memory or an address such as valkey://HOST:6379/0, got {got}{meant}")
    authority, at, where = rest.rpartition("@")
    if ":" in authority:
        raise ValueError(
            f"expected no password in {scheme}://…, where a list of processes would show it: "
            "give it by state_password as file:PATH or env:NAME"
        )
    user = _user(unquote(authority)) if at else ""
    if sign := next((one for one in "?#" if one in where), ""):
        raise ValueError(f"expected no {sign!r} in {scheme}://…: options are settings of their own (--state-…)")
    topology, tls = _SCHEMES[scheme]
    if topology is Topology.UNIX:
        return StateAddress(text, topology, (_socket(where),), False, user)
    hosts, _, path = where.partition("/")
    name, database = _path(text, topology, path)
    default = SENTINEL_PORT if topology is Topology.SENTINEL else PORT
    places = tuple(_place(text, host, default) for host in hosts.split(","))
    if topology is Topology.SINGLE and len(places) > 1:
        raise ValueError(f"expected one HOST:PORT, got {hosts!r}: several are {scheme}+sentinel:// or +cluster://")
    if len(set(places)) < len(places):
        raise ValueError(f"expected each HOST:PORT once, got {hosts!r}")
    return StateAddress(text, topology, places, tls, user, database, name)


def _path(text: str, topology: Topology, path: str) -> tuple[str, int]:
    """The name of the primary and the database."""
    name = ""
    if topology is Topology.SENTINEL:
        name, _, path = path.partition("/")
        if not _NAME.fullmatch(name):
            raise ValueError(f"expected the name of the primary, as in …+sentinel://HOST:26379/NAME/0, got {text!r}")
    if path and not _DATABASE.fullmatch(path):
        raise ValueError(f"expected the number of a database at the end, such as /0, got {text!r}")
    database = int(path or 0)
    if topology is Topology.CLUSTER and database:
        raise ValueError(f"expected database 0, the only one that a cluster has, got {text!r}")
    return name, database


def _place(text: str, host: str, default: int) -> Place:
    match = re.fullmatch(rf"({_HOST.pattern})(?::([0-9]{{1,5}}))?", host)
    if not match:
        raise ValueError(f"expected HOST:PORT or [IPv6]:PORT, got {host!r} in {text!r}")
    port = int(match[2] or default)
    if not 1 <= port <= 65535:
        raise ValueError(f"expected a port from 1 to 65535, got {host!r}")
    return Place(match[1].strip("[]"), port)


def _socket(where: str) -> Place:
    path = unquote(where)
    if not path.startswith("/") or "\0" in path or len(path.encode()) > _UNIX_PATH_BYTES:
        raise ValueError(f"expected the absolute path of a socket, of up to {_UNIX_PATH_BYTES} bytes, got {where!r}")
    return Place(path=path)


def _user(user: str) -> str:
    if not user or not user.isprintable() or " " in user:
        raise ValueError(f"expected the name of an ACL user before '@', got {user!r}")
    return user
