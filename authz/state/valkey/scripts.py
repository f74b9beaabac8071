"""The files in `lua/` -> scripts: each is the parts that it needs, one after the other. Knows no server."""

from __future__ import annotations

from importlib.resources import files

from authz.state.valkey.server import Script


def _script(name: str, *parts: str) -> Script:
    folder = files(__package__) / "lua"
    return Script(name, "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in (*parts, name)))


_COUNTERS = ("numbers", "sliding", "fixed", "bucket", "counters", "sessions", "charges", "giving")

DISCHARGE = _script("discharge", *_COUNTERS, "repeats")
_GRANTS = (*_COUNTERS, "repeats", "grants")
APPROVE = _script("approve", *_GRANTS)
LIST = _script("list", *_GRANTS)
READ = _script("read", *_GRANTS)
RULE = _script("rule", *_GRANTS)
INDEX = _script("index", *_GRANTS)
UNDO = _script("undo", *_COUNTERS, "repeats")
USAGE = _script("usage", *_COUNTERS)
FORGET = _script("forget")
BEAT = _script("beat", *_COUNTERS)
AWAY = _script("away")
LIMITS = _script("limits")
STRIP = _script("strip")
