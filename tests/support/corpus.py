"""The bypass corpus (tests/corpus/README.md) -> requests: as a CheckRequest, or as the bytes of HTTP/1.1."""

from __future__ import annotations

import base64
import codecs
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authz.envoy.pb import ext_authz_pb2 as pb

DIRECTORY = Path(__file__).parents[1] / "corpus"
POLICIES = DIRECTORY / "policies"
AUTHORITY = "lab.local"
PARTIAL = "x-envoy-auth-partial-body"
# what Envoy does without pack_as_bytes: each byte that is not UTF-8 becomes `!`
codecs.register_error("envoy", lambda error: ("!" * (error.end - error.start), error.end))


@dataclass(frozen=True, slots=True)
class Http:
    """One HTTP request of the corpus: header lines in order, each as it is sent."""

    method: str
    path: str
    lines: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Http:
        """From the `http` member of a case; a header value that is a list is several lines."""
        lines = []
        for name, value in raw["headers"].items():
            lines += [(name, one) for one in (value if isinstance(value, list) else [value])]
        return cls(raw["method"], raw["path"], tuple(lines), base64.b64decode(raw["body_b64"]))

    def header(self, name: str) -> str | None:
        """The first line of this name."""
        return next((value for key, value in self.lines if key.lower() == name), None)


@dataclass(frozen=True, slots=True)
class Case:
    """One line of requests.jsonl or extra.jsonl."""

    id: str
    policy: str
    expect: str
    http: Http
    why: str
    check_request: Mapping[str, Any]
    through_envoy: bool
    tags: frozenset[str]


def cases() -> list[Case]:
    """All of requests.jsonl and extra.jsonl."""
    return [
        Case(
            raw["id"],
            raw["policy"],
            raw["expect"],
            Http.parse(raw["http"]),
            raw["why"],
            raw.get("check_request", {}),
            raw.get("via") != "checkrequest",
            frozenset(raw.get("tags", ())),
        )
        for raw in itertools.chain(_lines("requests.jsonl"), _lines("extra.jsonl"))
    ]


def sequences(*classes: str) -> list[dict[str, Any]]:
    """The sequences of these classes, as they stand."""
    return [raw for raw in _lines("sequences.jsonl") if raw["class"] in classes]


def _lines(name: str) -> Iterator[dict[str, Any]]:
    for line in (DIRECTORY / name).read_text(encoding="utf-8").splitlines():
        if line.strip():
            yield json.loads(line)


def policy_files() -> dict[str, bytes]:
    """The reference policies in this project's language."""
    return {path.name: path.read_bytes() for path in sorted(POLICIES.glob("*.yaml"))}


def check_request(
    http: Http,
    server: str,
    overrides: Mapping[str, Any] | None = None,
    *,
    stream: str = "",
    address: str = "192.0.2.1",
    subject: str = "",
) -> bytes:
    """The CheckRequest that Envoy would send for `http` on a route of `server`, with the overrides of a case applied.

    `stream` is Envoy's id of the request, `subject` who a verified token names.
    """
    overrides = overrides or {}
    message = pb.CheckRequest()
    attributes = message.attributes
    attributes.source.address.socket_address.address = address
    attributes.source.principal = overrides.get("source_principal", "")
    attributes.context_extensions["mcp_server"] = server
    metadata = dict(overrides.get("metadata_context", {}))
    if subject:
        metadata["envoy.filters.http.jwt_authn"] = {"jwt_payload": {"sub": subject, "iss": "https://idp.lab"}}
    for name, values in metadata.items():
        attributes.metadata_context.filter_metadata[name].update(values)
    if overrides.get("no_http"):
        return message.SerializeToString()

    request = attributes.request.http
    request.id = stream
    request.method, request.path, request.protocol = http.method, http.path, "HTTP/1.1"
    request.host = http.header("host") or AUTHORITY
    request.size = overrides.get("size", len(http.body))
    raw = http.body
    if "raw_body_b64" in overrides:
        raw = base64.b64decode(overrides["raw_body_b64"])
    if overrides.get("use_body_string"):
        request.body = raw.decode("utf-8", "envoy").encode()
    else:
        request.raw_body = raw
    if "body_string" in overrides:
        request.body = overrides["body_string"].encode()
    headers = _headers(http)
    headers.update(overrides.get("headers", {}))
    for name in overrides.get("drop_headers", ()):
        headers.pop(name, None)
    if overrides.get("raw_headers"):
        for name, value in headers.items():
            request.header_map.headers.add(key=name, raw_value=value.encode("latin-1"))
    else:
        request.headers.update(headers)
    return message.SerializeToString()


def _headers(http: Http) -> dict[str, str]:
    """Lower-case names, repeated lines joined by a comma, and what Envoy adds."""
    headers = {":method": http.method, ":path": http.path, ":scheme": "http", ":authority": AUTHORITY}
    for name, value in http.lines:
        key = name.lower()
        if key == "host":
            headers[":authority"] = value
        elif key in headers:
            headers[key] += "," + value
        else:
            headers[key] = value
    if http.body:
        headers[PARTIAL] = "false"
    if "transfer-encoding" not in headers and (http.body or http.method == "POST"):
        headers["content-length"] = str(len(http.body))
    headers["x-forwarded-proto"] = "http"
    headers["x-request-id"] = "6f1c1b1e-0000-4000-8000-000000000000"
    return headers


def wire(http: Http, *extra: tuple[str, str]) -> bytes:
    """The request as bytes of HTTP/1.1, header lines exactly as the case has them and `extra` after them."""
    lines = list(http.lines) + list(extra)
    if http.header("host") is None:
        lines.insert(0, ("Host", AUTHORITY))
    body = http.body
    if (http.header("transfer-encoding") or "").lower() == "chunked":
        body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    elif body or http.method == "POST":
        lines.append(("Content-Length", str(len(body))))
    if http.header("connection") is None:
        lines.append(("Connection", "close"))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    return f"{http.method} {http.path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body
