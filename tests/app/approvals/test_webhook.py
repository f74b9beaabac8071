"""What is told to other systems: signed, tried again, in their own forms, without an argument in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
import uvicorn
from approval_office import Office, asked
from prometheus_client import CollectorRegistry
from standardwebhooks import Webhook as Verifier
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from authz.app.approvals import messenger
from authz.app.approvals.announcer import FilingSink, WebhookAnnouncer
from authz.app.approvals.messages import Event, Notice, body
from authz.app.approvals.messenger import Messenger
from authz.app.approvals.metrics import ApprovalMetrics, DeliveryMetrics
from authz.app.approvals.options import Hook
from authz.app.approvals.webhook import Webhook
from authz.app.settings.values import Address
from authz.audit import Record
from authz.errors import StoreError
from authz.model import ApprovalStatus, Decision, Effect, Message, MessageKind, Reason, Standing

KEY = b"k" * 32
LINK = "https://page.example/requests/1"


class Receiver:
    """A server that answers with `statuses`, one after the other and the last for ever, and keeps what it gets."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def _answer(self, request: Request) -> Response:
        self.got.append((dict(request.headers), await request.body()))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        headers = {"location": "/elsewhere"} if status in (301, 307) else {}
        return Response("x" * 100_000, status, headers)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Receiver]:
        app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST"])])
        config = uvicorn.Config(app, port=0, log_config=None, lifespan="off")
        sock = config.bind_socket()
        self.url = f"http://127.0.0.1:{sock.getsockname()[1]}/hook"
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve([sock]))
        try:
            yield self
        finally:
            server.should_exit = True
            await task


class Setup:
    """A webhook to `url` that waits hardly at all between tries."""

    def __init__(self, url: str, *, secret: bytes = KEY, room: int = 10, attempts: int = 3) -> None:
        self.registry = CollectorRegistry()
        self.webhook = Webhook(
            Hook(url, "generic", secret), ApprovalMetrics(self.registry), wait=0.001, attempts=attempts, room=room
        )

    async def deliver(self, *notices: Notice) -> None:
        task = asyncio.create_task(self.webhook.run())
        for notice in notices:
            self.webhook.send(notice)
        await self.webhook.drained()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def count(self, outcome: str) -> float:
        name = "mcp_authz_approval_webhook_deliveries_total"
        return self.registry.get_sample_value(name, {"outcome": outcome}) or 0.0


@pytest.fixture
async def notice(office: Office) -> Notice:
    return Notice(Event.REQUESTED, await office.file_request(asked({"key": "a secret argument"})), LINK)


async def test_a_message_is_signed_as_standard_webhooks_has_it(notice):
    async with Receiver(204).running() as receiver:
        setup = Setup(receiver.url)
        await setup.deliver(notice)
    ((headers, content),) = receiver.got
    assert Verifier(KEY).verify(content, headers) == json.loads(content)
    assert headers["webhook-id"] == f"requested_{notice.record.id}"
    assert headers["content-type"] == "application/json"
    assert setup.count("delivered") == 1


async def test_without_a_secret_nothing_is_signed(notice):
    async with Receiver(200).running() as receiver:
        await Setup(receiver.url, secret=b"").deliver(notice)
    assert "webhook-signature" not in receiver.got[0][0]


@pytest.mark.parametrize("status", [500, 503, 429, 408])
async def test_what_may_pass_is_tried_again_as_the_same_message(notice, status):
    async with Receiver(status, status, 200).running() as receiver:
        setup = Setup(receiver.url)
        await setup.deliver(notice)
    assert len(receiver.got) == 3
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({content for _, content in receiver.got}) == 1
    assert setup.count("delivered") == 1


async def test_what_goes_on_failing_is_given_up_and_said_without_the_address(notice, caplog):
    async with Receiver(500).running() as receiver:
        setup = Setup(receiver.url)
        await setup.deliver(notice)
        assert len(receiver.got) == 3
    assert setup.count("failed") == 1
    assert "was given up after 3 tries: status 500" in caplog.text
    gone = Setup(receiver.url, attempts=2)  # nobody listens there any more
    await gone.deliver(notice)
    assert gone.count("failed") == 1
    assert "was given up after 2 tries: ConnectError" in caplog.text
    assert receiver.url not in caplog.text


