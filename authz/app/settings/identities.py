"""The `identity` list of a settings file -> identity sources, or every problem in it (policies/README.md 9).

Knows no other setting and never sees a request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from authz.app.settings import values
from authz.errors import Problem
from authz.identity import CLAIM_TYPES, IdentitySource, SourceKind
from authz.identity.source import ALGORITHMS
from authz.policy.text.document import Document, Path
from authz.policy.text.suggestion import did_you_mean

_LEEWAY = values.duration(0, 300)
_COMMON = ("name", "from", "absent")
_KEYS: Mapping[str, tuple[str, ...]] = {
    "jwt_authn": (*_COMMON, "payload", "issuer", "id", "groups", "client_id", "scopes", "claims"),
    "header": (*_COMMON, "issuer", "id", "groups", "client_id", "scopes"),
    "peer": _COMMON,
    "xfcc": (*_COMMON, "callers"),
    "jwt": (
        *(*_COMMON, "issuer", "audience", "jwks", "algorithms", "leeway"),
        *("id", "groups", "client_id", "scopes", "claims"),
    ),
}
_NEEDED = {
    "issuer": "who signs the tokens, as their claim iss says it",
    "audience": "who they are for, such as https://mcp.example/{server}",
    "jwks": "the file or URL of the issuer's keys",
}
_JWT_NAMES = {"groups": "groups", "client_id": "client_id", "scopes": "scope"}  # RFC 9068, 2.2
_HEADER_NAMES = ("id", "groups", "client_id", "scopes")


class _Refused(Exception):  # noqa: N818 - no error: the problem is noted and the entry left out
    """A value that cannot be used, at this path."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(text)
        self.path = path


def compile_identities(document: Document, raw: object) -> tuple[tuple[IdentitySource, ...], list[Problem]]:
    """The sources in `raw`, which is what `document` has under `identity`, and what is wrong with the others.

    Says nothing of an entry that the document already has a problem for.
    """
    if raw is None:
        return (), []
    if not isinstance(raw, list):
        return (), [document.problem(("identity",), f"expected a list of identity sources, got {_kind(raw)}")]
    sources: dict[str, IdentitySource] = {}
    problems = []
    for at, entry in enumerate(raw):
        path: Path = ("identity", at)
        if document.is_unclear(path):
            continue
        try:
            source = _compile(path, entry)
        except _Refused as refused:
            problems.append(document.problem(refused.path, str(refused)))
            continue
        if source.name in sources:
            problems.append(document.problem((*path, "name"), f"the name {source.name!r} is used twice"))
        sources[source.name] = source
    return tuple(sources.values()), problems


def _compile(path: Path, entry: object) -> IdentitySource:
    if not isinstance(entry, dict):
        raise _Refused(path, f"expected an identity source such as {{name: corp, from: jwt_authn}}, got {_kind(entry)}")
    for key in ("name", "from"):
        if key not in entry:
            raise _Refused(path, f"expected the key {key}")
    kind = entry["from"]
    if not isinstance(kind, str) or kind not in _KEYS:
        raise _Refused(
            (*path, "from"), f"expected one of {', '.join(_KEYS)}, got {kind!r}{did_you_mean(str(kind), _KEYS)}"
        )
    for key in entry:
        if key not in _KEYS[kind]:
            known = ", ".join(_KEYS[kind])
            raise _Refused(
                (*path, key), f"expected one of {known} where from is {kind}{did_you_mean(key, _KEYS[kind])}"
            )
    name = entry["name"]
    # Entries of `principals` are written NAME/ID and group:NAME/ID.
    if not isinstance(name, str) or not name or not name.isprintable() or set(name) & set("/: *"):
        raise _Refused((*path, "name"), f"expected a name without space, '/', ':' and '*', got {name!r}")
    if entry.get("absent", "empty") != "empty":
        raise _Refused((*path, "absent"), f"expected empty, or no such key, got {entry['absent']!r}")
    if kind == "header" and "id" not in entry:
        raise _Refused(path, "expected the key id: the header that the proxy sets and strips")
    if kind == "jwt":
        for key, what in _NEEDED.items():
            if key not in entry:
                raise _Refused(path, f"expected the key {key}: {what}")
    if kind == "xfcc" and "callers" not in entry:
        raise _Refused(path, "expected the key callers: the proxies whose word on their client counts")
    fields = {**(_JWT_NAMES if kind == "jwt" else {}), **dict(_fields(path, kind, entry))}
    return IdentitySource(name=name, kind=SourceKind(kind), absent_empty="absent" in entry, **fields)


def _fields(path: Path, kind: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in entry.keys() - {*_COMMON}:
        value = entry[key]
        if key == "claims":
            yield key, _claims((*path, key), value)
            continue
        if key == "callers":
            yield key, _callers((*path, key), value)
            continue
        if key == "algorithms":
            yield key, _algorithms((*path, key), value)
            continue
        if key == "leeway":
            try:
                yield key, _LEEWAY.read(value)
            except ValueError as error:
                raise _Refused((*path, key), str(error)) from None
            continue
        if not isinstance(value, str) or not value or not value.isprintable():
            raise _Refused((*path, key), f"expected text, got {value!r}")
        if kind == "header" and key in _HEADER_NAMES:
            try:
                value = values.HEADER.parse(value)
            except ValueError as error:
                raise _Refused((*path, key), str(error)) from None
        if key == "audience" and not _is_resource(value):
            what = "the server's URI (RFC 8707) such as https://mcp.example/{server}"
            raise _Refused((*path, key), f"expected {what}, got {value!r}")
        if key == "jwks" and "://" in value and not _is_safe(value):
            raise _Refused((*path, key), f"expected a file, an https URL, or http on this machine, got {value!r}")
        yield key, value


def _is_resource(uri: str) -> bool:
    """Whether tokens can be for `uri`, its metadata be found by it (RFC 9728, 3.1) and both stand in a header."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return False
    named = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and port != 0
    braces = uri.replace("{server}", "")
    return named and uri.isascii() and not set(braces) & set(' "#<>\\^`{}|')


def _is_safe(url: str) -> bool:
    """Whether nobody on the way can change what is fetched from `url`."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and values.Address(host).loopback))


def _algorithms(path: Path, raw: object) -> tuple[str, ...]:
    listed = raw if isinstance(raw, list) else [raw]
    for one in listed:
        if one not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            raise _Refused(path, f"expected algorithms among {known}, got {one!r}{did_you_mean(str(one), ALGORITHMS)}")
    if not listed:
        raise _Refused(path, "expected at least one algorithm")
    return tuple(dict.fromkeys(listed))


def _callers(path: Path, raw: object) -> frozenset[str]:
    if not isinstance(raw, list) or not raw or not all(isinstance(one, str) and one for one in raw):
        raise _Refused(path, f"expected a list of callers such as [unix, 10.0.0.7, spiffe://…], got {_kind(raw)}")
    return frozenset(raw)


def _claims(path: Path, raw: object) -> Mapping[str, str]:
    if not isinstance(raw, dict):
        raise _Refused(path, f"expected claims with their types such as {{team: string}}, got {_kind(raw)}")
    for name, kind in raw.items():
        if not isinstance(kind, str) or kind not in CLAIM_TYPES:
            known = ", ".join(CLAIM_TYPES)
            raise _Refused(
                (*path, name), f"expected one of {known}, got {kind!r}{did_you_mean(str(kind), CLAIM_TYPES)}"
            )
    return dict(raw)


def _kind(value: object) -> str:
    kinds = {dict: "a mapping", list: "a list", bool: "a boolean", int: "a number", float: "a number", str: "a text"}
    return kinds.get(type(value), "nothing")
