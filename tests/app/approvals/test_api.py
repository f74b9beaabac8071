"""What programs get, and that the OpenAPI document says the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from approval_office import Office, asked
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import validate

from authz import __version__
from authz.model import Ruling

LIST = "/api/v1/requests"


@pytest.fixture
async def web(office: Office):
    web = await office.web()
    del web.headers["origin"]
    del web.headers["sec-fetch-site"]
    return web


@pytest.fixture
async def document(web) -> Any:
    return (await web.get("/api/v1/openapi.json")).json()


def conforms(document: Any, name: str, value: Any) -> None:
    """Raise unless `value` is what the document calls `name`."""
    Draft202012Validator({**document, "$ref": f"#/components/schemas/{name}"}).validate(value)


async def test_the_openapi_document_is_valid_and_describes_every_route(document, office: Office):
    validate(document)
    assert document["openapi"] == "3.1.0"
    assert document["info"]["version"] == __version__
    assert sorted(document["paths"]) == [
        "/api/v1/openapi.json",
        "/api/v1/requests",
        "/api/v1/requests/{id}",
        "/api/v1/requests/{id}/approve",
        "/api/v1/requests/{id}/deny",
    ]


async def test_a_list_is_narrowed_and_bounded(office: Office, web, document):
    first = await office.file_request()
    second = await office.file_request(asked(tool="flush_all"))
    headers = office.bearer("dana")
    answer = await web.get(LIST, headers=headers)
    conforms(document, "Requests", answer.json())
    assert [one["id"] for one in answer.json()["requests"]] == [second.id, first.id]
    for query, ids in (("tool=flush_all", [second.id]), ("limit=1", [second.id]), ("status=ended", [])):
        assert [one["id"] for one in (await web.get(f"{LIST}?{query}", headers=headers)).json()["requests"]] == ids
    assert (await web.get(LIST, headers=office.bearer("frank"))).json() == {"requests": []}


async def test_what_one_may_not_see_and_what_has_ended_takes_no_place_in_a_list(office: Office, web):
    waits, over = await office.file_request(), await office.file_request(asked(tool="flush_all"))
    await office.store.submit(over.id, Ruling("dana", False))
    for tool in ("a", "b", "c"):
        foreign = await office.file_request(asked(tool=tool, by=(("group:billing",),)))
        await office.store.submit(foreign.id, Ruling("frank", False))
    for query, id_ in (("", waits.id), ("status=ended", over.id), ("status=all&tool=flush_all", over.id)):
        answer = await web.get(f"{LIST}?limit=1&{query}", headers=office.bearer("dana"))
        assert [one["id"] for one in answer.json()["requests"]] == [id_]


@pytest.mark.parametrize("query", ["status=open", "limit=many", "limit=-1", "limit=٣", "sever=x"])
async def test_a_query_that_cannot_be_meant_is_refused(office: Office, web, query):
    answer = await web.get(f"{LIST}?{query}", headers=office.bearer("dana"))
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


async def test_one_request_has_its_parameters_as_the_very_text_and_numbers_stay_exact(office: Office, web, document):
    record = await office.file_request(asked({"n": 9007199254740993, "f": 1.0, "s": "\u202e"}))
    answer = await web.get(f"{LIST}/{record.id}", headers=office.bearer("dana"))
    value = answer.json()
    conforms(document, "FullRequest", value)
    assert value["params"] == record.request.params
    assert value["digest"] == record.request.digest.hex()
    assert answer.text.isascii()


async def test_a_decision_is_taken_with_its_comment(office: Office, web, document):
    record = await office.file_request()
    headers = {**office.bearer("dana"), "x-forwarded-for": "1.1.1.1"}
    answer = await web.post(f"{LIST}/{record.id}/approve", json={"comment": "fine"}, headers=headers)
    assert answer.status_code == 200
    conforms(document, "FullRequest", answer.json())
    assert answer.json()["status"] == "granted"
    assert answer.json()["rulings"][0] == {
        "approver": "dana",
        "verdict": "granted",
        "comment": "fine",
        "at": "2026-11-18T11:06:40Z",
        "origin": "192.0.2.7",
    }
    other = await office.file_request(asked(tool="flush_all"))
    headers = {**office.bearer("dana"), "content-type": "application/json; charset=utf-8"}
    answer = await web.post(f"{LIST}/{other.id}/deny", headers=headers)
    assert answer.json()["status"] == "denied"


@pytest.mark.parametrize(
    ("who", "request_", "status", "cause"),
    [
        ("alice", asked(), 403, "self"),
        ("dana", asked(claim=""), 403, "unidentified"),
        ("frank", asked(), 404, "unknown"),
        ("dana", asked(reason_required=True), 422, "comment"),
    ],
)
async def test_a_decision_that_is_not_taken_says_why(office: Office, web, document, who, request_, status, cause):
    record = await office.file_request(request_)
    answer = await web.post(f"{LIST}/{record.id}/approve", json={}, headers=office.bearer(who))
    conforms(document, "Problem", answer.json())
    assert (answer.status_code, answer.json()["status"], answer.json()["cause"]) == (status, status, cause)
    assert answer.headers["content-type"] == "application/problem+json"
    assert await office.status(record.id) == "pending"


async def test_a_second_decision_comes_too_late(office: Office, web):
    record = await office.file_request()
    for who, status in (("dana", 200), ("erin", 409)):
        answer = await web.post(f"{LIST}/{record.id}/deny", json={}, headers=office.bearer(who))
        assert answer.status_code == status
    assert answer.json()["cause"] == "ended"


async def test_who_was_slower_by_a_blink_is_told_so(office: Office, web, monkeypatch):
    record = await office.file_request()
    submit = office.store.submit

    async def slower(id_, ruling):
        from dataclasses import replace

        await submit(id_, replace(ruling, approver="erin", granted=False))
        return await submit(id_, ruling)

    monkeypatch.setattr(office.store, "submit", slower)
    answer = await web.post(f"{LIST}/{record.id}/approve", json={}, headers=office.bearer("dana"))
    assert (answer.status_code, answer.json()["cause"]) == (409, "ended")
    assert office.rulings == []

    async def gone(id_, ruling):
        return None

    other = await office.file_request(asked(tool="other"))
    monkeypatch.setattr(office.store, "submit", gone)
    answer = await web.post(f"{LIST}/{other.id}/approve", json={}, headers=office.bearer("dana"))
    assert (answer.status_code, answer.json()["cause"]) == (404, "unknown")


async def test_unknown_and_foreign_requests_get_one_answer(office: Office, web):
    record = await office.file_request()
    for method, path in (("GET", "{}"), ("POST", "{}/approve"), ("POST", "{}/deny")):
        body = {"json": {}} if method == "POST" else {}
        answers = [
            await web.request(method, f"{LIST}/{path.format(id_)}", headers=office.bearer("frank"), **body)
            for id_ in (record.id, "f" * 32)
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].content == answers[1].content
        assert answers[0].headers == answers[1].headers


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer x"}, {"authorization": "Basic x"}])
async def test_without_a_known_token_there_is_nothing(office: Office, web, headers):
    answer = await web.get(LIST, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="approvals"'


async def test_a_session_or_a_proxys_word_opens_no_api(office: Office):
    web = await office.web("dana")
    assert (await web.get("/")).status_code == 200
    assert (await web.get(LIST)).status_code == 401


async def test_who_tries_tokens_has_to_wait_and_who_has_one_does_not(office: Office, web):
    for _ in range(10):
        assert (await web.get(LIST, headers={"authorization": "Bearer x"})).status_code == 401
    answer = await web.get(LIST, headers={"authorization": "Bearer x"})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert (await web.get(LIST, headers=office.bearer("dana"))).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 403),
        ({"content-type": "application/x-www-form-urlencoded"}, 403),
        ({"content-type": "application/xml"}, 415),
        ({"content-type": "application/json", "origin": "https://evil.example"}, 403),
        ({"content-type": "application/json", "sec-fetch-site": "cross-site"}, 403),
    ],
)
async def test_what_another_sites_page_may_send_is_refused_before_anything_is_looked_at(
    office: Office, web, headers, status
):
    record = await office.file_request()
    path = f"{LIST}/{record.id}/approve"
    answer = await web.post(path, content=b"{}", headers={**office.bearer("dana"), **headers})
    assert answer.status_code == status
    assert await office.status(record.id) == "pending"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", 'Expected JSON such as {"comment": "…"}.'),
        (b"[" * 5000, 'Expected JSON such as {"comment": "…"}.'),
        (b"\xff", 'Expected JSON such as {"comment": "…"}.'),
        (b"[]", "Expected an object with no member but comment, a text."),
        (b'{"coment":"x"}', "Expected an object with no member but comment, a text."),
        (b'{"comment":1}', "Expected an object with no member but comment, a text."),
    ],
)
async def test_a_body_that_is_no_decision_is_refused(office: Office, web, body, says):
    record = await office.file_request()
    headers = {**office.bearer("dana"), "content-type": "application/json"}
    answer = await web.post(f"{LIST}/{record.id}/deny", content=body, headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (400, says)
    assert await office.status(record.id) == "pending"


async def test_a_comment_has_an_end_and_half_a_character_is_none(office: Office, web):
    record = await office.file_request()
    path = f"{LIST}/{record.id}/deny"
    answer = await web.post(path, json={"comment": "x" * 1001}, headers=office.bearer("dana"))
    assert answer.status_code == 422
    body = json.dumps({"comment": "\ud800"}).encode()
    headers = {**office.bearer("dana"), "content-type": "application/json"}
    assert (await web.post(path, content=body, headers=headers)).json()["rulings"][0]["comment"] == "?"


async def test_mistakes_are_problems_too(office: Office, web, monkeypatch):
    from authz.errors import StoreError

    headers = office.bearer("dana")
    assert (await web.get("/api/v1/nothing", headers=headers)).json()["status"] == 404
    assert (await web.get(f"{LIST}/x/approve", headers=headers)).json()["status"] == 405

    async def away(**_):
        raise StoreError("down")

    monkeypatch.setattr(office.store, "records", away)
    assert (await web.get(LIST, headers=headers)).json()["title"] == "Try again soon"
