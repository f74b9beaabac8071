"""How approvers get in, by token or by a proxy's word, and who does not."""

from __future__ import annotations

import pytest
from approval_office import NOW, Office, asked, form_token
from itsdangerous import TimestampSigner
from prometheus_client import CollectorRegistry

from authz.app.approvals.enrol import remove
from authz.app.approvals.options import ApprovalsOptions, ProxyHeaders
from authz.app.approvals.server import ApprovalsServer
from authz.app.approvals.sessions import KNOWN, LIFE, Session, Sessions, fingerprint
from authz.app.settings.values import Address

KEY = b"k" * 32
SECRET = b"s" * 32
PROXY = ProxyHeaders("x-user", "x-groups", "x-email", True, SECRET)
HEADERS = {"x-user": "dana", "x-groups": "dba, ops", "x-email": "dana@example.com"}
WORD = {"x-approvals-proxy-secret": SECRET.decode()}


async def test_the_cookies_are_strict_hidden_from_scripts_and_bound_to_the_host(office: Office):
    web = await office.web()
    answer = await web.post("/login", data={"token": office.tokens["dana"]})
    kept = f" HttpOnly; Max-Age={LIFE}; Path=/; SameSite=strict"
    assert [(one.partition("=")[0], one.partition(";")[2]) for one in answer.headers.get_list("set-cookie")] == [
        ("approvals", kept),
        ("approvals-browser", kept.replace(str(LIFE), str(KNOWN))),
    ]
    server = office.server(url="https://page.example")
    web = await office.web(server=server, headers={"origin": "https://page.example", "host": "page.example"})
    answer = await web.post("/login", data={"token": office.tokens["dana"]})
    assert [(one.partition("=")[0], one.partition(";")[2]) for one in answer.headers.get_list("set-cookie")] == [
        ("__Host-approvals", f"{kept}; Secure"),
        ("__Host-approvals-browser", f"{kept}; Secure".replace(str(LIFE), str(KNOWN))),
    ]


