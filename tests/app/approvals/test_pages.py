"""What an approver sees and does on the page."""

from __future__ import annotations

import pytest
from approval_office import NOW, Office, asked, form_token

from authz.app.approvals.desk import MAX_COMMENT
from authz.errors import StoreError
from authz.model import Ruling


async def decide(web, id_, verb, **fields):
    page = await web.get(f"/requests/{id_}")
    return await web.post(f"/requests/{id_}/{verb}", data={"form_token": form_token(page), **fields})


async def test_whoever_is_not_logged_in_is_sent_to_the_log_in_page_which_knows_where_to_go_on(office: Office):
    record = await office.file_request()
    web = await office.web()
    answer = await web.get(f"/requests/{record.id}")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?request={record.id}")
    assert f'name="request" value="{record.id}"' in (await web.get(answer.headers["location"])).text
    answer = await web.post("/login", data={"token": office.tokens["dana"], "request": record.id})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/requests/{record.id}")
    assert (await web.get("/login")).headers["location"] == "/"


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/x", "a/../..", "\\evil"])
async def test_after_log_in_one_goes_to_a_request_or_the_list_and_nowhere_else(office: Office, target):
    web = await office.web()
    answer = await web.post("/login", data={"token": office.tokens["dana"], "request": target})
    assert answer.headers["location"] == "/"


