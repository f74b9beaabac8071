"""Who stands behind a source address, as far as limits and turns are concerned."""

from __future__ import annotations

import functools
import ipaddress

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@functools.lru_cache(maxsize=4096)
def neighbourhood(address: str) -> str:
    """An IPv4 address itself, the /64 of an IPv6 address (one host has all of it to choose from), "" for no address.

    IPv6 addresses that stand for an IPv4 address are that address: mapped, NAT64 (RFC 6052) and 6to4 (RFC 3056).
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if parsed.version == 4:
        return str(parsed)
    if parsed in _NAT64:
        return str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF))
    embedded = parsed.ipv4_mapped or parsed.sixtofour
    if embedded is not None:
        return str(embedded)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
