"""Settings -> the running service: builds every room, starts and stops them in order. Decides nothing.

Start: policies, audit, shared store, operators' and approvers' side, checks, watcher; only then ready. Stop: not
ready, no new checks, those in flight answered, then everything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from authz import COMPILED
from authz.app import wiring
from authz.app.admin import AdminServer, Limits, ResourceMetadata, Token, read_token
from authz.app.approvals.options import from_settings, webhook
from authz.app.audit.file import AuditFile
from authz.app.background import running
from authz.app.checks import Checks
from authz.app.metrics import Metrics
from authz.app.phrases import counted, reason
from authz.app.policies.directory import owners_for_service
from authz.app.policies.reload import Loaded, Loader, Watcher, log_load
from authz.app.settings.settings import Settings
from authz.app.status import ServiceState
from authz.app.store.guarded import GuardedStore
from authz.app.tokens import Tokens
from authz.app.tokens.metrics import TokenMetrics
from authz.audit import AuditSink, RulingRecord
from authz.engine import Engine
from authz.envoy.authorization import Authorization
from authz.envoy.lane import Lane
from authz.envoy.transport import GrpcServer, Transport
from authz.errors import PolicyError

if TYPE_CHECKING:
    from authz.app.approvals.messenger import Messenger
    from authz.app.approvals.server import ApprovalsServer

_log = logging.getLogger("mcp_authz.serve")

STDOUT = 1
SWITCH = 0.0005  # seconds between threads while policies load; Python's default is ten times that
COLLECT = (700, 10, 1_000_000)  # a larger first threshold only makes the second generation's pauses long (measured)
QUIET = 0.02  # seconds without a new check after which none is on its way


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """The conditions under which policies load: beside the calls, and out of the sight of the collector afterwards.

    While policies compile in their thread, the event loop gets its turn ten times sooner than by default: p99 of calls
    during a load of 1000 files fell from 15 to 5 ms (measured; at other times it would cost each call a tenth). There
    are no full collections from then on: one through 1000 policies holds every call for 160 ms, one through the
    counters of 150,000 callers for 293 ms (measured; without them 21 ms). Counters and policies have no cycles, so
    what is replaced is freed all the same; what a call leaves behind dies young.
    """
    gc.set_threshold(*COLLECT)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.collect(1)
        gc.freeze()


def load(settings: Settings) -> tuple[Loader, Loaded]:
    """The first load; raises PolicyError with every problem where the service must not start."""
    loader = wiring.loader(settings, owners=owners_for_service())
    try:
        loaded = loader.first()
    except PolicyError as error:
        for problem in error.problems:
            _log.error("%s", problem)
        raise
    log_load(loaded)
    return loader, loaded


class Service:
    """One run of the program, from bound sockets to the last answer."""

    def __init__(self, settings: Settings, loader: Loader, loaded: Loaded) -> None:
        self._settings = settings
        self._loader = loader
        self._stop = asyncio.Event()
        self._now = asyncio.Event()
        policies = loaded.policies
        self._metrics = Metrics()
        store = self._store = wiring.store(settings, self._metrics.store_duration.observe)
        self._shared = store if isinstance(store, GuardedStore) else None
        local = store.local if isinstance(store, GuardedStore) else store
        self._token = Token(read_token(settings))
        self._tokens = Tokens(settings.identity)
        TokenMetrics(self._tokens, self._metrics.registry)
        self._state = ServiceState(loaded, self._shared, self._tokens, now=time.time())
        self._audit = _open_audit(settings)
        audit: Sequence[AuditSink] = (self._audit,) if self._audit else ()
        told: Sequence[AuditSink] = (self._metrics,)
        self._approvals = self._people()
        if self._approvals:
            told = (self._metrics, self._approvals.sink)
        self._engine = Engine(
            policies,
            self._store,
            told if settings.audit_required else (*audit, *told),
            wiring.engine_settings(settings, verifiers=self._tokens.verifiers),
            required=audit if settings.audit_required else (),
        )
        self._metrics.observe(store=local, shared=self._shared, audit=self._audit)
        self._watcher = Watcher(loader, policies, self._engine.swap, self._loaded, memory=loading)
        self._tell_metrics(loaded)
        authorization = Authorization(self._engine, Lane())
        self._checks = Checks(
            authorization.check,
            self._engine,
            self._metrics.in_flight,
            settings.timeout,
            at_once=self._shared is None,
        )
        self._certificates = wiring.certificates(settings, self._metrics.registry)
        self._server = GrpcServer(
            settings.listen,
            self._checks.check,
            max_body_bytes=settings.max_body_bytes,
            plaintext_ok=settings.plaintext_ok,
            socket_mode=settings.socket_mode,
            transport=Transport(settings.transport),
            secured=self._certificates.secured if self._certificates else None,
        )

    async def run(self, say: Callable[[str], None]) -> None:
        """Serve until told to stop; `say` gets the one ready line. Raises SettingsError if it cannot listen."""
        _log.info("core: %s", "compiled" if COMPILED else "interpreted, at half the speed")
        try:
            if self._shared:
                await self._shared.start()
            async with (
                self._tokens.kept_up_to_date(),
                self._operators() as admin,
                self._approvers() as page,
                self._serving() as bound,
                self._renewing(),
                running(self._watcher.run()),
                self._signals(),
            ):
                say(self._ready_line(bound, admin, page))
                await self._stop.wait()
                _log.info("draining: calls in flight have %g s", self._settings.drain)
                self._state.draining = True
        finally:
            await self._store.close()
            if self._audit:
                await asyncio.to_thread(self._audit.close)
        _log.info("stopped")

    def stop(self) -> None:
        """Stop, and answer what is in flight; told twice: stop at once."""
        if self._stop.is_set():
            self._now.set()
        self._stop.set()

    def reload(self) -> None:
        """Load the policies now and reopen the audit file (SIGHUP)."""
        self._watcher.ask()
        if self._audit:
            self._audit.reopen()

    # ------------------------------------------------------------------------------------ what starts and stops

    @contextlib.asynccontextmanager
    async def _operators(self) -> AsyncIterator[str]:
        address = self._settings.admin
        if address is None:
            yield "none"
            return
        metadata = ResourceMetadata(wiring.identities(self._settings), lambda: self._engine.policies)
        limits = Limits(self._store, self._token)
        admin = AdminServer(self._metrics, self._state, limits=limits, metadata=metadata)
        port = await admin.start(address.host, address.port)
        try:
            yield str(type(address)(address.host, port))
        finally:
            await admin.stop()

    @contextlib.asynccontextmanager
    async def _approvers(self) -> AsyncIterator[str]:
        """Where people approve, "" where they do not."""
        if self._approvals is None:
            yield ""
            return
        await self._approvals.start()
        # Only now is the port known, and with it what agents are told.
        verifiers = self._tokens.verifiers
        self._engine.configure(wiring.engine_settings(self._settings, self._approvals.url, verifiers))
        try:
            yield self._approvals.url
        finally:
            await self._approvals.stop()

    @contextlib.asynccontextmanager
    async def _renewing(self) -> AsyncIterator[None]:
        if self._certificates is None:
            yield
            return
        async with self._certificates.kept_up_to_date(self._server.renew):
            yield

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[Sequence[str]]:
        bound = await self._server.start()
        self._server.set_serving(True)
        self._state.serving = True
        try:
            yield bound
        finally:
            self._server.set_serving(False)
            self._state.serving = False
            draining = asyncio.create_task(self._drain())
            told_again = asyncio.create_task(self._now.wait())
            await asyncio.wait((draining, told_again), return_when=asyncio.FIRST_COMPLETED)
            told_again.cancel()
            if not draining.done():
                draining.cancel()
                await self._server.stop(0)
            with contextlib.suppress(asyncio.CancelledError):
                await draining

    async def _drain(self) -> None:
        # gRPC cancels what has arrived and was not handed over yet (measured: all but one of 16 callers in a hurry).
        # Health has told the proxy to go elsewhere; what it sent before is still taken, for half of the time at most.
        await self._checks.quiet(QUIET, self._settings.drain / 2)
        await self._server.stop(self._settings.drain / 2)

    @contextlib.asynccontextmanager
    async def _signals(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGTERM: self.stop, signal.SIGINT: self.stop, signal.SIGHUP: self.reload}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        # They stay until the loop ends: a second SIGTERM while draining must not kill.
        yield

    # ---------------------------------------------------------------------------------------- what it says

    def _loaded(self, loaded: Loaded) -> None:
        self._state.loaded(loaded, now=time.time())
        self._tell_metrics(loaded)

    def _tell_metrics(self, loaded: Loaded) -> None:
        policies = loaded.policies
        self._metrics.set_names(policies.names)
        self._metrics.policy_loaded(policies.revision, policies.problems)

    def _people(self) -> ApprovalsServer | Messenger | None:
        """The page; where that is another process's, what tells people of the requests that are filed here."""
        registry = self._metrics.registry
        # Only a service with a page or a webhook pays for its HTTP stack: 9 MiB and 0.12 s.
        if self._settings.approvals:
            from authz.app.approvals.server import ApprovalsServer

            return ApprovalsServer(self._store, from_settings(self._settings), registry=registry, audit=self._ruled)
        hook = webhook(self._settings)
        if hook is None:
            return None
        from authz.app.approvals.messenger import Messenger
        from authz.app.approvals.metrics import DeliveryMetrics

        return Messenger(self._store, hook, DeliveryMetrics(registry), self._settings.approvals_url)

    def _ruled(self, record: RulingRecord) -> None:
        if self._audit:
            self._audit.write_ruling(record)

    def _ready_line(self, bound: Sequence[str], admin: str, page: str) -> str:
        policies = self._engine.policies
        number = len(policies.policies) + len(policies.baselines) + sum(map(len, policies.shadows.values()))
        degraded = f", degraded ({counted(len(policies.problems), 'problem')})" if policies.degraded else ""
        approvals = f"approvals {page}, " if page else ""
        return (
            f"mcp-authz ready: listening on {', '.join(bound)}, admin {admin}, {approvals}"
            f"{counted(number, 'policy', 'policies')}, revision {policies.revision}{degraded}"
        )


def _open_audit(settings: Settings) -> AuditFile | None:
    if settings.audit == "none":
        return None
    return AuditFile(
        STDOUT if settings.audit == "stdout" else settings.audit,
        redaction=wiring.redaction(settings),
        required=settings.audit_required,
        max_bytes=settings.audit_max_bytes,
        keep=settings.audit_keep,
    )


def say_on_stdout(line: str) -> None:
    """Print one line; that nobody reads it is no reason not to serve."""
    try:
        print(line, flush=True)
    except OSError as error:
        _log.warning("stdout: %s", reason(error))
        sys.stdout = sys.stderr
