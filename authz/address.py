"""Who stands behind a source address, as far as limits and turns are concerned."""

from __future__ import annotations

import functools
import ipaddress


@functools.lru_cache(maxsize=4096)
def neighbourhood(address: str) -> str:
    """An IPv4 address itself, the /64 of an IPv6 address (one host has all of it to choose from), "" for no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
