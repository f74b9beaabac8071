"""Real servers that end with the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from valkey_server import ValkeyServer


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """One server for the tests of a file."""
    with ValkeyServer() as running:
        yield running
