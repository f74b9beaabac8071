"""An office with approvers, requests and a listener."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from approval_office import Office


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    office = Office(tmp_path)
    yield office
    await office.close()