async def test_a_link_from_another_site_is_followed_once_more_from_here_so_that_the_strict_cookie_comes_along(
    office: Office,
):
    record = await office.file_request()
    web = await office.web()
    answer = await web.get(f"/requests/{record.id}", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert f'<meta http-equiv="refresh" content="0;url=/requests/{record.id}">' in answer.text


async def test_the_list_has_what_waits_and_the_history_what_has_ended(office: Office):
    waiting = await office.file_request()
    denied = await office.file_request(asked(tool="flush_all"))
    web = await office.web("dana")
    assert (await decide(web, denied.id, "deny", comment="not today")).status_code == 303
    pending, history = (await web.get("/")).text, (await web.get("/history")).text
    assert waiting.id in pending
    assert denied.id not in pending
    assert denied.id in history
    assert waiting.id not in history
    assert "denied by dana" in history


async def test_the_list_is_narrowed_by_server_tool_who_asks_and_status(office: Office):
    one = await office.file_request()
    other = await office.file_request(asked(tool="flush_all", server="other", principal="corp/zoe"))
    web = await office.web("dana")
    for query in ("server=other", "tool=flush_all", "principal=ZOE"):
        text = (await web.get(f"/?{query}")).text
        assert other.id in text
        assert one.id not in text
    await decide(web, one.id, "deny")
    assert one.id in (await web.get("/history?status=denied")).text
    assert one.id not in (await web.get("/history?status=granted")).text
    assert "No request matches" in (await web.get("/history?status=expired")).text


async def test_newer_requests_that_are_not_ones_business_hide_nothing(office: Office, monkeypatch):
    monkeypatch.setattr("authz.app.approvals.desk.LISTED", 1)
    web = await office.web("dana")
    over, waits = await office.file_request(asked(tool="over")), await office.file_request(asked(tool="waits"))
    await office.store.submit(over.id, Ruling("dana", False))
    for tool in ("a", "b"):
        foreign = await office.file_request(asked(tool=tool, by=(("group:billing",),)))
        await office.store.submit(foreign.id, Ruling("frank", False))
    assert f"/requests/{waits.id}" in (await web.get("/")).text
    for query in ("", "?tool=over", "?status=denied&server=valkey"):
        assert f"/requests/{over.id}" in (await web.get(f"/history{query}")).text


async def test_an_empty_list_says_that_nothing_waits(office: Office):
    assert "Nothing waits for you." in (await (await office.web("dana")).get("/")).text


async def test_a_request_shows_who_asks_for_what_by_which_rule_every_argument_and_the_whole_digest(office: Office):
    record = await office.file_request(asked({"key": "a", "n": 9007199254740993, "f": 1.0}))
    text = (await (await office.web("dana")).get(f"/requests/{record.id}")).text
    for shown in (
        "corp/alice", "valkey", "delete_cache", "Destructive", "high", "tools.delete_cache", "what is deleted is gone",
        "9007199254740993", ">1.0<", record.request.digest.hex(), "group:dba", "exactly this call once",
        "expires in", "2026-11-18 11:06:40 UTC",
    ):  # fmt: skip
        assert shown in text


async def test_a_yes_with_a_comment_grants_and_is_audited(office: Office):
    record = await office.file_request()
    answer = await decide(await office.web("dana"), record.id, "approve", comment="  seen\r\nand fine ")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/requests/{record.id}")
    assert await office.status(record.id) == "granted"
    (audited,) = office.rulings
    ruling = audited.ruling
    assert (ruling.approver, ruling.granted, ruling.comment, ruling.origin, audited.time) == (
        "dana",
        True,
        "seen\nand fine",
        "192.0.2.7",
        NOW,
    )
    assert audited.approval.request == record.request


async def test_a_no_denies_and_stays_to_be_seen(office: Office):
    record = await office.file_request()
    web = await office.web("dana")
    await decide(web, record.id, "deny", comment="<b>no</b>")
    assert await office.status(record.id) == "denied"
    text = (await web.get(f"/requests/{record.id}")).text
    assert "&lt;b&gt;no&lt;/b&gt;" in text
    assert "Approve this call" not in text


async def test_who_asks_cannot_approve_it_and_is_told_why_but_may_withdraw_it(office: Office):
    record = await office.file_request()
    web = await office.web("alice")
    page = await web.get(f"/requests/{record.id}")
    assert "You cannot approve this. Who asks for a call cannot approve it. Somebody else must." in page.text
    assert "Approve this call" not in page.text
    answer = await decide(web, record.id, "approve")
    assert answer.status_code == 403
    assert "Who asks for a call cannot approve it. Somebody else must." in answer.text
    assert await office.status(record.id) == "pending"
    assert (await decide(web, record.id, "deny")).status_code == 303
    assert await office.status(record.id) == "denied"


async def test_where_nobody_can_say_who_is_who_nobody_approves(office: Office):
    record = await office.file_request(asked(claim=""))
    answer = await decide(await office.web("dana"), record.id, "approve")
    assert answer.status_code == 403
    assert "the claim that is compared is missing on one side" in answer.text
    allowing = office.server(unidentified_ok=True)
    assert (await decide(await office.web("dana", allowing), record.id, "approve")).status_code == 303


async def test_unknown_and_foreign_requests_get_one_answer_whatever_is_tried(office: Office):
    record = await office.file_request()
    web = await office.web("frank")
    unknown = "f" * 32
    assert record.id not in (await web.get("/")).text
    token = form_token(await web.get("/"))
    for method, path, fields in (
        ("GET", "/requests/{}", {}),
        ("POST", "/requests/{}/approve", {"form_token": token}),
        ("POST", "/requests/{}/deny", {"form_token": token, "comment": "x" * 2000}),
    ):
        answers = [await web.request(method, path.format(id_), data=fields or None) for id_ in (record.id, unknown)]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].text.replace(form_token(answers[0]), "") == answers[1].text.replace(
            form_token(answers[1]), ""
        )
        assert answers[0].headers == answers[1].headers
    assert await office.status(record.id) == "pending"


async def test_the_second_yes_of_two_that_are_wanted_must_be_somebody_elses(office: Office):
    record = await office.file_request(asked(by=(("group:dba",), ("group:dba", "frank"))))
    dana = await office.web("dana")
    # One approver who satisfies both entries decides alone; frank satisfies the second only.
    assert (await decide(await office.web("frank"), record.id, "approve")).status_code == 303
    page = await dana.get(f"/requests/{record.id}")
    assert "1 of 2 approvals given" in page.text
    again = await decide(await office.web("frank"), record.id, "approve")
    assert again.status_code == 409
    assert "This request needs the yes of somebody else, too." in again.text
    assert (await decide(dana, record.id, "approve")).status_code == 303
    assert await office.status(record.id) == "granted"


