"""The methods that MCP has: the members of their params and what they are done to (schema 2024-11-05 … 2026-07-28).

It takes params that are already an object and gives targets and arguments; it knows nothing of headers and eras.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from authz.mcp.flaw import invalid_params
from authz.mcp.members import Members, text_of
from authz.model import NOTHING, JsonObject, Target, TargetKind

MAX_URI: Final = 8 * 1024  # characters; RFC 9110 section 4.1 asks that 8000 octets be supported
MAX_SUBSCRIPTIONS: Final = 100

Reading: TypeAlias = tuple[tuple[Target, ...], JsonObject]


@dataclass(frozen=True, slots=True)
class Method:
    """One method. `read` gives its targets (none: the method itself) and arguments.

    `mirrored` is the member of params that the Mcp-Name header repeats, `name_needed` whether 2026-07-28 requires it.
    `reference_only` marks completion, which asks about a target without using it.
    """

    members: Members
    read: Callable[[JsonObject], Reading] | None = None
    mirrored: str = ""
    name_needed: bool = False
    reference_only: bool = False


def _arguments(params: JsonObject) -> JsonObject:
    arguments = params.get("arguments", NOTHING)
    if type(arguments) is not dict and arguments is not NOTHING:
        raise invalid_params("params.arguments: expected an object")
    return arguments


def _uri(uri: object, place: str) -> Target:
    if type(uri) is not str or not 0 < len(uri) <= MAX_URI:
        raise invalid_params(f"{place}: expected a string of 1 to {MAX_URI} characters")
    return Target(TargetKind.RESOURCE, uri)


def _tool(params: JsonObject) -> Reading:
    return (Target(TargetKind.TOOL, text_of(params, "name", "params.name")),), _arguments(params)


def _prompt(params: JsonObject) -> Reading:
    return (Target(TargetKind.PROMPT, text_of(params, "name", "params.name")),), _arguments(params)


def _resource(params: JsonObject) -> Reading:
    return (_uri(params.get("uri"), "params.uri"),), NOTHING


_REFERENCE: Final = Members("type", "name", "uri")


def _completion(params: JsonObject) -> Reading:
    reference = params.get("ref")
    if type(reference) is not dict:
        raise invalid_params("params.ref: expected an object")
    _REFERENCE.refuse_twins(reference, "params.ref")
    kind = reference.get("type")
    if kind == "ref/prompt":
        return (Target(TargetKind.PROMPT, text_of(reference, "name", "params.ref.name")),), NOTHING
    if kind == "ref/resource":
        return (_uri(reference.get("uri"), "params.ref.uri"),), NOTHING
    raise invalid_params("params.ref.type: expected ref/prompt or ref/resource")


_LISTENING: Final = Members(
    "toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions", "taskIds"
)


def _subscriptions(params: JsonObject) -> Reading:
    wanted = params.get("notifications", {})
    if type(wanted) is not dict:
        raise invalid_params("params.notifications: expected an object")
    _LISTENING.refuse_twins(wanted, "params.notifications")
    place = "params.notifications.resourceSubscriptions"
    uris = wanted.get("resourceSubscriptions", [])
    if type(uris) is not list or len(uris) > MAX_SUBSCRIPTIONS:
        raise invalid_params(f"{place}: expected a list of at most {MAX_SUBSCRIPTIONS} URIs")
    return tuple(_uri(uri, place) for uri in uris), NOTHING


def _with_text(name: str) -> Callable[[JsonObject], Reading]:
    def read(params: JsonObject) -> Reading:
        text_of(params, name, f"params.{name}")
        return (), NOTHING

    return read


_RETRY: Final = ("inputResponses", "requestState")
_LIST: Final = Method(Members("_meta", "cursor"))
_TASK: Final = Method(Members("_meta", "taskId", "inputResponses"), _with_text("taskId"), "taskId")

METHODS: Final[dict[str, Method]] = {
    "initialize": Method(
        Members("_meta", "protocolVersion", "capabilities", "clientInfo"), _with_text("protocolVersion")
    ),
    "ping": Method(Members("_meta")),
    "server/discover": Method(Members("_meta")),
    "tools/list": _LIST,
    "tools/call": Method(Members("_meta", "name", "arguments", "task", *_RETRY), _tool, "name", name_needed=True),
    "resources/list": _LIST,
    "resources/templates/list": _LIST,
    "resources/read": Method(Members("_meta", "uri", *_RETRY), _resource, "uri", name_needed=True),
    "resources/subscribe": Method(Members("_meta", "uri"), _resource, "uri"),
    "resources/unsubscribe": Method(Members("_meta", "uri"), _resource, "uri"),
    "prompts/list": _LIST,
    "prompts/get": Method(Members("_meta", "name", "arguments", *_RETRY), _prompt, "name", name_needed=True),
    "completion/complete": Method(Members("_meta", "ref", "argument", "context"), _completion, reference_only=True),
    "logging/setLevel": Method(Members("_meta", "level"), _with_text("level")),
    "subscriptions/listen": Method(Members("_meta", "notifications"), _subscriptions),
    "tasks/get": _TASK,
    "tasks/result": _TASK,
    "tasks/cancel": _TASK,
    "tasks/update": _TASK,
    "tasks/list": _LIST,
}

# What 2026-07-28 has no more (its changelog); a server that reads only the body might still run it.
REMOVED: Final = frozenset(
    (
        "initialize",
        "ping",
        "resources/subscribe",
        "resources/unsubscribe",
        "logging/setLevel",
        "tasks/result",
        "tasks/list",
    )
)

# What the client tells the server; "notifications/cancelled" is the only one left in 2026-07-28.
NOTIFICATIONS: Final[dict[str, Method]] = {
    "notifications/initialized": Method(Members("_meta")),
    "notifications/cancelled": Method(Members("_meta", "requestId", "reason")),
    "notifications/progress": Method(Members("_meta", "progressToken", "progress", "total", "message")),
    "notifications/roots/list_changed": Method(Members("_meta")),
    "notifications/tasks/status": Method(Members("_meta", "taskId", "status")),
}

# A method that a policy may name though MCP does not: of its params only `_meta` is known.
UNKNOWN: Final = Method(Members("_meta"))
