"""How gRPC names a peer -> who asks, as the rest of the service knows it."""

from __future__ import annotations

from urllib.parse import unquote

UNIX = "unix"


def caller_of(peer: str) -> str:
    """A peer such as `ipv6:%5B::1%5D:50000` or `unix:1` -> its address without the port, or `unix`."""
    family, _, place = peer.partition(":")
    if family not in ("ipv4", "ipv6"):
        return UNIX if family == "unix" else peer
    return unquote(place).rpartition(":")[0].strip("[]")
