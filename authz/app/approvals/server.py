"""What people approve by, put together: a store of approvals and options -> a page and an API that listen.

The one value the composition root needs; everything else in this package is behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope, Send

from authz.app.approvals.announcer import FilingSink
from authz.app.approvals.api import Api
from authz.app.approvals.application import application
from authz.app.approvals.desk import Desk
from authz.app.approvals.events import Events
from authz.app.approvals.forms import Forms
from authz.app.approvals.identify import Door
from authz.app.approvals.listener import Listener
from authz.app.approvals.log_in import LogIn
from authz.app.approvals.messenger import Messenger
from authz.app.approvals.metrics import ApprovalMetrics
from authz.app.approvals.options import ApprovalsOptions
from authz.app.approvals.pages import Pages
from authz.app.approvals.rendering import Rendering
from authz.app.approvals.roster import Roster
from authz.app.approvals.sessions import Sessions
from authz.app.approvals.throttle import Throttle
from authz.app.approvals.watch import Watch
from authz.app.settings.values import Address
from authz.audit import RulingRecord
from authz.model import ApprovalRecord
from authz.state.approvals import Judge
from authz.state.store import Approvals

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ApprovalsServer:
    """The listener. `audit` gets each ruling that was taken, `registry` the metrics; `clock` is wall-clock seconds.

    Raises SettingsError if the approvers file cannot be read.
    """

    def __init__(
        self,
        approvals: Approvals,
        options: ApprovalsOptions,
        *,
        registry: CollectorRegistry | None = None,
        audit: Callable[[RulingRecord], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._approvals = approvals
        self._options = options
        self._audit = audit
        self._clock = clock
        self._url = options.url
        self._metrics = ApprovalMetrics(registry or CollectorRegistry())
        self._sessions = Sessions(options.session_key)
        self._roster = Roster(options.approvers, claim_is_id=options.claim_is_id) if options.approvers else None
        self._watch = Watch(
            approvals, self._metrics.pending.set, self._metrics.expired, oldest=self._metrics.oldest.set
        )
        self._messenger = Messenger(approvals, options.hook, self._metrics, self._url) if options.hook else None
        self._listener: Listener | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """How people reach the page, without a slash at the end; "" before `start` where no setting says it."""
        return self._url

    @property
    def sink(self) -> FilingSink:
        """What is to be told of every decision, so that people hear of requests."""
        return FilingSink(self)

    def filed(self, id_: str) -> None:
        """A request was filed: an Announcer, which `FilingSink` feeds."""
        if self._messenger is not None:
            self._messenger.filed(id_)

    async def start(self) -> Address:
        """Listen; the address that was bound. Raises SettingsError if it cannot."""
        options = self._options
        # The application has to know its own names, and they the port: bound first, served afterwards.
        app: list[ASGIApp] = []

        async def later(scope: Scope, receive: Receive, send: Send) -> None:
            await app[0](scope, receive, send)

        listener = Listener(later, options.address, socket_mode=options.socket_mode)
        address, socket = listener.bind()
        app.append(self.application(address))
        await listener.start(socket)
        self._listener = listener
        self._watching = asyncio.create_task(self._watch.run())
        if self._messenger is not None:
            self._messenger.url = self._url
            await self._messenger.start()
        return address

    async def stop(self) -> None:
        """Stop listening, send what is on its way for two seconds, and end everything."""
        self._watch.stop()
        if self._listener is not None:
            await self._listener.stop()
            self._listener = None
        if self._messenger is not None:
            await self._messenger.stop()
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
            self._watching = None

    def application(self, address: Address) -> ASGIApp:
        """What answers behind `address`, by whose names browsers may ask for it."""
        options = self._options
        self._url = self._url or f"http://{address}"
        secure = self._url.startswith("https:")
        origins = frozenset((self._url, *_own_origins(address)))
        hosts = frozenset(_host(origin) for origin in origins) | ({"localhost"} if address.path else frozenset())
        door = Door(
            self._sessions,
            roster=self._roster,
            proxy=options.proxy,
            everybody=options.everybody,
            # The prefix wants https: a browser then takes the cookie from this host alone (RFC 6265bis 4.1.3.2).
            cookie="__Host-approvals" if secure else "approvals",
        )
        desk = Desk(
            self._approvals,
            Judge(options.unidentified_ok),
            self._metrics,
            audit=self._audit,
            decided=self._decided,
            clock=self._clock,
        )
        throttle = Throttle()
        rendering = Rendering(self._sessions, self._clock)
        forms = Forms(self._sessions, rendering, self._metrics, origins)
        log_in = LogIn(door, throttle, self._metrics, forms, rendering, secure=secure)
        pages = Pages(desk, door, forms, log_in, rendering)
        api = Api(desk, door, throttle, self._metrics, origins=origins)
        events = Events(self._watch, desk, door, rendering)
        return application(pages, log_in, api, events, rendering, hosts)

    def _decided(self, record: ApprovalRecord) -> None:
        if self._messenger is not None:
            self._messenger.decided(record)


def _own_origins(address: Address) -> tuple[str, ...]:
    """The origins of pages that came from the bound address itself."""
    if address.path:
        return ()
    names = _LOOPBACK if address.loopback else (address.host,)
    return tuple(f"http://{Address(name, address.port)}" for name in names)


def _host(origin: str) -> str:
    """The host of an origin as the allow-list compares it: without a port."""
    host = urlsplit(origin).hostname or ""
    return f"[{host}]" if ":" in host else host
