"""What `explain` was asked -> the HttpRequest that the proxy would describe. Knows no policy."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import structs

from authz.app.callers import Caller, identified
from authz.app.commands.http_text import UnreadableRequest, make_request, parse_header, parse_request
from authz.app.phrases import reason
from authz.errors import AuthzError
from authz.identity import Identities, IdentitySource
from authz.model import HttpRequest
from authz.policy.selection import SERVER_EXTENSION

_HEADERS = (
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
    ("mcp-protocol-version", "2025-11-25"),  # the last version whose requests need nothing but a body
)


class QuestionError(AuthzError):
    """Options of `explain` that make no question; the text names the option."""


@dataclass(frozen=True, slots=True)
class Question:
    """A tool with its arguments (JSON text), or a file with a request ('-': stdin), and who asks.

    `claims` are `NAME=JSON`, `headers` are `Name: value`. `server` is what the route names, None where it names none.
    Of a principal without `groups` or `scopes` the token says that there are none; without `client` it does not say.
    """

    tool: str | None = None
    arguments: str | None = None
    file: Path | None = None
    server: str | None = None
    principal: str | None = None
    groups: tuple[str, ...] = ()
    client: str | None = None
    scopes: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()

    def request(self, identities: Identities) -> HttpRequest:
        """The request; raises QuestionError or UnreadableRequest."""
        request = self._bare()
        headers = {**request.headers}
        try:
            given = [parse_header(line) for line in self.headers]
        except UnreadableRequest as error:
            raise QuestionError(f"--header: {error}") from error
        headers.update((name.lower(), value) for name, value in given)
        host = headers.pop("host", request.host)
        context = {} if self.server is None else {SERVER_EXTENSION: self.server}
        request = structs.replace(request, headers=headers, host=host, context=context)
        return self._identified(request, identities.sources)

    def _bare(self) -> HttpRequest:
        if (self.tool is None) == (self.file is None):
            raise QuestionError("expected --tool NAME or --request FILE")
        if self.file is not None:
            if self.arguments is not None:
                raise QuestionError("--args: expected beside --tool only; a request has its own")
            try:
                text = sys.stdin.buffer.read() if str(self.file) == "-" else self.file.read_bytes()
            except OSError as error:
                raise QuestionError(f"--request: {self.file}: {reason(error)}") from error
            try:
                return parse_request(text)
            except UnreadableRequest as error:
                raise QuestionError(f"--request: {self.file}: {error}") from error
        arguments = self.arguments if self.arguments is not None else "{}"
        _read_json("--args", arguments)
        # The text goes in as it was given, so that what is wrong with it is found by the reader of real requests.
        call = f'{{"name":{json.dumps(self.tool)},"arguments":{arguments}}}'
        body = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{call}}}'
        return make_request("POST", "/mcp", "localhost", _HEADERS, body.encode())

    def _identified(self, request: HttpRequest, sources: Sequence[IdentitySource]) -> HttpRequest:
        if self.principal is None:
            for option, given in (("--group", self.groups), ("--client", self.client), ("--scope", self.scopes)):
                if given:
                    raise QuestionError(f"{option}: expected --principal beside it")
            if self.claims:
                raise QuestionError("--claim: expected --principal beside it")
            return request
        caller = Caller(self.principal, self.groups, self.client, self.scopes, dict(self._claims()))
        return identified(request, caller, sources)

    def _claims(self) -> Iterator[tuple[str, Any]]:
        for line in self.claims:
            name, equals, text = line.partition("=")
            if not equals or not name:
                raise QuestionError(f"--claim: expected NAME=JSON, got {line!r}")
            yield name, _read_json(f"--claim {name}", text)


def _read_json(option: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise QuestionError(f"{option}: expected JSON, got {text[:60]!r}: {error}") from error