@pytest.mark.parametrize("status", [400, 404, 301, 307])
async def test_a_rejection_is_taken_as_one_and_a_redirect_is_not_followed(notice, status):
    async with Receiver(status).running() as receiver:
        setup = Setup(receiver.url)
        await setup.deliver(notice)
    assert len(receiver.got) == 1
    assert setup.count("rejected") == 1


async def test_the_queue_is_bounded_and_what_is_dropped_is_counted(notice):
    setup = Setup("http://127.0.0.1:9/", room=2)
    for _ in range(5):
        setup.webhook.send(notice)
    assert setup.count("dropped") == 3


async def test_a_mistake_of_ours_ends_no_sender(notice, caplog, monkeypatch):
    async with Receiver(200).running() as receiver:
        setup = Setup(receiver.url)
        wrong = Notice(Event.REQUESTED, None, LINK)  # type: ignore[arg-type]
        monkeypatch.setattr(Notice, "id", property(lambda self: "x"))
        await setup.deliver(*[wrong] * 5, notice)
    assert setup.count("failed") == 5
    assert setup.count("delivered") == 1


# ------------------------------------------------------------------------------------------------------- the bodies


async def decided(office: Office, granted: bool = True) -> Notice:
    from authz.model import Approver
    from authz.state.approvals import Judge

    record = await office.file_request(asked({"key": "a secret argument"}, tool="flush_all"))
    judge = Judge()
    dana = Approver("dana", frozenset({"dba"}), "dana")
    ruling = judge.judge(dana, record, granted, comment="a comment", at=0.0, origin="")
    after = await office.store.submit(record.id, ruling)  # type: ignore[arg-type]
    assert after is not None
    return Notice(Event.DECIDED, after, LINK)


@pytest.mark.parametrize("form", ["generic", "slack", "teams"])
async def test_no_form_has_an_argument_or_a_comment_in_it_and_each_has_the_link(notice, office: Office, form):
    for one in (notice, await decided(office)):
        text = body(one, form).decode()
        assert "a secret argument" not in text
        assert "a comment" not in text
        assert LINK in text
        assert one.record.request.tool in text
        assert "corp/alice" in text


async def test_the_generic_form_has_stable_names(notice, office: Office):
    value = json.loads(body(notice, "generic"))
    assert value == {
        "type": "approval.requested",
        "timestamp": "2026-11-18T11:06:40Z",
        "data": {
            "id": notice.record.id,
            "status": "pending",
            "server": "valkey",
            "tool": "delete_cache",
            "principal": "corp/alice",
            "rule": "tools.delete_cache",
            "decided_by": "",
            "expires_at": "2026-11-18T11:21:40Z",
            "link": LINK,
        },
    }
    value = json.loads(body(await decided(office, granted=False), "generic"))
    assert (value["type"], value["data"]["status"], value["data"]["decided_by"]) == (
        "approval.decided",
        "denied",
        "dana",
    )


async def test_slack_gets_text_in_which_nobody_is_mentioned_and_only_the_page_is_linked(office: Office):
    record = await office.file_request(asked(tool="<!channel> & <https://evil.example|here>` *x* \u202e"))
    text = json.loads(body(Notice(Event.REQUESTED, record, LINK), "slack"))["text"]
    assert text.splitlines()[0] == (
        "`corp/alice` asks for approval of `&lt;!channel&gt; &amp; &lt;https://evil.example|here&gt;' *x* ⟨U+202E⟩`"
    )
    assert text.splitlines()[-1] == f"<{LINK}|Open the request>"


