"""What runs in the tests: the sources as they are written, so that an edit counts at once and coverage sees it.

`make test` runs most of them a second time with what mypyc makes of the sources (hatch_build.py), but for those that
are marked `interpreted`: they replace what compiled code has built in.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

os.environ.setdefault("MCP_AUTHZ_INTERPRETED", "1")
# Between fork and exec of a child process gRPC would begin anew with descriptors that are closed, and end it (seen once
# in some thousand children; https://github.com/grpc/grpc/blob/master/doc/fork_support.md).
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    from authz import COMPILED

    if not COMPILED and os.environ["MCP_AUTHZ_INTERPRETED"] == "0":
        raise pytest.UsageError("MCP_AUTHZ_INTERPRETED=0: expected a compiled core, got none: make .venv/compiled")
    for item in items if COMPILED else ():
        if item.get_closest_marker("interpreted"):
            item.add_marker(pytest.mark.skip(reason="replaces what compiled code has built in"))
