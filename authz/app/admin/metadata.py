"""`/.well-known/oauth-protected-resource…`: where clients get tokens for which server (RFC 9728). Public, for a proxy
to route to.

What there is to tell comes from the policies in force; that somebody asks by another host's name changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from authz.app.admin.exchange import Answer, Request
from authz.identity import Identities, IdentitySource, SourceKind
from authz.mcp.challenge import WELL_KNOWN, metadata_path
from authz.policy.rules import Policy
from authz.policy.scopes import known
from authz.policy.selection import PolicySet

# Clients in browsers ask from a page of their own, with a header that needs a word first (MCP-Protocol-Version).
_ANY_PAGE = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "GET"),
    ("Access-Control-Allow-Headers", "*"),
)
_METHODS = ("GET", "HEAD", "OPTIONS")


class ResourceMetadata:
    """The documents of all servers whose tokens are verified here; `policies` gives those in force."""

    def __init__(self, identities: Identities, policies: Callable[[], PolicySet]) -> None:
        self._identities = identities
        self._policies = policies
        self._set: PolicySet | None = None
        self._by_target: Mapping[str, Mapping[str, list[tuple[Policy, IdentitySource]]]] = {}

    def is_asked(self, path: str) -> bool:
        """Whether `path` is one of these pages."""
        return path == WELL_KNOWN or path.startswith(f"{WELL_KNOWN}/")

    def answer(self, request: Request) -> Answer:
        """The document of the resource that the path names; of several on one path, that on the host asked for."""
        if request.method not in _METHODS:
            allowed = ", ".join(_METHODS)
            return Answer(405, f"expected one of {allowed}\n".encode(), headers=(("Allow", allowed),))
        if request.method == "OPTIONS":
            return Answer(204, b"", headers=_ANY_PAGE)
        resources = self._resources().get(request.target, {})
        host = (request.header("host") or [""])[0].lower()
        asked = [one for one in resources if len(resources) == 1 or urlsplit(one).netloc.lower() == host]
        if len(asked) != 1:
            return Answer(404, b"no server here has this as its resource\n", headers=_ANY_PAGE)
        body = json.dumps(self._document(asked[0], resources[asked[0]])).encode() + b"\n"
        return Answer(200, body, "application/json", _ANY_PAGE)

    def _document(self, resource: str, governed: list[tuple[Policy, IdentitySource]]) -> Mapping[str, object]:
        baselines = self._policies().baselines
        scopes = sorted({scope for policy, source in governed for scope in known(policy, baselines, source.name)})
        issuers = dict.fromkeys(source.issuer for _, source in governed if "://" in source.issuer)
        return {
            "resource": resource,
            **({"authorization_servers": list(issuers)} if issuers else {}),
            **({"scopes_supported": scopes} if scopes else {}),
            "bearer_methods_supported": ["header"],
        }

    def _resources(self) -> Mapping[str, Mapping[str, list[tuple[Policy, IdentitySource]]]]:
        """By request target, then by resource, the policies of that resource."""
        policies = self._policies()
        if policies is not self._set:
            found: dict[str, dict[str, list[tuple[Policy, IdentitySource]]]] = {}
            for policy in policies.policies.values():
                source = self._identities.source(policy.identity or self._identities.default)
                if source.kind is SourceKind.JWT:
                    resource = source.audience_of(policy.server)
                    found.setdefault(metadata_path(resource), {}).setdefault(resource, []).append((policy, source))
            self._set, self._by_target = policies, found
        return self._by_target
