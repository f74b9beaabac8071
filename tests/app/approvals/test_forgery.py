"""What other sites, links and strangers' forms can do: nothing (threats H5; sequences seq-approve-*)."""

from __future__ import annotations

import pytest
from approval_office import HOST, Office, form_token


async def test_every_step_of_an_approver_in_the_sequences_gets_what_it_expects(office: Office):
    record = await office.file_request()
    approve = f"/requests/{record.id}/approve"
    dana, alice = await office.web("dana"), await office.web("alice")
    token = form_token(await dana.get(f"/requests/{record.id}"))

    # seq-approve-csrf: another site's POST with the session and no token; the link itself; a safelisted type
    answer = await dana.post(approve, headers={"origin": "https://evil.example"}, data={"comment": "x"})
    assert answer.status_code == 403
    answer = await dana.get(approve)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert "Nothing changed" in answer.text
    answer = await dana.post(approve, content=f"form_token={token}", headers={"content-type": "text/plain"})
    assert answer.status_code == 403

    # seq-approve-framing
    answer = await dana.get(f"/requests/{record.id}")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"

    # seq-approve-self
    answer = await alice.post(approve, data={"form_token": form_token(await alice.get(f"/requests/{record.id}"))})
    assert answer.status_code == 403
    assert await office.status(record.id) == "pending"
    assert (await dana.post(approve, data={"form_token": token})).status_code == 303


@pytest.mark.parametrize(
    ("headers", "status", "says"),
    [
        ({"origin": "https://evil.example"}, 403, "Expected the origin of the page itself, got another or none."),
        ({"origin": "null"}, 403, "Expected the origin of the page itself, got another or none."),
        ({"origin": ""}, 403, "Expected the origin of the page itself, got another or none."),
        ({"origin": HOST.replace("8600", "8601")}, 403, "Expected the origin of the page itself, got another or none."),
        ({"origin": HOST.replace("http:", "https:")}, 403, "Expected the origin of the page itself"),
        ({"sec-fetch-site": "cross-site"}, 403, "Expected a request from the page itself, got one from another site."),
        ({"sec-fetch-site": "same-site"}, 403, "Expected a request from the page itself, got one from another site."),
        ({"sec-fetch-site": "none"}, 403, "Expected a request from the page itself, got one from another site."),
        ({"content-type": "text/plain"}, 403, "Expected the content type application/x-www-form-urlencoded."),
        ({"content-type": "multipart/form-data; boundary=x"}, 403, "Expected the content type"),
        ({"content-type": ""}, 403, "Expected the content type application/x-www-form-urlencoded."),
        ({"content-type": "application/json"}, 415, "Expected the content type application/x-www-form-urlencoded."),
    ],
)
@pytest.mark.parametrize("path", ["/requests/{}/approve", "/requests/{}/deny", "/logout", "/login"])
async def test_a_form_that_is_not_sent_by_our_own_page_changes_nothing(office: Office, path, headers, status, says):
    record = await office.file_request()
    web = await office.web("dana")
    token = form_token(await web.get("/"))
    answer = await web.post(
        path.format(record.id),
        content=f"form_token={token}&token={office.tokens['dana']}",
        headers={"content-type": "application/x-www-form-urlencoded", **headers},
    )
    assert answer.status_code == status
    assert says in answer.text
    assert "set-cookie" not in answer.headers
    assert await office.status(record.id) == "pending"


async def test_a_browser_that_says_no_origin_is_refused(office: Office):
    record = await office.file_request()
    web = await office.web("dana")
    token = form_token(await web.get("/"))
    del web.headers["origin"]
    assert (await web.post(f"/requests/{record.id}/approve", data={"form_token": token})).status_code == 403


async def test_a_form_token_is_that_of_the_session_and_of_nobody_else(office: Office):
    record = await office.file_request()
    dana, erin = await office.web("dana"), await office.web("erin")
    for token in ("", "x", form_token(await erin.get("/")), form_token(await dana.get("/")) + "x"):
        answer = await dana.post(f"/requests/{record.id}/approve", data={"form_token": token})
        assert answer.status_code == 403
        assert "The form is too old or not from here." in answer.text
    assert await office.status(record.id) == "pending"


async def test_a_form_without_a_session_is_refused(office: Office):
    record = await office.file_request()
    token = form_token(await (await office.web("dana")).get("/"))
    answer = await (await office.web()).post(f"/requests/{record.id}/approve", data={"form_token": token})
    assert answer.status_code == 401
    assert await office.status(record.id) == "pending"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "127.0.0.2:8600", "[::2]", "a b"])
async def test_a_name_that_is_not_ours_gets_no_page_whatever_it_resolves_to(office: Office, host):
    web = await office.web("dana")
    answer = await web.get("/", headers={"host": host})
    assert answer.status_code == 400
    assert answer.text == "Invalid host header"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["localhost:8600", "127.0.0.1:8600", "[::1]:8600", "LOCALHOST:8600", "page.example"])
async def test_our_own_names_get_the_page(office: Office, host):
    web = await office.web(server=office.server(url="https://page.example"))
    assert (await web.get("/", headers={"host": host})).status_code == 303


@pytest.mark.parametrize("path", ["/", "/login", "/nothing", "/static/page.js", "/api/v1/requests", "/events"])
async def test_every_answer_has_the_headers_that_keep_it_to_itself(office: Office, path):
    headers = (await (await office.web()).get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    kept = {name: headers[name] for name in ("referrer-policy", "cache-control", "x-frame-options")}
    assert kept == {"referrer-policy": "same-origin", "cache-control": "no-store", "x-frame-options": "DENY"}
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


async def test_no_page_has_a_script_or_a_style_in_it(office: Office):
    record = await office.file_request()
    web = await office.web("dana")
    for path in ("/", "/history", f"/requests/{record.id}", "/login", "/nothing"):
        text = (await web.get(path)).text
        assert "<style" not in text
        assert " style=" not in text
        assert " on" + "click=" not in text
        assert text.count("<script") == text.count('<script src="/static/page.js" defer></script>')


async def test_a_body_has_an_end(office: Office):
    web = await office.web("dana")
    answer = await web.post("/login", data={"token": "x" * 20_000})
    assert (answer.status_code, answer.text) == (413, "expected at most 16384 bytes\n")


@pytest.mark.parametrize("content", [b"\xff", b"a&b&c", b"&".join(b"a=%d" % n for n in range(50))])
async def test_a_form_that_cannot_be_read_has_no_token(office: Office, content):
    web = await office.web("dana")
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert (await web.post("/logout", content=content, headers=headers)).status_code == 403
