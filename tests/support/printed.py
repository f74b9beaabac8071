"""Lines for a terminal -> what a terminal would be sent, without colours."""

from __future__ import annotations

import io
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text


def printed(lines: Iterable[Text] | Text) -> str:
    """The text of `lines`, one below the other."""
    out = io.StringIO()
    console = Console(file=out, soft_wrap=True, highlight=False, markup=False, emoji=False)
    for line in [lines] if isinstance(lines, Text) else lines:
        console.print(line)
    return out.getvalue()
