"""Plain (unquoted) YAML text -> the one value that every YAML reads in it, or `Surprise`.

YAML 1.1, YAML 1.2 and people disagree about `no`, `0777`, `12:30:45`, `1e3`: what is read in two ways is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

_MAX_SHOWN = 60
_INTEGER_LIMIT = 2**63  # what every reader of JSON and CEL's int can hold
_MAX_DIGITS = 40  # beyond it a number is a mistake, and int() slow

_BOOLEANS = {"true": True, "false": False}
_YES, _NO = ("yes", "on", "y", "true"), ("no", "off", "n", "false")
_WORDS = dict.fromkeys(_YES, "true") | dict.fromkeys(_NO, "false")
_NOTHING = frozenset({"~", "null"})
_NUMERIC_START = frozenset("0123456789+-.")
_LONGEST_WORD = 5

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+")


class Surprise(ValueError):  # noqa: N818 - not wrong, but not clear
    """Text that is read in several ways, or not at all. `reading` says how, `instead` what to write for it."""

    def __init__(self, text: str, reading: str, instead: str = "") -> None:
        super().__init__(f"{shown(text)} {reading}")
        self.text = text
        self.reading = reading
        self.instead = instead

    def as_value(self, takes: tuple[type, ...] = ()) -> str:
        """The sentence for a value. `takes` are the types that can be used there, where they are known."""
        number = self.instead if takes != (str,) else ""
        if takes and str not in takes:
            return f"{self}: write {number}" if number else str(self)
        if not number and takes:
            return f"{self}: write {quoted(self.text)}"
        return f"{self}: write {f'{number}, or ' if number else ''}{quoted(self.text)} for the text"

    def as_name(self) -> str:
        """The sentence for a name, which is always text."""
        return f"a name must be text, and {self}: write {quoted(self.text)}"


def shown(text: str) -> str:
    """`repr` of what a person wrote, shortened."""
    return repr(_shortened(text, _MAX_SHOWN))


def quoted(text: str, longest: int = _MAX_SHOWN) -> str:
    """`text` as it is written in double quotes, shortened."""
    return json.dumps(_shortened(text, longest), ensure_ascii=False)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def resolve(text: str) -> str | int | float | bool:
    """The value of a plain scalar: text, a decimal number, `true` or `false`; raises Surprise."""
    if text[:1] in _NUMERIC_START:
        return _number(text)
    if len(text) <= _LONGEST_WORD:
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        folded = text.lower()
        if folded in _WORDS:
            spelling = folded in _BOOLEANS
            reading = "is not how booleans are written here" if spelling else "is a boolean to YAML 1.1 and text to 1.2"
            raise Surprise(text, reading, _WORDS[folded])
        if folded in _NOTHING:
            raise Surprise(text, "is nothing, which is allowed nowhere", "a value")
    return text


def _number(text: str) -> str | int | float:
    if len(text) <= _MAX_DIGITS:
        if _INTEGER.fullmatch(text):
            number = int(text)
            if not -_INTEGER_LIMIT <= number < _INTEGER_LIMIT:
                raise Surprise(text, "does not fit into 64 bits", "a smaller number")
            return number
        if _FLOAT.fullmatch(text):
            return float(text)
    elif _INTEGER.fullmatch(text) or _FLOAT.fullmatch(text):
        raise Surprise(text, f"has more than {_MAX_DIGITS} digits", "a shorter number")
    for pattern, reading, instead in _LOOKALIKES:
        if pattern.fullmatch(text):
            raise Surprise(text, reading, instead(text) if len(text) <= _MAX_DIGITS else "a shorter number")
    return text


def _octal(text: str) -> str:
    sign, digits = _signed(text)
    octal, decimal = int(digits, 8), int(digits)
    return f"{sign}{octal}" if octal == decimal else f"{sign}{octal} or {sign}{decimal}"


def _based(text: str) -> str:
    sign, digits = _signed(text)
    return f"{sign}{int(digits, 0)}"


def _sixties(text: str) -> str:
    sign, digits = _signed(text)
    whole, dot, fraction = digits.partition(".")
    total = 0
    for part in whole.split(":"):
        total = total * 60 + int(part)
    return f"{sign}{total}{dot}{fraction}" if fraction else f"{sign}{total}"


def _decimal(text: str) -> str:
    """`+5`, `.5`, `5.`, `1_000`, `007`, `1e3` as decimal digits."""
    sign, digits = _signed(text)
    number = float(digits)
    if not math.isfinite(number) or (number and not 1e-9 < number < 1e15):
        return "all its digits"
    return f"{sign}{int(number)}" if number.is_integer() else f"{sign}{number:.12f}".rstrip("0")


def _signed(text: str) -> tuple[str, str]:
    return "-" * text.startswith("-"), text.lstrip("+-").replace("_", "")


def _nothing(_: str) -> str:
    return ""


# Tried in this order; the types of YAML 1.1 (yaml.org/type) and the core schema of YAML 1.2 (10.3.2).
_LOOKALIKES: tuple[tuple[re.Pattern[str], str, Callable[[str], str]], ...] = (
    (re.compile(r"[-+]?0_*[0-7][0-7_]*"), "is octal to YAML 1.1 and decimal to 1.2", _octal),
    (re.compile(r"[-+]?0[0-9_]+"), "is a number to some YAML and text to other YAML", _decimal),
    (re.compile(r"[-+]?0o[0-7]+"), "is octal to YAML 1.2 and text to 1.1", _based),
    (re.compile(r"[-+]?0x_*[0-9a-fA-F][0-9a-fA-F_]*"), "is a hexadecimal number to YAML", _based),
    (re.compile(r"[-+]?0b_*[01][01_]*"), "is binary to YAML 1.1 and text to 1.2", _based),
    (re.compile(r"[-+]?[0-9][0-9_]*(?::[0-9]+)+(?:\.[0-9_]*)?"), "is a base 60 number to YAML 1.1", _sixties),
    (
        re.compile(r"(?=.*_)[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)"),
        "is a number to YAML 1.1 and text to 1.2",
        _decimal,
    ),
    (
        re.compile(r"[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)[eE][-+]?[0-9]+"),
        "is a number to some YAML and text to other YAML",
        _decimal,
    ),
    (re.compile(r"[-+]?\.(?:inf|nan)", re.IGNORECASE), "is no finite number", _nothing),
    (re.compile(r"[-+]?(?:[0-9]+\.?|[0-9]*\.[0-9]+)"), "is not how numbers are written here", _decimal),
    (re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?"), "is a date to YAML 1.1", _nothing),
)
