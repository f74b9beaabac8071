"""`mcp-authz version`: which program this is."""

from __future__ import annotations

import json
import platform

from authz import COMPILED, __version__

_KIND = "compiled" if COMPILED else "interpreted"


def run(*, as_json: bool) -> int:
    """Print the version, for people or for scripts."""
    if as_json:
        print(json.dumps({"version": __version__, "python": platform.python_version(), "compiled": COMPILED}))
    else:
        print(f"mcp-authz {__version__} (Python {platform.python_version()}, {_KIND})")
    return 0
