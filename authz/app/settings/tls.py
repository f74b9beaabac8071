"""Settings of the TLS listener -> what in them does not go together, and where its files are."""

from __future__ import annotations

from authz.app.settings.settings import Settings
from authz.envoy.material import Files

_FILES = ("tls_cert", "tls_key", "tls_client_ca")


def tls_files(settings: Settings) -> Files | None:
    """Where the certificates are, None without TLS."""
    cert, key, client_ca = settings.tls_cert, settings.tls_key, settings.tls_client_ca
    return Files(cert, key, client_ca) if cert and key and client_ca else None


def tls_contradictions(settings: Settings) -> list[str]:
    """What each setting allows and all together do not."""
    missing = [name for name in _FILES if getattr(settings, name) is None]
    problems = []
    if len(missing) == len(_FILES):
        if settings.callers:
            problems.append("callers: expected tls_cert, without which nobody who asks has a name, got none")
        return problems
    if missing:
        problems.append(f"tls_cert: expected {', '.join(_FILES)} together, got no {' and no '.join(missing)}")
    if settings.plaintext_ok:
        problems.append("plaintext_ok: expected false beside tls_cert, with which no TCP is in plain text")
    if settings.transport == "native":
        problems.append("transport: expected auto or grpcio for tls_cert, got 'native', which has no TLS")
    tcp = [address for address in settings.listen if not address.path]
    if settings.listen and not tcp:
        problems.append("tls_cert: expected a TCP address in listen, got unix sockets only, which have no TLS")
    beyond = [str(address) for address in tcp if not address.loopback]
    if beyond and not settings.callers:
        problems.append(
            f"callers: expected who may ask where others can connect ({', '.join(beyond)}), got none: whoever has a "
            "certificate of that authority could forge checks"
        )
    return problems