@pytest.mark.parametrize("token", ["", "x", "mcpa_" + "A" * 43, "\u00e9", "\ud800"])
async def test_an_unknown_token_gets_no_session(office: Office, token):
    web = await office.web()
    content = b"token=" + b"".join(b"%%%02X" % byte for byte in token.encode("utf-8", "surrogatepass"))
    answer = await web.post("/login", content=content, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 401
    assert "This token is not known." in answer.text
    assert "set-cookie" not in answer.headers


async def test_after_ten_failures_an_address_has_to_wait_even_with_a_good_token(office: Office):
    registry = CollectorRegistry()
    options = ApprovalsOptions(Address("127.0.0.1", 0), approvers=office.file)
    server = ApprovalsServer(office.store, options, registry=registry)
    web = await office.web(server=server)
    for _ in range(10):
        assert (await web.post("/login", data={"token": "wrong"})).status_code == 401
    answer = await web.post("/login", data={"token": office.tokens["dana"]})
    assert answer.status_code == 429
    assert "Too many failed tries. Try again in " in answer.text
    assert 0 < int(answer.headers["retry-after"]) <= 301
    counted = {cause: _failures(registry, cause) for cause in ("token", "throttled")}
    assert counted == {"token": 10.0, "throttled": 1.0}


async def log_in(web, token: str, cookies: str = "") -> int:
    """What a browser with `cookies` gets for a token."""
    web.cookies.clear()
    return (await web.post("/login", data={"token": token}, headers={"cookie": cookies})).status_code


async def test_who_shares_an_address_keeps_no_browser_out_that_has_logged_in_before(office: Office):
    web = await office.web("dana")
    known = f"approvals-browser={web.cookies['approvals-browser']}"
    assert [await log_in(web, "wrong") for _ in range(11)] == [401] * 10 + [429]
    assert await log_in(web, office.tokens["dana"]) == 429
    assert await log_in(web, office.tokens["dana"], known) == 303
    # It has ten tries of its own.
    assert [await log_in(web, "wrong", known) for _ in range(11)] == [401] * 10 + [429]


async def test_a_browser_is_known_no_longer_than_its_token_counts_and_is_nobody_by_itself(office: Office):
    web = await office.web("dana")
    value = web.cookies["approvals-browser"]
    web.cookies.clear()
    for name in ("approvals-browser", "approvals"):
        answer = await web.get("/", headers={"cookie": f"{name}={value}"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert [await log_in(web, "wrong") for _ in range(11)] == [401] * 10 + [429]
    assert await log_in(web, "wrong", f"approvals-browser={value}") == 401
    remove(office.file, "dana")
    assert await log_in(web, "wrong", f"approvals-browser={value}") == 429


def _failures(registry: CollectorRegistry, cause: str) -> float | None:
    return registry.get_sample_value("mcp_authz_approval_log_in_failures_total", {"cause": cause})


async def test_a_session_is_known_by_every_replica_with_the_key_and_by_no_other(office: Office):
    one, other = office.server(session_key=KEY), office.server(session_key=KEY)
    web = await office.web("dana", one)
    cookie = {"cookie": f"approvals={web.cookies['approvals']}"}
    assert (await (await office.web(server=other)).get("/", headers=cookie)).status_code == 200
    stranger = await office.web(server=office.server())
    assert (await stranger.get("/", headers=cookie)).status_code == 303


def test_a_session_ends_with_its_age(monkeypatch):
    now = [NOW]
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: int(now[0]))
    sessions = Sessions(KEY)
    session, cookie = sessions.open("dana", "ab" * 32)
    token = sessions.form_token(session.id)
    now[0] += LIFE
    assert sessions.read(cookie) == session == Session("dana", fingerprint("ab" * 32), session.id)
    assert sessions.is_form_token(token, session.id)
    now[0] += 1
    assert sessions.read(cookie) is None
    assert not sessions.is_form_token(token, session.id)


def test_a_cookie_is_no_form_token_and_a_form_token_no_cookie():
    sessions = Sessions(KEY)
    session, cookie = sessions.open("dana", "ab" * 32)
    assert not sessions.is_form_token(cookie, session.id)
    assert sessions.read(sessions.form_token(session.id)) is None
    assert sessions.read("x" * 5000) is None


def test_ended_sessions_are_remembered_and_bounded(monkeypatch):
    monkeypatch.setattr("authz.app.approvals.sessions._MOST_ENDED", 2)
    sessions = Sessions(KEY)
    opened = [sessions.open(name, "ab" * 32) for name in "abc"]
    for session, _ in opened:
        sessions.end(session)
    assert [sessions.read(cookie) is None for _, cookie in opened] == [False, True, True]


async def test_another_token_of_the_same_name_ends_the_sessions_of_the_one_before(office: Office):
    web = await office.web("dana")
    digest = office.file.read_text().partition("token_sha256: ")[2][:64]
    office.file.write_text(office.file.read_text().replace(digest, "a" * 64))
    assert (await web.get("/")).status_code == 303


# --------------------------------------------------------------------------------------------------- a proxy's word


async def test_a_proxy_that_has_the_secret_says_who_it_is(office: Office):
    record = await office.file_request()
    server = office.server(approvers=None, proxy=PROXY)
    web = await office.web(server=server, headers={**HEADERS, **WORD, "x-forwarded-for": "1.2.3.4, 198.51.100.9"})
    page = await web.get(f"/requests/{record.id}")
    assert page.status_code == 200
    assert "Log out" not in page.text
    answer = await web.post(f"/requests/{record.id}/approve", data={"form_token": form_token(page)})
    assert answer.status_code == 303
    (audited,) = office.rulings
    assert (audited.ruling.approver, audited.ruling.origin) == ("dana", "198.51.100.9")


@pytest.mark.parametrize(
    "headers",
    [
        HEADERS,
        {**HEADERS, "x-approvals-proxy-secret": "wrong"},
        {**HEADERS, "x-approvals-proxy-secret": ""},
        WORD,
        {**WORD, "x-user": ""},
        {**WORD, "x-user": "\x01"},
        {**WORD, "x-user": "x" * 9000},
        {**WORD, "x-user": b"\xff\xfe"},
    ],
)
async def test_without_the_secret_or_a_user_nobody_comes_in(office: Office, headers):
    web = await office.web(server=office.server(approvers=None, proxy=PROXY), headers=headers)
    answer = await web.get("/")
    assert answer.status_code == 401
    assert "Log in as an approver first." in answer.text
    assert (await web.get("/login")).status_code == 401


async def test_headers_that_were_sent_twice_are_nobodys(office: Office):
    web = await office.web(server=office.server(approvers=None, proxy=PROXY))
    once = [*HEADERS.items(), *WORD.items()]
    assert (await web.get("/", headers=once)).status_code == 200
    for name in ("x-user", "x-approvals-proxy-secret"):
        assert (await web.get("/", headers=[*once, (name, dict(once)[name])])).status_code == 401


async def test_who_asks_is_recognised_by_the_claim_that_the_proxy_says(office: Office):
    record = await office.file_request(asked(claim="dana@example.com"))
    server = office.server(approvers=None, proxy=PROXY, claim_is_id=False)
    web = await office.web(server=server, headers={**HEADERS, **WORD})
    token = form_token(await web.get(f"/requests/{record.id}"))
    answer = await web.post(f"/requests/{record.id}/approve", data={"form_token": token})
    assert answer.status_code == 403
    assert "Who asks for a call cannot approve it." in answer.text


async def test_without_a_claim_header_the_user_is_compared_where_the_claim_is_the_id(office: Office):
    record = await office.file_request()
    for by_id, status in ((True, 303), (False, 403)):
        proxy = ProxyHeaders("x-user", "x-groups", "", by_id, SECRET)
        web = await office.web(server=office.server(approvers=None, proxy=proxy), headers={**HEADERS, **WORD})
        token = form_token(await web.get(f"/requests/{record.id}"))
        path = f"/requests/{record.id}/approve"
        answer = await web.post(path, data={"form_token": token})
        assert answer.status_code == status
        record = await office.file_request(asked(tool="other"))


async def test_a_name_beyond_ascii_comes_as_utf8(office: Office):
    server = office.server(approvers=None, proxy=PROXY)
    web = await office.web(server=server, headers={**WORD, "x-user": "zoë".encode()})
    assert "zoë" in (await web.get("/")).text


async def test_the_forwarded_address_counts_only_from_the_proxy_and_only_if_it_is_one(office: Office):
    record = await office.file_request()
    server = office.server(proxy=PROXY)
    web = await office.web("dana", server)
    token = form_token(await web.get(f"/requests/{record.id}"))
    for headers, origin in (
        ({"x-forwarded-for": "198.51.100.9"}, "192.0.2.7"),
        ({"x-forwarded-for": "unknown", **WORD}, "192.0.2.7"),
        ({"x-forwarded-for": "198.51.100.9", **WORD}, "198.51.100.9"),
    ):
        await web.post(f"/requests/{record.id}/deny", data={"form_token": token}, headers=headers)
        assert office.rulings[-1].ruling.origin == origin
        record = await office.file_request(asked(tool=f"t{len(office.rulings)}"))
