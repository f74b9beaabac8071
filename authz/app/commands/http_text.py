"""An HTTP request as people keep it (`curl -v`, raw text, HAR) -> HttpRequest, as the proxy would describe it.

For `explain`. Knows no MCP: what the body says is for the reader that serves real requests.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from authz.errors import AuthzError
from authz.model import HttpRequest


class UnreadableRequest(AuthzError):  # noqa: N818 - named for what it is about
    """Text that is no HTTP request in any of the forms."""


def parse_request(text: bytes) -> HttpRequest:
    """The one request in `text`; raises UnreadableRequest.

    - What `curl -v` prints: the lines that begin with `> `. It does not show what it sends as the body; that is to be
      added below, before the first line that begins with `< `.
    - Raw HTTP/1.1 text: request line, headers, an empty line, the body.
    - HAR: a whole file with one entry, or an entry, or its `request`.
    """
    stripped = text.removeprefix(b"\xef\xbb\xbf").lstrip()
    if stripped.startswith(b"{"):
        return _from_har(stripped)
    lines = stripped.split(b"\n")
    if any(line.startswith(b"> ") for line in lines):
        return _from_curl(lines)
    head, body = _split(stripped)
    return _from_lines(head, body)


def make_request(
    method: str, path: str, host: str, headers: Iterable[tuple[str, str]], body: bytes, address: str = "127.0.0.1"
) -> HttpRequest:
    """A request as the proxy describes it: lower-case names, repeated lines joined by `,`, the size said."""
    joined: dict[str, list[str]] = {}
    for name, value in headers:
        joined.setdefault(name.strip().lower(), []).append(value.strip())
    found = {name: ",".join(values) for name, values in joined.items()}
    host = host or found.pop("host", "")
    found.pop("host", None)
    return HttpRequest(
        method=method,
        path=path,
        host=host,
        headers=found,
        body=body,
        size=len(body),
        protocol="HTTP/1.1",
        source_address=address,
    )


def parse_header(line: str) -> tuple[str, str]:
    """`Name: value`; raises UnreadableRequest."""
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise UnreadableRequest(f"expected a header such as 'Name: value', got {line!r}")
    return name.strip(), value.strip()


def _split(text: bytes) -> tuple[list[str], bytes]:
    """Head and body at the first empty line, whatever ends the lines."""
    head: list[str] = []
    rest = text
    while rest:
        line, _, rest = rest.partition(b"\n")
        line = line.removesuffix(b"\r")
        if not line:
            break
        head.append(line.decode("utf-8", "replace"))
    return head, rest


def _from_curl(lines: list[bytes]) -> HttpRequest:
    head: list[str] = []
    body: list[bytes] = []
    for line in lines:
        if line.startswith(b"< "):
            break
        if line.startswith((b">", b"* ", b"{ [", b"} [")):
            said = line[1:].strip().decode("utf-8", "replace")
            if line.startswith(b">") and said:
                head.append(said)
        elif head:
            body.append(line)
    sent = b"\n".join(body).strip()
    if not sent and _announced(head) not in ("", "0"):
        raise UnreadableRequest(
            f"expected the body of {_announced(head)} bytes, which curl does not show: append it after the request "
            "headers (the lines that begin with >)"
        )
    return _from_lines(head, sent)


def _announced(head: list[str]) -> str:
    """The content-length in `head`, "" where there is none."""
    named = (line.partition(":") for line in head[1:])
    return next((value.strip() for name, _, value in named if name.strip().lower() == "content-length"), "")


def _from_lines(head: list[str], body: bytes) -> HttpRequest:
    words = head[0].split() if head else []
    if len(words) != 3 or not words[2].upper().startswith("HTTP/"):
        got = head[0][:80] if head else ""
        raise UnreadableRequest(f"expected a request line such as 'POST /mcp HTTP/1.1', got {got!r}")
    headers = [parse_header(line) for line in head[1:]]
    announced = _announced(head)
    # Editors end a file with a line break that was not sent.
    if announced and announced == str(len(body.rstrip(b"\r\n"))):
        body = body.rstrip(b"\r\n")
    if announced and announced != str(len(body)):
        raise UnreadableRequest(
            f"content-length: expected a body of {announced} bytes, got {len(body)}: correct one of them, or remove "
            "the header"
        )
    url = urlsplit(words[1]) if "://" in words[1] else None
    path = (url.path or "/") + (f"?{url.query}" if url.query else "") if url else words[1]
    return make_request(words[0], path, url.netloc if url else "", headers, body)


def _from_har(text: bytes) -> HttpRequest:
    try:
        har = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableRequest(f"expected a HAR file or entry, got JSON that cannot be read: {error}") from error
    try:
        entries = har["log"]["entries"] if "log" in har else [har]
        if len(entries) != 1:
            raise UnreadableRequest(f"expected a HAR file with one entry, got {len(entries)}: cut out the one you mean")
        request: dict[str, Any] = entries[0].get("request", entries[0])
        url = urlsplit(request["url"])
        # `:authority` and the like are how browsers write HTTP/2's own fields down.
        headers = [(one["name"], one["value"]) for one in request.get("headers", []) if not one["name"].startswith(":")]
        body = request.get("postData", {}).get("text", "").encode()
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        return make_request(request["method"], path, url.netloc, headers, body)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise UnreadableRequest(f"expected a HAR entry with method, url and headers, got {cause}") from error
