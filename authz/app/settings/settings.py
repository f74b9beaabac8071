"""Every setting in one place: its name, what it takes, its default with the precedent for it, and its help.

The flag `--max-body-bytes`, the variable `MCP_AUTHZ_MAX_BODY_BYTES` and the key `max_body_bytes` of the settings file
are all made from the field `max_body_bytes` below, so that they cannot diverge. Knows nothing of the rooms it sets up.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from authz.app.settings import values
from authz.app.settings.values import Address, Kind, Secret
from authz.app.store.address import MEMORY, StateAddress
from authz.identity import IdentitySource
from authz.identity.callers import AllowedCaller
from authz.model import Disclose
from authz.policy.compile.caps import Cap
from authz.policy.matching import Way

VARIABLE_PREFIX = "MCP_AUTHZ_"
MIB = 1 << 20
REQUIRED = "*required*"


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a setting beside its value.

    `kind` is None where only the settings file can say it. `many`: the flag may be repeated, the variable separates
    by `separator`, the file gives a list. `shown` is the default as a person reads it, "" where its text will do.
    """

    kind: Kind | None
    help: str
    why: str = ""
    many: bool = False
    shown: str = ""
    separator: str = ","


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the table: all its spellings."""

    name: str
    default: Any
    about: About

    @property
    def shown(self) -> str:
        """The default as a person reads it."""
        if self.about.shown:
            return self.about.shown
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)

    @property
    def flag(self) -> str:
        """`--max-body-bytes`; "" where there is none."""
        return "--" + self.name.replace("_", "-") if self.about.kind else ""

    @property
    def variable(self) -> str:
        """`MCP_AUTHZ_MAX_BODY_BYTES`; "" where there is none."""
        return VARIABLE_PREFIX + self.name.upper() if self.about.kind else ""


def _about(
    kind: Kind | None, help_: str, *, why: str = "", shown: str = "", many: bool = False, separator: str = ","
) -> dict[str, About]:
    return {"about": About(kind, help_, why, many, shown, separator)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one run. Durations are in seconds, sizes in bytes."""

    policies: Path = field(
        default=Path(), metadata=_about(values.PATH, "the directory of policy files", shown=REQUIRED)
    )
    baseline: Path | None = field(
        default=None,
        metadata=_about(
            values.PATH,
            "the platform's own directory: the only one whose baselines count then; its other policies are defaults, "
            "each for as long as `policies` has no file of that name",
            shown="baselines in `policies` count",
        ),
    )
    forbid: tuple[Cap, ...] = field(
        default=(),
        metadata=_about(
            values.one_of(tuple(Cap), Cap),
            "what policies in a folder of a team may not say; may be repeated",
            many=True,
            shown="nothing",
        ),
    )
    listen: tuple[Address, ...] = field(
        default=(),
        metadata=_about(
            values.LISTEN,
            "where the proxy asks: a unix socket or a TCP address; may be repeated",
            many=True,
            shown=REQUIRED,
        ),
    )
    transport: str = field(
        default="auto",
        metadata=_about(
            values.one_of(("auto", "native", "grpcio")),
            "what carries the checks: `native` is pygrpc-native, `auto` takes it where it is installed, else grpcio",
        ),
    )
    admin: Address | None = field(
        default=Address("127.0.0.1", 9464),
        metadata=_about(
            values.TCP,
            "where operators ask over HTTP: metrics, health, state",
            why="host and port of OpenTelemetry's Prometheus exporter",
        ),
    )
    admin_token: Secret | None = field(
        default=None,
        metadata=_about(
            values.SECRET, "lets its bearer reset limits (`mcp-authz limits reset`)", shown="none, and nobody may"
        ),
    )
    state: StateAddress = field(
        default=MEMORY,
        metadata=_about(
            values.STATE,
            "where counters and approvals live: `memory`, in this process, so that each replica counts for itself; or "
            "Valkey or Redis, for all replicas: `valkey://` or `redis://` `[USER@]HOST:PORT/0`, with TLS `valkeys://`, "
            "`valkey+unix:///PATH`, `valkey+sentinel://H1:26379,H2:26379/NAME/0`, `valkey+cluster://H1:6379,H2:6379`",
        ),
    )
    state_password: Secret | None = field(
        default=None,
        metadata=_about(values.SECRET, "the password for `state`, read again at each connection", shown="none"),
    )
    state_timeout: float = field(
        default=0.020,
        metadata=_about(
            values.duration(0.001, 10),
            "how long a decision waits for `state` before each limit does what its `on_store_error` says; below "
            "`timeout`",
            shown="20ms",
            why="a tenth of Envoy's default timeout",
        ),
    )
    state_ca: Path | None = field(
        default=None,
        metadata=_about(
            values.FILE, "the certificates (PEM) that alone may vouch for `state` by TLS", shown="those of the system"
        ),
    )
    state_cert: Path | None = field(
        default=None, metadata=_about(values.FILE, "the client certificate (PEM) for `state`", shown="none")
    )
    state_key: Path | None = field(
        default=None, metadata=_about(values.FILE, "the key of `state_cert` (PEM)", shown="none")
    )
    approvals: Address | None = field(
        default=None,
        metadata=_about(
            values.LISTEN_OR_NONE,
            "where people approve: the page and its HTTP API; needs `approvers` or `approvals_proxy_user`",
            shown="none",
        ),
    )
    approvals_url: str = field(
        default="",
        metadata=_about(
            values.ORIGIN, "how people reach the page, for links and as the one further Host", shown="the bound address"
        ),
    )
    approvals_plaintext_ok: bool = field(
        default=False,
        metadata=_about(
            values.SWITCH, "serve the page in plain text beyond this machine: a proxy in front of it has TLS"
        ),
    )
    approvals_session_key: Secret | None = field(
        default=None,
        metadata=_about(
            values.SECRET,
            "signs sessions; the same for all replicas behind one address",
            shown="random at each start",
        ),
    )
    approvers: Path | None = field(
        default=None,
        metadata=_about(
            values.FILE, "who may approve, with groups and hashed tokens (`mcp-authz approvers add`)", shown="none"
        ),
    )
    approvals_proxy_user: str = field(
        default="",
        metadata=_about(values.HEADER, "header in which a reverse proxy says who the approver is", shown="none"),
    )
    approvals_proxy_groups: str = field(
        default="",
        metadata=_about(values.HEADER, "header with the approver's groups, separated by commas", shown="none"),
    )
    approvals_proxy_claim: str = field(
        default="",
        metadata=_about(
            values.HEADER, "header with the approver's value of `approval_claim`", shown="the user, where that is `id`"
        ),
    )
    approvals_proxy_secret: Secret | None = field(
        default=None,
        metadata=_about(
            values.SECRET,
            "what the proxy sends as `x-approvals-proxy-secret`; needed unless the page is on a unix socket",
            shown="none",
        ),
    )
    approval_claim: str = field(
        default="id",
        metadata=_about(
            values.TEXT,
            "the claim of the requester, or `id`, by which nobody approves own calls; compared with the approver's",
        ),
    )
    approve_unidentified: bool = field(
        default=False,
        metadata=_about(values.SWITCH, "let approve where requester or approver has no such claim to compare"),
    )
    webhook_url: str = field(
        default="", metadata=_about(values.WEB, "told of new and decided requests for approval", shown="none")
    )
    webhook_secret: Secret | None = field(
        default=None,
        metadata=_about(
            values.SECRET,
            "signs what is sent (Standard Webhooks); needed where the format is `generic`",
            shown="none",
        ),
    )
    webhook_format: str = field(
        default="generic",
        metadata=_about(values.one_of(("generic", "slack", "teams")), "who shall understand it"),
    )
    socket_mode: int = field(
        default=0o660,
        metadata=_about(
            values.MODE,
            "permissions of a unix socket, set before anybody can connect",
            shown="0660",
            why="proxy and service share a group, as in a pod with `fsGroup`",
        ),
    )
    plaintext_ok: bool = field(
        default=False,
        metadata=_about(
            values.SWITCH, "listen in plain text beyond this machine: what protects the way is somebody else's duty"
        ),
    )
    tls_cert: Path | None = field(
        default=None,
        metadata=_about(
            values.FILE,
            "the certificate (PEM, with its chain) by which every TCP address of `listen` speaks TLS; looked at every "
            "5 s, as are the next two",
            shown="none",
        ),
    )
    tls_key: Path | None = field(
        default=None, metadata=_about(values.FILE, "the key of `tls_cert` (PEM, without a password)", shown="none")
    )
    tls_client_ca: Path | None = field(
        default=None,
        metadata=_about(
            values.FILE,
            "the certificates (PEM) that alone may vouch for a client; nobody connects without a certificate",
            shown="none",
        ),
    )
    tls_min_version: str = field(
        default="1.3", metadata=_about(values.one_of(("1.3", "1.2")), "the lowest version of TLS that is spoken")
    )
    callers: tuple[AllowedCaller, ...] = field(
        default=(),
        metadata=_about(
            values.CALLER,
            "who may ask by TLS: a SPIFFE id, one that ends in `/*`, or a certificate's subject "
            "(`CN=envoy,O=Example`); "
            'with `=SERVER,TEAM/*` only about those (a subject then in quotes: `"CN=envoy"=a`); needed beyond this '
            "machine; may be repeated, in the variable separated by `;`",
            many=True,
            shown="on this machine, whoever has a certificate",
            separator=";",
        ),
    )
    max_body_bytes: int = field(
        default=4 * MIB,
        metadata=_about(
            values.size(1024, 64 * MIB),
            "a body of this many bytes or more is denied; set it to the proxy's `max_request_bytes`",
            shown="4MiB",
            why="gRPC's default limit of a message",
        ),
    )
    max_body_values: int = field(
        default=100_000,
        metadata=_about(
            values.whole(1000, 10_000_000),
            "a body with more JSON values than this is denied",
            why="about 10 ms of reading, measured",
        ),
    )
    timeout: float = field(
        default=0.150,
        metadata=_about(
            values.duration(0.001, 60),
            "a decision that takes longer is a denial; keep it below the proxy's own timeout",
            shown="150ms",
            why="Envoy's own default is 200 ms",
        ),
    )
    drain: float = field(
        default=5.0,
        metadata=_about(
            values.duration(0, 600),
            "how long calls in flight may take to end after SIGTERM",
            shown="5s",
            why="far above `timeout`, far below Kubernetes' 30 s of grace",
        ),
    )
    sessions: int = field(
        default=10,
        metadata=_about(
            values.whole(1, 10_000),
            "session counters of one principal in a window; further sessions share one",
            why="policies/README.md 6",
        ),
    )
    select_by: tuple[Way, ...] = field(
        default=(),
        metadata=_about(
            values.one_of(tuple(Way), Way),
            "what else tells which server a request is for, where the route's context extension does not: `route` "
            "(Envoy Gateway's `includeRouteMetadata`), `destination` (a sidecar's certificate), `host` (only where the "
            "proxy routes by that header); the first that is present is final, in this order; may be repeated",
            many=True,
            shown="`extension` alone",
        ),
    )
    request_headers: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            values.HEADER, "request headers that conditions may read; may be repeated", many=True, shown="none"
        ),
    )
    identity: tuple[IdentitySource, ...] = field(
        default=(),
        metadata=_about(
            None,
            "sources of verified identity, a list; see Identity",
            shown="the one payload of `jwt_authn`, or nobody",
        ),
    )
    default_identity: str = field(
        default="",
        metadata=_about(values.TEXT, "the identity source of policies that name none", shown="the first of `identity`"),
    )
    challenge: str = field(
        default="",
        metadata=_about(
            values.TEXT,
            "callers without a token get 401 with this `WWW-Authenticate` (RFC 9728)",
            shown="none, and no 401",
        ),
    )
    denial: str = field(
        default="tool-result",
        metadata=_about(
            values.one_of(("tool-result", "jsonrpc-error", "http-status")),
            "what a denied tools/call gets",
            why="the one form after which every client goes on, measured",
        ),
    )
    disclose: Disclose = field(
        default=Disclose.FULL,
        metadata=_about(
            values.one_of(tuple(Disclose), Disclose),
            "how much a denied caller is told; a rule may say less",
        ),
    )
    ratelimit_headers: bool = field(
        default=False,
        metadata=_about(values.SWITCH, "add `RateLimit` headers to the answers of allowed calls (IETF draft)"),
    )
    audit: str = field(
        default="stdout",
        metadata=_about(
            values.TEXT,
            "where audit records go: a file, `stdout` or `none`",
            why="twelve-factor: an event stream, unbuffered, to stdout",
        ),
    )
    audit_values: bool = field(
        default=False, metadata=_about(values.SWITCH, "record argument values beside their digest")
    )
    audit_redact: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            values.TEXT,
            "globs of further argument names whose values are never recorded; may be repeated",
            many=True,
            shown="none",
        ),
    )
    audit_required: bool = field(default=False, metadata=_about(values.SWITCH, "deny what cannot be recorded"))
    audit_max_bytes: int = field(
        default=100 * MIB,
        metadata=_about(
            values.size(0, 1 << 40),
            "an audit file is rotated at this size; 0 leaves that to logrotate and SIGHUP",
            shown="100MiB",
            why="lumberjack's default",
        ),
    )
    audit_keep: int = field(
        default=5,
        metadata=_about(values.whole(0, 1000), "rotated audit files that are kept", why="kubelet's container logs"),
    )
    log_level: str = field(
        default="info",
        metadata=_about(values.one_of(("debug", "info", "warning", "error")), "what is logged on stderr"),
    )
    log_format: str = field(
        default="auto",
        metadata=_about(
            values.one_of(("auto", "json", "text")),
            "how it is logged; `auto` is text on a terminal and JSON lines elsewhere",
        ),
    )


@functools.cache
def table() -> Mapping[str, Setting]:
    """Every setting by name, in the order of the class."""
    return {one.name: Setting(one.name, one.default, one.metadata["about"]) for one in dataclasses.fields(Settings)}


def markdown() -> str:
    """The table of settings as the README shows it."""
    lines = ["| flag, variable and key | default | what it does |", "|---|---|---|"]
    for setting in table().values():
        about = setting.about
        takes = f" `{about.kind.shown}`".replace("|", "\\|") if about.kind and not about.kind.switch else ""
        names = f"`{setting.flag}`{takes}<br>`{setting.variable}`" if about.kind else f"key `{setting.name}`"
        default = setting.shown if " " in setting.shown or setting.shown == REQUIRED else f"`{setting.shown}`"
        text = about.help.replace("|", "\\|")
        lines.append(f"| {names} | {default} | {text}{f' ({about.why})' if about.why else ''} |")
    return "\n".join(lines) + "\n"
