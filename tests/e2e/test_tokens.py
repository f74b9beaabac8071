"""Tokens of a real issuer through a real Envoy without jwt_authn: the service verifies them; its answers are OAuth's.

Every attempt is one that a client can make.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import tokens
from issuer import Issuer
from joserfc.jwk import RSAKey
from mcp import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from upstream import Upstream

from authz.app.demo import stack
from authz.app.demo.processes import Children
from authz.app.demo.stack import Envoy, Service

HERE = Path(__file__).parent
PATIENCE = ("--timeout", "2s")
RESOURCE = "http://mcp.example/bank"
METADATA = 'resource_metadata="http://mcp.example/.well-known/oauth-protected-resource/bank"'
STRANGER = RSAKey.generate_key(2048)


@dataclass(frozen=True, slots=True)
class Front:
    """Envoy, the service behind it, its issuer, another issuer, and what reached the server."""

    envoy: Envoy
    service: Service
    issuer: Issuer
    evil: Issuer
    upstream: Upstream
    mcp: Envoy
    audit: Path


def routes(configuration: dict[str, Any], admin: int, server: int) -> dict[str, Any]:
    """`configuration` with a path for each server, and the metadata of both from the service."""
    (listener,) = configuration["static_resources"]["listeners"]
    host = stack.connection_manager(listener)["route_config"]["virtual_hosts"][0]
    mcp, nothing = host["routes"]
    found = []
    for name in ("bank", "other"):
        route = json.loads(json.dumps(mcp))
        route["match"] = {"path": f"/{name}"}
        route["route"] |= {"host_rewrite_literal": f"127.0.0.1:{server}", "prefix_rewrite": "/mcp"}
        extensions = route["typed_per_filter_config"]["envoy.filters.http.ext_authz"]["check_settings"]
        extensions["context_extensions"] = {"mcp_server": name}
        found.append(route)
    metadata = {
        "match": {"path_separated_prefix": "/.well-known/oauth-protected-resource"},
        "route": {"cluster": "mcp_authz_admin"},
        "typed_per_filter_config": nothing["typed_per_filter_config"],  # ext_authz: disabled
    }
    host["routes"] = [metadata, *found, nothing]
    clusters = configuration["static_resources"]["clusters"]
    address = {"socket_address": {"address": "127.0.0.1", "port_value": admin}}
    clusters.append(
        {
            "name": "mcp_authz_admin",
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": {
                "cluster_name": "mcp_authz_admin",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
            },
        }
    )
    for one in stack.connection_manager(listener)["http_filters"]:
        if one["name"] == "envoy.filters.http.ext_authz":
            one["typed_config"]["grpc_service"]["timeout"] = "3s"
    return configuration


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def evil() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def front(
    children: Children, upstream: Upstream, policies: Callable[[Path], Path], issuer: Issuer, evil: Issuer
) -> Front:
    settings = children.directory / "settings.yaml"
    source = {"name": "corp", "from": "jwt", "issuer": issuer.url, "jwks": issuer.jwks}
    source |= {"audience": "http://mcp.example/{server}", "leeway": "0s"}
    settings.write_text(json.dumps({"identity": [source]}))
    settings.chmod(0o600)
    audit = children.directory / "audit.jsonl"
    flags = ("--config", str(settings), "--audit", str(audit), *PATIENCE)
    service = stack.start_service(children, policies(HERE / "tokens"), *flags)
    server = stack.start_server(children)
    seen = stack.start_envoy(
        children, routes(stack.configure(upstream.port, service.socket), service.admin, upstream.port)
    )
    mcp = stack.start_envoy(children, routes(stack.configure(server, service.socket), service.admin, server), "mcp")
    return Front(seen, service, issuer, evil, upstream, mcp, audit)


def proxied(envoy: Envoy) -> dict[str, httpx2.AsyncHTTPTransport]:
    """For a client that is to find mcp.example at Envoy, and issuers where they are."""
    return {"http://mcp.example": httpx2.AsyncHTTPTransport(proxy=f"http://127.0.0.1:{envoy.ports['mcp']}")}


def send(
    front: Front, tool: str, *authorization: str, path: str = "/bank", method: str = "POST", **more: str
) -> httpx2.Response:
    """One request with these Authorization lines."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}}
    headers = [("host", "mcp.example"), ("accept", "application/json, text/event-stream"), *more.items()]
    headers += [("authorization", value) for value in authorization]
    url = f"http://127.0.0.1:{front.envoy.ports['mcp']}{path}"
    if method == "POST":
        return httpx2.post(url, headers=[*headers, ("content-type", "application/json")], json=message, timeout=10)
    return httpx2.request(method, url, headers=[*headers, ("mcp-session-id", "s")], timeout=10)


