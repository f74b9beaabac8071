"""The question: an HTTP request as the proxy describes it, the MCP messages in it, who asks, and the call."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from msgspec import Struct

from authz.model.tools import NO_TOOLS, KnownTools

JsonObject: TypeAlias = Mapping[str, Any]
MessageId: TypeAlias = str | int | None

NOTHING: Mapping[str, Any] = MappingProxyType({})


class HttpRequest(Struct, frozen=True, gc=False):
    """One HTTP request as the proxy describes it.

    `headers` has lower-case names; repeated lines are joined by `,` (as Envoy does), so a comma in a singleton
    header means that it was sent twice. `path` includes the query. `size` is what the proxy says the body has in
    bytes (-1: not said). `body_is_text` is true where the proxy sent the body as a string, in which every byte
    that is not UTF-8 was replaced by `!`. `verified` is the metadata that earlier filters of the proxy wrote, by
    filter name; `context` is what the proxy's route says (the client cannot set it). `stream_id` is the proxy's own
    id of the request, `caller` the transport peer that asked for the check, `wire` the check as it arrived: the same
    bytes mean that the proxy asks a second time. `route` is `NAMESPACE/NAME` of the proxy's route and `destination`
    whom the connection was made to, by its certificate, where the proxy tells.
    """

    method: str
    path: str
    host: str
    headers: Mapping[str, str]
    body: bytes = b""
    body_is_text: bool = False
    size: int = -1
    protocol: str = ""
    source_address: str = ""
    peer: str = ""
    verified: Mapping[str, JsonObject] = NOTHING
    context: Mapping[str, str] = NOTHING
    stream_id: str = ""
    caller: str = ""
    wire: bytes = b""
    route: str = ""
    destination: str = ""


class Era(enum.Enum):
    """Which generation of the protocol a request speaks."""

    LEGACY = "legacy"  # 2024-11-05 … 2025-11-25: initialize, sessions
    MODERN = "modern"  # 2026-07-28: stateless, `_meta` and mirror headers in every request


class MessageKind(enum.Enum):
    """What a message is; only a request is answered with a JSON-RPC body."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    RESPONSE = "response"  # the client's answer to a request of the server
    HTTP = "http"  # no JSON-RPC at all: SSE GET, session DELETE, preflight, OAuth metadata


class TargetKind(enum.StrEnum):
    """What a method is done to."""

    TOOL = "tool"
    PROMPT = "prompt"
    RESOURCE = "resource"
    METHOD = "method"


class Target(Struct, frozen=True, gc=False):
    """What it is done to. For `METHOD` the name is the method itself."""

    kind: TargetKind
    name: str


# Names that `methods:` of a policy uses for what has no JSON-RPC method.
HTTP_STREAM = "GET"
HTTP_END = "DELETE"
HTTP_PREFLIGHT = "OPTIONS"
HTTP_METADATA = "GET /.well-known"
CLIENT_RESPONSE = "response"


class Message(Struct, frozen=True, gc=False):
    """One JSON-RPC unit (or one HTTP request that carries none).

    `targets` is what the policy judges: one tool, prompt or resource, several URIs (`subscriptions/listen`), or the
    method itself. `arguments` is the object of a tools/call or prompts/get, else empty. `reference_only` is true for
    completion, which asks about a target without using it. `log_level` is the level asked for in `_meta` or by
    `logging/setLevel`, else "". `doubtful_text`: any `!` in the arguments may stand for bytes that were not UTF-8.
    `opens_urls`: the client declared that it can send its user to a URL (elicitation, in `_meta` of 2026-07-28 or in
    the `initialize` at hand). `answered`: it repeats a call after this service's own elicitation, so that no second
    one may follow.
    """

    kind: MessageKind
    method: str
    id: MessageId = None
    targets: tuple[Target, ...] = ()
    arguments: JsonObject = NOTHING
    continuation: bool = False
    reference_only: bool = False
    wants_task: bool = False
    log_level: str = ""
    doubtful_text: bool = False
    opens_urls: bool = False
    answered: bool = False


class Exchange(Struct, frozen=True, gc=False):
    """What one HTTP request carries: its messages and the protocol they are in.

    `session` is the legacy session id, "" where there is none or the era has none. `sse_transport` is true for a
    POST of the HTTP+SSE transport of 2024-11-05, whose answer travels on another connection.
    """

    era: Era
    messages: tuple[Message, ...]
    version: str = ""
    session: str = ""
    batch: bool = False
    sse_transport: bool = False
    trace_id: str = ""


class Principal(Struct, frozen=True, gc=False):
    """Who asks, from what the proxy has verified and nothing else.

    `source` is the name of the identity source in the settings and `issuer` who vouches for the id; both are part of
    who this is. A principal with `verified=False` has no id: limits fall back to the source address.
    `absent` names what the token did not carry (`groups`, `client_id`, `scopes`), which is undecidable for a rule
    that needs it, not empty. `peer` is the verified identity of the connection, whatever the source.
    """

    id: str = ""
    issuer: str = ""
    source: str = ""
    client_id: str = ""
    groups: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    claims: JsonObject = NOTHING
    absent: frozenset[str] = frozenset()
    peer: str = ""
    verified: bool = False


ANONYMOUS = Principal()


class Call(Struct, frozen=True, gc=False):
    """The question: this principal, this method on these targets of this server, with these arguments, now.

    `now` is wall-clock seconds since the epoch (for conditions); limits use the store's own monotonic clock.
    `address` is the source address, by which limits count where nobody is verified. `origin` is the browser's Origin
    header, None where there is none. `catalog` is what is known of the server's tools.
    """

    server: str
    message: Message
    principal: Principal
    era: Era = Era.LEGACY
    session: str = ""
    address: str = ""
    host: str = ""
    path: str = ""
    headers: Mapping[str, str] = NOTHING
    origin: str | None = None
    now: float = 0.0
    catalog: KnownTools = NO_TOOLS
