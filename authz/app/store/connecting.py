"""Settings -> the servers of `--state`, not yet connected. What can be read wrong now is told now."""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import Callable, Mapping

from authz.app.phrases import reason
from authz.app.settings.secret import read_secret
from authz.app.settings.settings import Settings
from authz.app.store.address import Topology
from authz.app.store.cluster import ClusterServer
from authz.app.store.link import Dialer
from authz.app.store.primary import Fixed, PrimaryServer, Sentinels
from authz.errors import SettingsError

STALL = 5  # deadlines that a reply may be late before a link is asked nothing more


def connect(
    settings: Settings, trouble: Callable[[], None], environ: Mapping[str, str] = os.environ
) -> PrimaryServer | ClusterServer:
    """The servers of `settings.state`, which `mend` connects to; raises SettingsError."""
    state = settings.state
    password, tls = None, None
    if source := settings.state_password:
        password = functools.partial(read_secret, "state_password", source, environ)
        password()  # what cannot be read now is a mistake; later it may be on its way
    if state.tls:
        tls = functools.partial(_context, settings)
        tls()
    dialer = Dialer(state.user, password, state.database, tls, STALL * settings.state_timeout)
    if state.topology is Topology.CLUSTER:
        return ClusterServer(dialer, state.places, trouble)
    if state.topology is Topology.SENTINEL:
        return PrimaryServer(dialer, Sentinels(dialer, state.places, state.name), trouble)
    return PrimaryServer(dialer, Fixed(state.places[0]), trouble)


def _context(settings: Settings) -> ssl.SSLContext:
    """How to speak TLS; files are read each time, so that certificates may be renewed. Raises SettingsError."""
    ca = settings.state_ca
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"state_ca: {ca}: {_why(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.state_cert and settings.state_key:
        try:
            context.load_cert_chain(settings.state_cert, settings.state_key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"state_cert: {settings.state_cert} with {settings.state_key}: {_why(error)}"
            ) from error
    return context


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"expected certificates and keys in PEM that belong together, got {error.reason or 'something else'}"
    return f"cannot be read: {reason(error)}"
