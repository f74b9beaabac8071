"""A word that is not of a closed set -> the one of the set that was probably meant, in words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST = 100  # characters; difflib is quadratic


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """`, did you mean 'allow'?` where one of `options` is close to `word`, else nothing."""
    folded = {option.casefold(): option for option in reversed(list(options))}
    close = difflib.get_close_matches(word[:_LONGEST].casefold(), list(folded), n=1)
    return f", did you mean {folded[close[0]]!r}?" if close else ""
