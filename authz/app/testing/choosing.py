"""An expression as pytest's `-k` takes it -> which cases are meant. Knows nothing of cases but their ids.

A word or quoted text is looked for in the id, whatever its case; `not`, `and`, `or` and parentheses combine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from authz.errors import AuthzError

Chosen: TypeAlias = Callable[[str], bool]

_TOKEN = re.compile(r"""\s*(?:(?P<mark>[()])|"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<word>[^\s()"']+))""")
_KEYWORDS = ("and", "or", "not")


class SelectionError(AuthzError):
    """An expression that cannot be read; the text names the option."""


def parse(expression: str) -> Chosen:
    """The predicate; raises SelectionError."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while expression[at:].strip():
        found = _TOKEN.match(expression, at)
        if found is None:
            raise SelectionError(f"-k: a quote is not closed in {expression!r}")
        kind = str(found.lastgroup)
        text = found[kind]
        tokens.append(("mark" if kind == "mark" or (kind == "word" and text in _KEYWORDS) else "text", text))
        at = found.end()
    parser = _Parser(tokens, expression)
    chosen = parser.either()
    if parser.tokens:
        raise SelectionError(f"-k: expected and, or, or the end, got {parser.tokens[0][1]!r}: quote text with spaces")
    return chosen


class _Parser:
    """Takes tokens from the front; `or` binds weakest, `not` strongest."""

    def __init__(self, tokens: list[tuple[str, str]], expression: str) -> None:
        self.tokens = tokens
        self._expression = expression

    def either(self) -> Chosen:
        chosen = self._both()
        while self._take("or"):
            chosen = _or(chosen, self._both())
        return chosen

    def _both(self) -> Chosen:
        chosen = self._one()
        while self._take("and"):
            chosen = _and(chosen, self._one())
        return chosen

    def _one(self) -> Chosen:
        if self._take("not"):
            return _not(self._one())
        if self._take("("):
            chosen = self.either()
            if not self._take(")"):
                raise SelectionError(f"-k: a parenthesis is not closed in {self._expression!r}")
            return chosen
        if not self.tokens or self.tokens[0][0] == "mark":
            got = repr(self.tokens[0][1]) if self.tokens else "the end"
            raise SelectionError(f"-k: expected a word, got {got} in {self._expression!r}")
        word = self.tokens.pop(0)[1].casefold()
        return lambda id_: word in id_.casefold()

    def _take(self, mark: str) -> bool:
        if self.tokens and self.tokens[0] == ("mark", mark):
            self.tokens.pop(0)
            return True
        return False


def _or(one: Chosen, other: Chosen) -> Chosen:
    return lambda id_: one(id_) or other(id_)


def _and(one: Chosen, other: Chosen) -> Chosen:
    return lambda id_: one(id_) and other(id_)


def _not(one: Chosen) -> Chosen:
    return lambda id_: not one(id_)
