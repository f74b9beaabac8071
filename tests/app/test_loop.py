"""The event loop of the service."""

from __future__ import annotations

import asyncio
import sys

import pytest

from authz.app import loop


def test_it_is_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")
    assert loop.factory() is uvloop.new_event_loop


def test_without_uvloop_it_is_asyncios_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop.factory() is asyncio.new_event_loop