async def test_teams_gets_a_card_of_runs_in_which_nothing_is_markdown(office: Office):
    record = await office.file_request(asked(tool="[x](https://evil.example)"))
    value = json.loads(body(Notice(Event.REQUESTED, record, LINK), "teams"))
    assert value["type"] == "message"
    (attachment,) = value["attachments"]
    card = attachment["content"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert {one["type"] for one in card["body"]} == {"RichTextBlock"}
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Open the request", "url": LINK}]


async def test_a_decision_is_told_with_who_made_it_and_long_names_are_cut(office: Office):
    text = json.loads(body(await decided(office), "slack"))["text"]
    assert text.splitlines()[0] == "`dana` approved `flush_all` of `corp/alice`"
    record = await office.file_request(asked(tool="x" * 300))
    value = json.loads(body(Notice(Event.REQUESTED, record, LINK), "generic"))
    assert value["data"]["tool"] == "x" * 200 + "…"


# ----------------------------------------------------------------------------------------------------- the announcer


def decision(standing: Standing | None) -> Record:
    message = Message(MessageKind.REQUEST, "tools/call", 1)
    return Record(0.0, Decision("d", Effect.DENY, Reason.APPROVAL_REQUIRED, message, approval=standing))


class Told:
    def __init__(self) -> None:
        self.ids: list[str] = []

    def filed(self, id_: str) -> None:
        self.ids.append(id_)


def test_the_sink_passes_on_what_was_filed_and_nothing_else():
    told = Told()
    sink = FilingSink(told)
    pending = ApprovalStatus.PENDING
    for standing in (None, Standing("a", pending, 1.0), Standing("b", pending, 1.0, filed=True)):
        assert sink.write(decision(standing)) is True
    assert told.ids == ["b"]


async def test_a_new_request_and_its_decision_are_told_by_the_listener(office: Office):
    async with Receiver(200).running() as receiver:
        server = office.server(hook=Hook(receiver.url, "generic", KEY))
        await server.start()
        try:
            record = await office.file_request()
            server.sink.write(decision(Standing(record.id, ApprovalStatus.PENDING, 1.0, filed=True)))
            web = await office.web(server=server, headers=office.bearer("dana"))
            answer = await web.post(f"/api/v1/requests/{record.id}/deny", json={})
            assert answer.status_code == 200
            async with asyncio.timeout(5):
                while len(receiver.got) < 2:
                    await asyncio.sleep(0.01)
        finally:
            await server.stop()
    told = {json.loads(content)["type"]: json.loads(content)["data"]["link"] for _, content in receiver.got}
    assert told == dict.fromkeys(("approval.requested", "approval.decided"), f"{server.url}/requests/{record.id}")


async def test_where_the_page_is_elsewhere_what_is_filed_here_is_told_with_its_address(office: Office):
    registry = CollectorRegistry()
    async with Receiver(200).running() as receiver:
        hook = Hook(receiver.url, "generic", KEY)
        telling = Messenger(office.store, hook, DeliveryMetrics(registry), "https://approvals.example")
        await telling.start()
        record = await office.file_request()
        telling.sink.write(decision(Standing(record.id, ApprovalStatus.PENDING, 1.0, filed=True)))
        await telling.stop()  # what is on its way is sent first
        await telling.stop()  # as good as once
    ((_, content),) = receiver.got
    assert json.loads(content)["data"]["link"] == f"https://approvals.example/requests/{record.id}"
    names = {sample.name for metric in registry.collect() for sample in metric.samples}
    # Nothing is said of a page that is not there.
    assert names - {"mcp_authz_approval_webhook_deliveries_created"} == {"mcp_authz_approval_webhook_deliveries_total"}


async def test_a_messenger_that_stops_waits_two_seconds_at_most_for_what_is_on_its_way(office: Office, monkeypatch):
    monkeypatch.setattr(messenger, "PATIENCE", 0.05)
    async with Receiver(503).running() as receiver:
        telling = Messenger(
            office.store, Hook(receiver.url, "slack"), DeliveryMetrics(CollectorRegistry()), "https://x"
        )
        await telling.start()
        telling.decided(await office.file_request())
        async with asyncio.timeout(2):  # a second try would come later
            await telling.stop()


async def test_what_cannot_be_looked_up_is_not_told_and_what_has_no_room_neither(office: Office, caplog, monkeypatch):
    setup = Setup("http://127.0.0.1:9/")
    announcer = WebhookAnnouncer(office.store, setup.webhook, lambda id_: id_, room=2)
    for id_ in ("f" * 32, "e" * 32, "d" * 32):
        announcer.filed(id_)
    assert f"request {'d' * 32} is not announced: 2 others wait already" in caplog.text

    async def away(id_):
        if id_ == "f" * 32:
            raise StoreError("down")

    monkeypatch.setattr(office.store, "record", away)
    task = asyncio.create_task(announcer.run())
    await asyncio.sleep(0.01)
    task.cancel()
    assert f"request {'f' * 32} is not announced: down" in caplog.text
    assert setup.count("dropped") == 0


async def test_without_a_webhook_nobody_is_told_and_nothing_is_kept(office: Office):
    server = office.server(address=Address("127.0.0.1", 0))
    server.sink.write(decision(Standing("a", ApprovalStatus.PENDING, 1.0, filed=True)))
    await server.stop()