def bearer(front: Front, client: str = "alice", resource: str = RESOURCE, scope: str = "bank.read") -> str:
    return f"Bearer {front.issuer.token(client, resource, scope)}"


def head_of(authorization: str) -> dict[str, Any]:
    part = authorization.removeprefix("Bearer ").split(".")[0]
    head: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return head


def forged(front: Front, head: dict[str, Any], **claims: Any) -> str:
    """What anybody can make who has seen a token and the issuer's public keys."""
    now = time.time()
    content = {"iss": front.issuer.url, "sub": "alice", "aud": RESOURCE, "exp": now + 300, "scope": "bank.write"}
    kid = head_of(bearer(front))["kid"]
    return f"Bearer {tokens.token({**content, **claims}, STRANGER, head={'kid': kid, **head})}"


def none(front: Front) -> str:
    claims = {"iss": front.issuer.url, "sub": "alice", "aud": RESOURCE, "exp": time.time() + 300}
    return f"Bearer {tokens.part({'alg': 'none'})}.{tokens.part(claims)}."


def confused(front: Front) -> str:
    """HS256 with the public key, as PEM, for the secret."""
    (entry,) = httpx2.get(front.issuer.jwks).json()["keys"][:1]
    pem = RSAKey.import_key(entry).as_pem(private=False)
    claims = {"iss": front.issuer.url, "sub": "alice", "aud": RESOURCE, "exp": time.time() + 300}
    signed = f"{tokens.part({'alg': 'HS256', 'kid': entry['kid']})}.{tokens.part(claims)}"
    return f"Bearer {signed}.{tokens.part(hmac.digest(pem, signed.encode(), 'sha256'))}"


def expired(front: Front) -> str:
    front.issuer.tell("brief")
    try:
        text = bearer(front)
    finally:
        front.issuer.tell("lasting")
    time.sleep(2.1)
    return text


NOT_ONE = "the Authorization header is not one signed JWT that can be read without doubt"
FORGED = "the signature of the token is not its issuer's"
KEY = "the token is signed with a key that its issuer does not publish"
ALGORITHM = "the token is not signed by an algorithm that is accepted here"

ATTEMPTS: dict[str, tuple[Callable[[Front], tuple[str, ...]], str]] = {
    "no token": (lambda front: (), ""),
    "a token that was dropped on the way": (lambda front: ("",), ""),
    "another scheme": (lambda front: ("Basic YWxpY2U6eA==",), ""),
    "alg none": (lambda front: (none(front),), NOT_ONE),
    "HS256 with the public key": (lambda front: (confused(front),), ALGORITHM),
    "another key under the issuer's kid": (lambda front: (forged(front, {}),), FORGED),
    "a key in the header (jwk)": (lambda front: (forged(front, {"jwk": STRANGER.as_dict(private=False)}),), FORGED),
    "a key by URL (jku)": (lambda front: (forged(front, {"jku": "http://127.0.0.1:9/k"}),), FORGED),
    "an unknown kid": (lambda front: (forged(front, {"kid": "unheard of"}),), KEY),
    "crit": (
        lambda front: (forged(front, {"crit": ["exp"], "exp": 1}),),
        "the token has extensions that must be understood and are not",
    ),
    "another issuer, same sub and groups": (
        lambda front: (f"Bearer {front.evil.token('alice', RESOURCE)}",),
        "the token is of another issuer",
    ),
    "another issuer's key, this iss": (lambda front: (forged(front, {"kid": "x"}, sub="bob"),), KEY),
    "for another audience": (
        lambda front: (bearer(front, resource="http://mcp.example/other"),),
        "the token is for another audience",
    ),
    "expired": (lambda front: (expired(front),), "the token has expired"),
    "a tab for the space": (lambda front: (bearer(front).replace(" ", "\t"),), NOT_ONE),
    "cut off": (lambda front: (bearer(front)[:-1],), FORGED),
    "padded": (lambda front: (bearer(front) + "=",), NOT_ONE),
    "too long": (lambda front: (bearer(front) + "A" * 17_000,), NOT_ONE),
}

