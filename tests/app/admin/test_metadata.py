from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tokens import ISSUER, SOURCE

from authz.app.admin.exchange import Answer, Request
from authz.app.admin.metadata import ResourceMetadata
from authz.app.admin.pages import Pages
from authz.identity import Identities, IdentitySource, SourceKind
from authz.policy.compile.file import PolicyContext
from authz.policy.compile.policies import compile_policies
from authz.policy.selection import PolicySet

BANK = """
version: 1
server: bank
identity: corp
tools:
  write: {principals: ["scope:corp/bank.write"], action: allow}
  w*: {principals: ["scope:corp/bank.wide"], action: allow}
  never: {principals: ["scope:corp/bank.never"], action: deny}
categories:
  Read: {principals: ["scope:corp/bank.read"], action: allow}
methods:
  GET: {principals: ["scope:corp/bank.stream"], action: allow}
"""
BASELINE = """
version: 1
server: "*"
tools:
  first: {principals: ["scope:corp/org.x"], action: allow}
  other: {principals: ["scope:second/org.y"], action: allow}
"""
PLAIN = IdentitySource("plain", SourceKind.HEADER, id="x-user")
SECOND = replace(SOURCE, name="second", issuer="urn:second", audience="https://other.example/shop")
PATH = "/.well-known/oauth-protected-resource"


def policies(**files: str) -> PolicySet:
    known = {"plain": {}, "corp": {}, "second": {}}
    found = compile_policies({f"{name}.yaml": text.encode() for name, text in files.items()}, PolicyContext(known))
    assert not found.problems, found.problems
    return found


def small(server: str, identity: str) -> str:
    return f"version: 1\nserver: {server}\nidentity: {identity}\ntools: {{get: allow}}\n"


IN_FORCE = policies(
    bank=BANK, baseline=BASELINE, shop=small("shop", "second"), kiosk=small("kiosk", "second"), gw=small("gw", "plain")
)


def pages(found: PolicySet = IN_FORCE, *sources: IdentitySource) -> ResourceMetadata:
    return ResourceMetadata(Identities(sources or (PLAIN, SOURCE, SECOND)), lambda: found)


async def unread(most: int) -> bytes:
    raise AssertionError("nobody reads this body")


def ask(target: str, of: ResourceMetadata | None = None, *, method: str = "GET", host: str = "mcp.example") -> Answer:
    return (of or pages()).answer(Request(method, target, ((b"host", host.encode()),), unread))


def document(answer: Answer) -> Any:
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert ("Access-Control-Allow-Origin", "*") in answer.headers
    return json.loads(answer.body)


def test_a_server_says_where_its_tokens_come_from_and_what_scopes_there_are() -> None:
    assert document(ask(f"{PATH}/bank")) == {
        "resource": "https://mcp.example/bank",
        "authorization_servers": [ISSUER],
        "scopes_supported": ["bank.read", "bank.stream", "bank.wide", "bank.write", "org.x"],
        "bearer_methods_supported": ["header"],
    }


def test_servers_of_one_resource_are_one_document() -> None:
    assert document(ask(f"{PATH}/shop")) == {
        "resource": "https://other.example/shop",
        "scopes_supported": ["org.y"],
        "bearer_methods_supported": ["header"],
    }


@pytest.mark.parametrize(
    "target",
    [
        PATH,
        f"{PATH}/",
        f"{PATH}/gw",
        f"{PATH}/kiosk",
        f"{PATH}/Bank",
        f"{PATH}/bank/",
        f"{PATH}/bank?x=1",
        f"{PATH}/../../metrics",
        f"{PATH}/%62ank",
        f"{PATH}//bank",
    ],
)
def test_what_is_no_resource_is_not_found(target: str) -> None:
    answer = ask(target)
    assert (answer.status, answer.body) == (404, b"no server here has this as its resource\n")


def test_of_two_resources_on_one_path_the_host_says_which() -> None:
    one = replace(SOURCE, audience="https://a.example/mcp")
    two = replace(SECOND, audience="https://b.example:8443/mcp")
    both = pages(policies(bank=small("bank", "corp"), shop=small("shop", "second")), PLAIN, one, two)
    assert document(ask(f"{PATH}/mcp", both, host="A.example"))["resource"] == "https://a.example/mcp"
    assert document(ask(f"{PATH}/mcp", both, host="b.example:8443"))["resource"] == "https://b.example:8443/mcp"
    assert ask(f"{PATH}/mcp", both, host="evil.example").status == 404


def test_policies_that_are_swapped_change_what_is_told() -> None:
    now = [policies(bank=small("bank", "corp"))]
    told = ResourceMetadata(Identities((PLAIN, SOURCE, SECOND)), lambda: now[0])
    assert "scopes_supported" not in document(ask(f"{PATH}/bank", told))
    now[0] = IN_FORCE
    assert document(ask(f"{PATH}/bank", told))["scopes_supported"]
    now[0] = policies(gw=small("gw", "plain"))
    assert ask(f"{PATH}/bank", told).status == 404


def test_a_page_of_another_origin_may_ask() -> None:
    answer = ask(f"{PATH}/bank", method="OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert dict(answer.headers)["Access-Control-Allow-Headers"] == "*"


def test_nobody_can_change_anything() -> None:
    answer = ask(f"{PATH}/bank", method="POST")
    assert (answer.status, answer.headers) == (405, (("Allow", "GET, HEAD, OPTIONS"),))


class Nothing:
    def render(self, accept: str = "") -> tuple[str, bytes]:
        raise AssertionError

    def ready(self) -> tuple[bool, str]:
        return True, "ready"

    def describe(self) -> dict[str, Any]:
        return {}


async def test_the_operators_pages_have_it_where_tokens_are_verified() -> None:
    request = Request("GET", f"{PATH}/bank", ((b"host", b"mcp.example"),), unread)
    state = Nothing()
    for metadata, status in ((pages(), 200), (None, 404)):
        asked = Pages(state, state, metadata=metadata)
        assert (await asked.answer(request)).status == status
        asked.close()
