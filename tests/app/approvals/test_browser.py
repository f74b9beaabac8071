"""The page in a real browser: what people do, what hostile calls look like, and that everybody can use it (axe)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import uvicorn
from approval_browser import DESKTOP, PHONE, chromium, opened
from approval_office import Office, asked
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from authz.app.approvals.server import ApprovalsServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
HOSTILE = {
    SCRIPT: SCRIPT,
    "bidi": "invoice_\u202efdp.exe",
    "twin": "аdmin",
    "long": "".join(chr(97 + n % 26) for n in range(60_000)) + "END",
    **{f"member{n:03}": n for n in range(500)},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    office = Office(tmp_path)
    yield office
    await office.close()


@pytest_asyncio.fixture(loop_scope="module")
async def server(office: Office) -> AsyncIterator[ApprovalsServer]:
    server = office.server()
    await server.start()
    yield server
    await server.stop()


async def test_an_approver_logs_in_and_approves_what_they_see(office: Office, server, browser):
    record = await office.file_request()
    async with opened(browser, server.url) as page:
        await page.goto(f"/requests/{record.id}")
        assert page.url.endswith(f"/login?request={record.id}")
        await page.get_by_label("Token").fill(office.tokens["dana"])
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/requests/{record.id}")
        assert await page.get_by_text(record.request.digest.hex()).is_visible()
        await page.get_by_role("button", name="Approve this call").click()
        await page.get_by_text("granted, not used yet").wait_for()
        assert await page.get_by_role("button", name="Approve this call").count() == 0
    assert await office.status(record.id) == "granted"


async def test_an_approver_denies_with_a_comment_and_without_javascript(office: Office, server, browser):
    record = await office.file_request()
    async with opened(browser, server.url, office.tokens["dana"], java_script_enabled=False) as page:
        await page.get_by_role("link", name="delete_cache").click()
        await page.get_by_label("Comment").fill("not on a Friday")
        await page.get_by_role("button", name="Deny").click()
        await page.get_by_text("dana denied it").wait_for()
        assert await page.get_by_text("not on a Friday").is_visible()
        await page.get_by_role("link", name="History").click()
        assert await page.get_by_text("denied by dana").is_visible()
        await page.get_by_role("button", name="Log out").click()
        await page.wait_for_url("**/login")
    assert await office.status(record.id) == "denied"


async def test_who_has_no_right_gets_nothing_and_who_asks_no_button(office: Office, server, browser):
    record = await office.file_request()
    async with opened(browser, server.url, office.tokens["frank"]) as page:
        assert await page.get_by_text("Nothing waits for you.").is_visible()
        answer = await page.goto(f"/requests/{record.id}")
        assert answer is not None
        assert answer.status == 404
    async with opened(browser, server.url, office.tokens["alice"]) as page:
        await page.goto(f"/requests/{record.id}")
        assert await page.get_by_text("You cannot approve this.").is_visible()
        assert await page.get_by_role("button", name="Approve this call").count() == 0
    assert await office.status(record.id) == "pending"


async def test_a_hostile_call_is_inert_visible_and_complete(office: Office, server, browser):
    record = await office.file_request(asked(HOSTILE, tool=SCRIPT))
    async with opened(browser, server.url, office.tokens["dana"]) as page:
        assert await page.get_by_role("link", name=SCRIPT).is_visible()
        await page.goto(f"/requests/{record.id}")
        assert "owned" not in (await page.title()).replace(SCRIPT, "")
        assert await page.locator("main img, main script, main a:not([href^='/'])").count() == 0
        assert (await page.locator(".params .mark").all_text_contents()).count("⟨U+202E⟩") == 1
        marks = page.locator(".params .mark", has_text="⟨U+202E⟩")
        assert await marks.get_attribute("title") == "RIGHT-TO-LEFT OVERRIDE"
        assert await page.get_by_text("аdmin").count() == 0  # a mark stands between the letters
        folded = page.locator(".params details")
        assert await folded.count() == 2
        assert await page.get_by_text("2 parts folded").is_visible()
        for at in range(2):
            await folded.nth(at).locator("summary").first.click()
        text = await page.locator(".params").first.inner_text()
        assert HOSTILE["long"] in text
        assert all(f"member{n:03}" in text for n in range(500))
        wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0


async def test_what_comes_and_goes_appears_by_itself_and_keeps_a_comment_being_written(office: Office, server, browser):
    async with opened(browser, server.url, office.tokens["dana"]) as page:
        assert await page.get_by_text("Nothing waits for you.").is_visible()
        record = await office.file_request()
        await page.get_by_role("link", name="delete_cache").wait_for()
        await page.get_by_text("The list has changed: 1 pending.").wait_for()
        await page.get_by_role("link", name="delete_cache").click()
        await page.get_by_label("Comment").fill("half a thou")
        await asyncio.sleep(0.3)  # until the page listens
        web = await office.web(server=server, headers=office.bearer("erin"))
        await web.post(f"/api/v1/requests/{record.id}/deny", json={})
        await page.locator(".status", has_text="denied").wait_for()
        assert await page.get_by_label("Comment").input_value() == "half a thou"
        await page.get_by_role("link", name="Load it again").click()
        await page.get_by_text("erin denied it").wait_for()


@contextlib.asynccontextmanager
async def another_site(html: str) -> AsyncIterator[str]:
    """A site on another port: for cookies the same site, so that even a strict one comes along."""

    async def evil(_: Request) -> HTMLResponse:
        return HTMLResponse(html)

    config = uvicorn.Config(Starlette(routes=[Route("/", evil)]), port=0, log_config=None, lifespan="off")
    bound = config.bind_socket()
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([bound]))
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
    finally:
        server.should_exit = True
        await task


async def test_another_site_can_neither_frame_the_page_nor_send_its_forms(office: Office, server, browser):
    record = await office.file_request()
    target = f"{server.url}/requests/{record.id}"
    html = f"""<iframe src="{target}"></iframe><form method="post" action="{target}/approve"><button>Win</button></form>
    <form method="post" enctype="text/plain" action="{target}/approve"><button>Prize</button></form>"""
    async with (
        another_site(html) as evil,
        opened(browser, server.url, office.tokens["dana"], tame=False) as page,
    ):
        for button in ("Win", "Prize"):
            await page.goto(evil)
            frame = page.frames[1]
            assert await frame.get_by_text("Who asks").count() == 0
            async with page.expect_navigation() as navigation:
                await page.get_by_role("button", name=button).click()
            answer = await navigation.value
            assert answer is not None
            assert (answer.url, answer.status) == (f"{target}/approve", 403)
            cookie = (await answer.request.all_headers()).get("cookie", "")
            assert cookie.startswith("approvals=")  # it was the session's own browser that was used
        assert await office.status(record.id) == "pending"


async def check(page: Page, place: str) -> None:
    """Fail with what axe has to say of this page."""
    found = await Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]})
    assert found.violations_count == 0, f"{place}: {found.generate_report()}"


@pytest.mark.parametrize(("device", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
async def test_axe_finds_nothing_on_any_page(office: Office, server, browser, scheme, device):
    small = {**HOSTILE, "long": "long " * 200, "list": [True, None, {"a": ""}], "none": {}}
    record = await office.file_request(asked(dict(list(small.items())[:50] + list(small.items())[-2:])))
    several = await office.file_request(asked(tool="several", by=((), ("group:dba",)), anonymous=True, claim=""))
    denied = await office.file_request(asked(tool="flush_all"))
    web = await office.web(server=server, headers=office.bearer("dana"))
    await web.post(f"/api/v1/requests/{denied.id}/deny", json={"comment": "no\u202e"})
    async with opened(browser, server.url, color_scheme=scheme, **device) as page:
        for path in ("/login", "/requests/x"):
            await page.goto(path)
            await check(page, path)
        await page.goto("/login")
        await page.get_by_label("Token").fill("wrong")
        await page.get_by_role("button", name="Log in").click()
        await check(page, "a failed log-in")
    async with opened(browser, server.url, office.tokens["dana"], color_scheme=scheme, **device) as page:
        ids = (record.id, several.id, denied.id, "x")
        for path in ("/", "/history", "/?tool=none", "/nothing", *(f"/requests/{id_}" for id_ in ids)):
            await page.goto(path)
            await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
            await check(page, path)
            wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, path