TWO_LINES: dict[str, Callable[[Front], tuple[str, ...]]] = {
    "the first good": lambda front: (bearer(front), forged(front, {})),
    "the second good": lambda front: ("Basic YWxpY2U6eA==", bearer(front)),
    "both the same": lambda front: (bearer(front),) * 2,
}


@pytest.mark.parametrize("name", TWO_LINES)
def test_two_lines_of_authorization_are_malformed(front: Front, name: str) -> None:
    before = len(front.upstream.seen)
    for method in ("POST", "GET", "DELETE"):
        answer = send(front, "get_value", *TWO_LINES[name](front), method=method)
        assert (answer.status_code, answer.json()["error"]["data"]["reason"]) == (400, "malformed")
    assert len(front.upstream.seen) == before


@pytest.mark.parametrize("name", ATTEMPTS)
def test_each_attempt_gets_401_and_reaches_nobody(front: Front, name: str) -> None:
    make, why = ATTEMPTS[name]
    before = len(front.upstream.seen)
    for tool, scope in (("get_value", 'scope="bank.read", '), ("delete_cache", "")):
        answer = send(front, tool, *make(front))
        error = f'error="invalid_token", error_description="{why}", ' if why else ""
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, f"Bearer {error}{scope}{METADATA}")
        assert answer.json()["error"]["data"]["reason"] == "unauthenticated"
    for method in ("GET", "DELETE"):
        assert send(front, "", *make(front), method=method).status_code == 401
    assert len(front.upstream.seen) == before


def test_no_attempt_charges_anybody(front: Front) -> None:
    for make, _ in ATTEMPTS.values():
        assert send(front, "delete_cache", *make(front)).status_code == 401
    for client in ("alice", "bob"):
        good = bearer(front, client)
        text = [send(front, "delete_cache", good).text for _ in range(3)]
        assert ["Too many" in one or "rate_limited" in one for one in text] == [False, False, True]
    used = stack.get(front.service.admin, "/api/limits")[1]
    assert {one["who"].split(" ")[1].split("/")[-1] for one in json.loads(used)["counters"]} == {"alice", "bob"}


def test_good_tokens_pass_with_their_scopes_and_groups(front: Front) -> None:
    before = len(front.upstream.seen)
    for tool in ("get_value", "list_keys"):
        assert send(front, tool, bearer(front)).status_code == 200
    assert send(front, "get_value", bearer(front).replace("Bearer", "bearer")).status_code == 200
    assert send(front, "", bearer(front), method="GET").status_code == 200
    assert len(front.upstream.seen) == before + 4


def test_a_scope_that_is_missing_is_named_with_403(front: Front) -> None:
    answer = send(front, "set_value", bearer(front))
    text = 'error_description="the token does not hold the scopes that this needs", scope="bank.write"'
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == f'Bearer error="insufficient_scope", {text}, {METADATA}'
    assert send(front, "set_value", bearer(front, scope="bank.read bank.write")).status_code == 200


