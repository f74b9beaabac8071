"""`mcp-authz version`: which program this is."""

from __future__ import annotations

import json
import platform

from authz import __version__


def run(*, as_json: bool) -> int:
    """Print the version, for people or for scripts."""
    if as_json:
        print(json.dumps({"version": __version__, "python": platform.python_version()}))
    else:
        print(f"mcp-authz {__version__} (Python {platform.python_version()})")
    return 0
