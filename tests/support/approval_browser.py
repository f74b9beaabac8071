"""A real browser on the approvals page: Debian's Chromium, driven by Playwright, with nothing downloaded."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

_QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars", "--disable-lcd-text",
)  # fmt: skip
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 1, "has_touch": True}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1000, "height": 660}, "device_scale_factor": 1}


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser with a profile of its own; the test fails where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("expected a browser: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(_QUIET))
        try:
            yield browser
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def opened(
    browser: Browser, url: str, token: str = "", *, tame: bool = True, **context: Any
) -> AsyncIterator[Page]:
    """A page in a profile of its own, logged in with `token` where there is one.

    Where it is `tame`, whatever the page complains of (a script that CSP stopped, a file that is missing) fails the
    test at the end.
    """
    complaints: list[str] = []
    profile = await browser.new_context(base_url=url, **{**DESKTOP, **context})
    page = await profile.new_page()
    page.set_default_timeout(10_000)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    try:
        if token:
            await page.goto("/login")
            await page.get_by_label("Token").fill(token)
            await page.get_by_role("button", name="Log in").click()
            await page.wait_for_url("**/")
        yield page
    finally:
        await profile.close()
    # A refusal is an answer with an error status, which the console notes and the tests look at themselves.
    assert not tame or [one for one in complaints if "Failed to load resource" not in one] == []
