"""An address to listen on -> a socket that is ours alone, with the permissions it shall have.

Knows no transport: how a socket is bound is the caller's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import stat
from collections.abc import Iterator
from typing import Any, Protocol

from authz.errors import SettingsError

_ANSWERED = "expected a stale socket or none, got one that another process answers on"
_ANSWER = 1.0  # seconds in which a living server takes a connection


class Address(Protocol):
    """A unix socket (`path`), or a TCP host and port; `str()` as it is written in the settings."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def loopback(self) -> bool:
        """Whether nobody beyond this machine can connect."""
        ...


def require_protected(address: Address, plaintext_ok: bool, *, tls: bool = False) -> None:
    """Raise SettingsError for plain text that leaves the machine: whoever reads it could also forge checks."""
    if not address.loopback and not plaintext_ok and not tls:
        raise SettingsError(
            f"listen: expected unix:PATH or a loopback address, got '{address}': beyond this machine it needs "
            "--tls-cert, or --plaintext-ok and something else that protects the way, such as a mesh"
        )


def require_free(path: str) -> None:
    """Raise SettingsError unless there is nothing at `path`, or a socket that a killed server left."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        directory = os.path.dirname(path) or "."
        if not os.access(directory, os.W_OK | os.X_OK):
            raise SettingsError(
                f"listen: unix:{path}: expected a directory '{directory}' that can be written, got none"
            ) from None
        return
    except OSError as error:
        raise SettingsError(f"listen: unix:{path}: expected a path to bind, got {error.strerror}") from error
    if not stat.S_ISSOCK(found.st_mode):
        raise SettingsError(f"listen: unix:{path}: expected no file or a stale socket, got another kind of file")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_ANSWER)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            pass
        except (TimeoutError, BlockingIOError) as error:  # its backlog is full
            raise SettingsError(f"listen: unix:{path}: {_ANSWERED}") from error
        except OSError as error:
            raise SettingsError(f"listen: unix:{path}: expected a stale socket, got {error.strerror}") from error
        else:
            raise SettingsError(f"listen: unix:{path}: {_ANSWERED}")


def require_free_port(address: Address) -> list[str]:
    """The hosts, as numbers, at which the TCP `address` can be bound; a name may have several.

    Raises SettingsError where there is none: gRPC writes why to stderr only, in its own words.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise SettingsError(f"listen: {address}: expected a host, got one that has no address") from error
    refusals = [_refusal(*one) for one in found]
    if errno.EADDRINUSE in refusals:
        raise SettingsError(f"listen: {address}: expected a free port, got one that is in use")
    if all(refusals):  # of a name with several addresses one is enough
        other = errno.EADDRNOTAVAIL in refusals
        got = "another" if other else os.strerror(refusals[0]).lower()
        raise SettingsError(f"listen: {address}: expected an address of this machine, got {got}")
    return [str(place[0]) for (*_, place), refusal in zip(found, refusals, strict=True) if not refusal]


def _refusal(family: int, kind: int, protocol: int, _: str, place: Any) -> int:
    """Why nobody can listen there now, as errno; 0 where somebody can."""
    try:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gRPC does: old connections may linger
            probe.bind(place)
            probe.listen(1)
    except OSError as error:
        return error.errno or errno.EINVAL
    return 0


@contextlib.contextmanager
def permissions(mode: int) -> Iterator[None]:
    """What is created in this block has at most `mode`, from its first moment. Process-wide: keep the block short."""
    before = os.umask(0o777 & ~mode)
    try:
        yield
    finally:
        os.umask(before)


def private(path: str) -> str:
    """A name beside `path` to bind first, which nobody knows and is no longer than most.

    gRPC removes the name it bound when it lets go of the socket, at some time after the server has stopped: under the
    public name that could be the socket of a successor.
    """
    return os.path.join(os.path.dirname(path), f".{secrets.token_hex(3)}")


def publish(bound: str, path: str) -> tuple[int, int]:
    """Rename the socket from `bound` to `path`, in one step; which socket it is. Raises SettingsError."""
    try:
        os.replace(bound, path)
        return _identity(path)
    except OSError as error:
        raise SettingsError(f"listen: unix:{path}: expected a path to bind, got {error.strerror}") from error


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def remove(path: str, mine: tuple[int, int]) -> None:
    """Remove the socket at `path` if it still is `mine`."""
    with contextlib.suppress(FileNotFoundError):
        if _identity(path) == mine:
            os.unlink(path)
