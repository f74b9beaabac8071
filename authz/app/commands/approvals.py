"""`mcp-authz approvals list|show|approve|deny|watch`: what the service tells -> a terminal, or JSON.

What agents wrote is shown with everything visible, and never read as markup or as control sequences.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from authz.app.approvals.visible import pieces
from authz.app.approvals.wording import duration
from authz.app.commands.approvals_client import Client, Refused, Unreachable
from authz.app.phrases import counted, reason
from authz.app.settings.configuration import TOKEN_VARIABLE

_FIELDS = (
    ("status", "status"), ("who asks", "principal"), ("server", "server"), ("tool", "tool"), ("risk", "risk"),
    ("rule", "rule"), ("reason", "reason"), ("asked", "requested_at"), ("expires", "expires_at"), ("digest", "digest"),
)  # fmt: skip


def client(url: str, token_file: Path | None, environ: Mapping[str, str]) -> Client:
    """A client with the token of the file or the variable; raises Unreachable where there is none."""
    token = environ.get(TOKEN_VARIABLE, "")
    if token_file is not None:
        try:
            token = token_file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            why = reason(error) if isinstance(error, OSError) else "no text"
            raise Unreachable(f"--token-file: {token_file}: cannot be read: {why}") from error
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise Unreachable(f"expected your token in {TOKEN_VARIABLE} or --token-file, got none")
    return Client(url, token)


def run_list(asked: Client, query: Mapping[str, str], *, as_json: bool) -> int:
    """Print a list; 1 where the service refused the query."""
    found = asked.requests(query)
    if isinstance(found, Refused):
        return _refused(found, as_json=as_json)
    if as_json:
        print(json.dumps({"requests": found}, indent=2))
        return 0
    table = Table("id", "status", "server", "tool", "who asks", "risk", "expires", box=None)
    for one in found:
        table.add_row(
            Text(one["id"], overflow="fold"),
            one["status"],
            *(_text(one[name]) for name in ("server", "tool", "principal", "risk")),
            _left(one) if one["status"] == "pending" else "",
        )
    Console().print(table if found else Text("nothing"))
    return 0


def run_show(asked: Client, id_: str, *, as_json: bool) -> int:
    """Print one request with everything that will run; 1 where there is none."""
    found = asked.request(id_)
    if isinstance(found, Refused):
        return _refused(found, as_json=as_json)
    if as_json:
        print(json.dumps(found, indent=2))
        return 0
    console = Console(soft_wrap=True)
    for label, name in _FIELDS:
        if found[name]:
            console.print(Text(f"{label:9} ", "dim").append_text(_text(str(found[name]))))
    for line in _params(found["params"]):
        console.print(line)
    for ruling in found["rulings"]:
        comment = f": {ruling['comment']}" if ruling["comment"] else ""
        said = f"{ruling['verdict']} by {ruling['approver']} at {ruling['at']} from {ruling['origin']}{comment}"
        console.print(_text(said))
    return 0


def run_rule(asked: Client, id_: str, *, granted: bool, comment: str, as_json: bool) -> int:
    """Decide; 1 where the decision was not taken."""
    found = asked.rule(id_, granted=granted, comment=comment)
    if isinstance(found, Refused):
        return _refused(found, as_json=as_json)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        Console(soft_wrap=True).print(_line(found))
    return 0


def run_watch(asked: Client, *, every: float, seconds: float, as_json: bool) -> int:
    """Print a line for each request that is new or stands differently; 0 when told to stop."""
    known: dict[str, str] = {}
    console = Console(soft_wrap=True)
    end = time.monotonic() + seconds if seconds else None
    try:
        while True:
            found = asked.requests({"status": "all", "limit": "500"})
            if isinstance(found, Refused):
                return _refused(found, as_json=as_json)
            for one in reversed(found):
                if known.get(one["id"], "" if one["status"] == "pending" or known else one["status"]) != one["status"]:
                    print(json.dumps(one), flush=True) if as_json else console.print(_line(one))
            known = {one["id"]: one["status"] for one in found}
            if end is not None and time.monotonic() + every > end:
                return 0
            time.sleep(every)
    except KeyboardInterrupt:
        return 0


def _refused(refused: Refused, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"status": refused.status, "detail": refused.text, "cause": refused.cause}))
    else:
        print(refused.text, file=sys.stderr)
    return 1


def _line(one: Mapping[str, Any]) -> Text:
    line = Text(f"{one['id']} ").append(one["status"], "bold").append(" ")
    return line.append_text(_text(f"{one['principal']} asks for {one['tool']} on {one['server']}"))


def _left(one: Mapping[str, Any]) -> str:
    end = datetime.fromisoformat(one["expires_at"])
    return f"in {duration((end - datetime.now(UTC)).total_seconds())}"


def _text(text: str) -> Text:
    shown = Text(overflow="fold")
    for piece in pieces(text):
        shown.append(piece.text, "black on yellow" if piece.marked else "")
    return shown


def _params(params: str) -> Iterator[Text]:
    """The parameters, a member a line, nothing left out; numbers as they are spelled."""
    size = counted(len(params.encode("utf-8", "surrogatepass")), "byte")
    yield Text(f"what will run ({size})", "dim")
    depth, start, quoted, escaped = 0, 0, False, False
    for at, char in enumerate(params):
        if quoted:
            quoted = escaped or char != '"'
            escaped = char == "\\" and not escaped
            continue
        quoted = char == '"'
        if char in "{[,":
            yield _indented(depth, params[start : at + 1])
            start, depth = at + 1, depth + (char != ",")
        elif char in "}]":
            if params[start:at].strip():
                yield _indented(depth, params[start:at])
            start, depth = at, depth - 1
    yield _indented(depth, params[start:])


def _indented(depth: int, text: str) -> Text:
    return Text("  " * min(depth, 40)).append_text(_text(text.strip()))
