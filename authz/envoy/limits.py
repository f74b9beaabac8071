"""What one peer may take of a listener: sizes, streams, pings. Knows no transport."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
# Above what the proxy sends, so that too large a body gets a denial and not an RPC error (gRPC's own default is 4 MiB).
MIN_MESSAGE = 16 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, times in milliseconds; `message` is the largest request that reaches a handler.

    They bound what a working proxy may do by mistake. They do not bound what a hostile one can take: a thousand
    streams of a message each are allowed on every connection, and the permissions of the socket say who may connect.
    """

    message: int = MIN_MESSAGE
    streams: int = 1024  # of one connection; a proxy has one for each of its workers, and its breaker stops at 1024
    metadata: int = 16 << 10  # a proxy sends some 500 bytes; beyond it gRPC begins to refuse
    metadata_at_most: int = 32 << 10
    keepalive_time: int = 60_000  # a peer that has gone is noticed after 80 s
    keepalive_timeout: int = 20_000
    # the default of 5 min closes connections of a proxy that pings more often (connection_keepalive)
    ping_interval: int = 5_000


def limits(max_body_bytes: int) -> Limits:
    """The limits of a service whose own limit of a body is `max_body_bytes`."""
    return Limits(message=max(MIN_MESSAGE, max_body_bytes + MIB))