async def test_what_has_ended_cannot_be_decided(office: Office):
    record = await office.file_request()
    dana, erin = await office.web("dana"), await office.web("erin")
    page = await erin.get(f"/requests/{record.id}")
    await decide(dana, record.id, "deny")
    late = await erin.post(f"/requests/{record.id}/approve", data={"form_token": form_token(page)})
    assert late.status_code == 409
    assert "somebody else decided it, or its time is over" in late.text
    other = await office.file_request(asked(tool="flush_all"))
    office.now += 901.0
    assert (await decide(dana, other.id, "approve")).status_code == 409
    assert await office.status(other.id) == "expired"


async def test_a_rule_may_want_a_reason_and_a_comment_has_an_end(office: Office):
    record = await office.file_request(asked(reason_required=True))
    web = await office.web("dana")
    answer = await decide(web, record.id, "approve", comment=" ")
    assert answer.status_code == 422
    assert "write a comment" in answer.text
    answer = await decide(web, record.id, "approve", comment="é" * (MAX_COMMENT + 1))
    assert answer.status_code == 422
    assert "A comment has at most 1,000 characters." in answer.text
    assert (await decide(web, record.id, "approve", comment="é" * MAX_COMMENT)).status_code == 303


async def test_logging_out_ends_the_session_even_for_who_kept_the_cookie(office: Office):
    web = await office.web("dana")
    kept = web.cookies["approvals"]
    answer = await web.post("/logout", data={"form_token": form_token(await web.get("/"))})
    assert answer.headers["location"] == "/login"
    assert web.cookies.get("approvals") is None
    assert (await web.get("/", headers={"cookie": f"approvals={kept}"})).status_code == 303


async def test_a_removed_approver_is_out_at_once_and_a_changed_group_counts_at_once(office: Office):
    record = await office.file_request()
    web = await office.web("dana")
    assert (await web.get(f"/requests/{record.id}")).status_code == 200
    text = office.file.read_text()
    office.file.write_text(text.replace("- dba", "- other", 1))
    assert (await web.get(f"/requests/{record.id}")).status_code == 404
    office.file.write_text(text.replace("name: dana", "name: dora"))
    assert (await web.get("/")).status_code == 303


async def test_a_store_that_does_not_answer_is_said_and_not_guessed(office: Office, monkeypatch):
    web = await office.web("dana")

    async def away(**_):
        raise StoreError("down")

    monkeypatch.setattr(office.store, "records", away)
    answer = await web.get("/")
    assert answer.status_code == 503
    assert "The store of requests does not answer." in answer.text


async def test_a_mistake_of_ours_tells_nothing(office: Office, monkeypatch):
    web = await office.web("dana")

    async def wrong(**_):
        raise RuntimeError("a secret")

    monkeypatch.setattr(office.store, "records", wrong)
    answer = await web.get("/")
    assert answer.status_code == 500
    assert "the log says what" in answer.text
    assert "a secret" not in answer.text


async def test_there_is_nothing_elsewhere(office: Office):
    web = await office.web("dana")
    assert (await web.get("/nothing")).status_code == 404
    assert (await web.get("/static/../templates/base.html")).status_code == 404
    assert (await web.put("/")).status_code == 405


async def test_in_the_demonstration_everybody_is_an_approver(office: Office):
    from authz.model import Approver

    record = await office.file_request()
    server = office.server(approvers=None, everybody=Approver("you", frozenset({"dba"}), "you"))
    web = await office.web(server=server)
    assert (await decide(web, record.id, "approve")).status_code == 303
    assert await office.status(record.id) == "granted"


async def test_who_is_not_logged_in_may_log_out(office: Office):
    web = await office.web()
    answer = await web.post("/logout", data={"form_token": ""})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