def test_the_metadata_come_through_envoy_and_nothing_else_does(front: Front) -> None:
    def get(path: str) -> httpx2.Response:
        url = f"http://127.0.0.1:{front.envoy.ports['mcp']}{path}"
        return httpx2.get(url, headers={"host": "mcp.example", "authorization": "Bearer x"})

    well_known = "/.well-known/oauth-protected-resource"
    assert get(f"{well_known}/bank").json() == {
        "resource": RESOURCE,
        "authorization_servers": [front.issuer.url],
        "scopes_supported": ["bank.read", "bank.write"],
        "bearer_methods_supported": ["header"],
    }
    assert get(f"{well_known}/other").json()["resource"] == "http://mcp.example/other"
    for path in ("/../../metrics", "/..%2f..%2fmetrics", "/%2e%2e/%2e%2e/metrics", "", "/bank/../../../policy"):
        assert get(f"{well_known}{path}").status_code in (400, 404)


class Storage:
    """Keeps the tokens of one client."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


async def test_a_client_of_the_sdk_finds_the_issuer_by_the_challenge_and_asks_for_more_when_told(front: Front) -> None:
    storage = Storage()
    provider = ClientCredentialsOAuthProvider(
        RESOURCE, storage, "alice", "alice-secret", issuer=front.issuer.url, scope="bank.read"
    )
    async with httpx2.AsyncClient(auth=provider, mounts=proxied(front.mcp), timeout=10) as http:
        transport = streamable_http_client(RESOURCE, http_client=http)
        async with Client(transport) as client:
            found = await client.call_tool("get_value", {"key": "app:a"})
            assert not found.is_error
            assert storage.tokens
            assert storage.tokens.scope == "bank.read"
            found = await client.call_tool("set_value", {"key": "app:a", "value": "1", "ttl": 5})
            assert not found.is_error
            assert storage.tokens.scope
            assert set(storage.tokens.scope.split()) == {"bank.read", "bank.write"}


def metrics(front: Front) -> str:
    return stack.get(front.service.admin, "/metrics")[1].decode()


def test_metrics_and_state_tell_of_keys_and_tokens(front: Front) -> None:
    text = metrics(front)
    assert 'mcp_authz_identity_keys{source="corp"} 1.0' in text
    causes = set(re.findall(r'mcp_authz_tokens_refused_total\{cause="(\w+)",source="corp"\}', text))
    assert causes == {"malformed", "algorithm", "signature", "key", "critical", "issuer", "audience", "expired"}
    state = json.loads(stack.get(front.service.admin, "/policy")[1])["identity"]["corp"]
    assert (state["keys"], state["problem"]) == (1, "")


# The last ones: they change the issuer for good.


def test_rotated_keys_are_followed_and_withdrawn_ones_count_no_more(front: Front) -> None:
    old = bearer(front)
    front.issuer.tell("rotate")
    new = bearer(front)
    assert head_of(new)["kid"] != head_of(old)["kid"]
    assert _until(lambda: send(front, "get_value", new).status_code == 200) < 15
    assert send(front, "get_value", old).status_code == 200
    front.issuer.tell("revoke")
    send(front, "get_value", forged(front, {"kid": "whoever"}))  # a miss: keys are fetched again, 10 s later at most
    assert _until(lambda: send(front, "get_value", old).status_code == 401) < 15
    assert send(front, "get_value", new).status_code == 200


def test_without_its_issuer_the_service_goes_on_with_the_keys_it_has(front: Front) -> None:
    good, late = bearer(front), bearer(front, "bob")
    front.issuer.end()
    send(front, "get_value", f"Bearer {tokens.token(tokens.claims(iss=front.issuer.url, aud=RESOURCE), STRANGER)}")
    failed = re.compile(r'mcp_authz_identity_key_fetch_failures_total\{source="corp"\} [1-9]')
    assert _until(lambda: failed.search(metrics(front))) < 15
    for text in (good, late):
        assert send(front, "get_value", text).status_code == 200
    state = json.loads(stack.get(front.service.admin, "/policy")[1])["identity"]["corp"]
    assert (state["keys"], state["problem"] != "") == (1, True)


def _until(true: Callable[[], object]) -> float:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < 20
        time.sleep(0.2)
    return time.monotonic() - began
