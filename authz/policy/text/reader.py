"""Events of libyaml -> plain values, where each begins, and a problem for whatever YAML lets be read in two ways.

Knows nothing of what the keys mean. Events, because libyaml's own composer crashes on deep nesting.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from yaml import YAMLError
from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs do not export what cyaml imports
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
)

from authz.errors import Problem
from authz.policy.text.scalar import Surprise, quoted, resolve, shown

Path: TypeAlias = tuple[str | int, ...]

MAX_DEPTH = 32  # policies/README.md 10; libyaml takes 44 s for 200,000 open brackets, so reading stops there
MAX_PROBLEMS = 1000  # of one file; a broken generator must not flood the log

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_$*/-]+")
# What YAML forbids (5.1), what it takes for a line break and editors do not, and what reorders the text in an editor.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]|\r(?!\n)")
# Shown as nothing although their category says otherwise (Default_Ignorable_Code_Point, and the blank Braille cell).
_INVISIBLE = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_HINTS = {
    "mapping values are not allowed in this context": "a text with ': ' in it needs quotes, and members align",
    "did not find expected alphabetic or numeric character": "what begins with * or & needs quotes",
    "found character that cannot start any token": "what begins with @, ` or % needs quotes, and a tab does not indent",
    "found a tab character that violates indentation": "indent with spaces",
    "found unexpected end of stream": "a quote is not closed",
    "could not find expected ':'": "a key needs ': ' and a value; is the file cut off?",
    "did not find expected key": "members of a mapping align, and a text with quotes in it is quoted as a whole",
    "did not find expected node content": "a value is missing, or a { or [ is not closed",
    "did not find expected ',' or '}'": "a { is not closed",
    "did not find expected ',' or ']'": "a [ is not closed",
}
_MAX_NAME_SHOWN = 256


def render_path(path: Path) -> str:
    """`tools.transfer.rules[0].action`; names with other characters than ASCII letters, digits and `_-$*/` quoted."""
    rendered = ""
    for part in path:
        if isinstance(part, int):
            rendered += f"[{part}]"
        elif _PLAIN_NAME.fullmatch(part):
            rendered += f".{part}" if rendered else part
        else:
            rendered += f"[{_visible(part)}]"
    return rendered


def place_of(text: str, start: int) -> tuple[int, int]:
    """Line and column of a character of `text`, both from 1."""
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


class _Stop(Exception):  # noqa: N818 - no error: what follows is not worth reading
    """Reading ends here; the problem is noted."""


class Reader:
    """Reads one file once. `problems` says what is wrong, `starts` where each key and value begins, in their order.

    `takes` are the types that the value of a top-level key may have, where they are known; `nullable` says where
    `null` is a value, which elsewhere is a problem.
    """

    __slots__ = ("dropped", "file", "known", "next", "nullable", "problems", "starts", "takes", "text")

    def __init__(
        self, text: str, file: str, takes: Mapping[str, tuple[type, ...]], nullable: Callable[[Path], bool]
    ) -> None:
        self.text = text
        self.file = file
        self.takes = takes
        self.nullable = nullable
        self.starts = array("I")
        self.problems: list[Problem] = []
        self.dropped = 0
        self.next: Callable[[], Any]  # the next event
        self.known: dict[str, Any] = {}  # plain text that was resolved, for most of it comes again and again

    def note(self, start: int, path: Path, message: str) -> None:
        """Note a problem at the character `start`."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(self.file, *place_of(self.text, start), render_path(path), message))
        else:
            self.dropped += 1

    def read(self) -> Any:
        """The value of the only document, None where there is none.

        If problems were noted, None also stands for each value that could not be read, and names are left out that
        are none; every such place has a problem at its path.
        """
        if not (self.text.isascii() and self.text.replace("\n", "").isprintable()):
            self._check_characters()
            if self.problems:
                return None
        self.next = CParser(self.text.encode()).get_event
        try:
            return self._document()
        except _Stop:
            return None
        except YAMLError as error:
            self._note_syntax(error)
            return None

    def _check_characters(self) -> None:
        """Note what must not stand in the file as it is, be it in a comment."""
        for match in _FORBIDDEN.finditer(self.text):
            if match[0] == "\r":
                self.note(match.start(), (), "a carriage return without a line feed is not allowed")
            else:
                code = f"U+{ord(match[0]):04X}"
                message = f"the character {code} is not allowed: write it as an escape in double quotes"
                self.note(match.start(), (), message)

    def _document(self) -> Any:
        self.next()  # the start of the stream
        event = self.next()
        if type(event) is not DocumentStartEvent:
            self._note_empty()
            return None
        if event.version or event.tags:
            self.note(_start(event), (), "directives are not allowed: remove the lines that begin with %")
        event = self.next()
        if isinstance(event, ScalarEvent) and not (event.value or event.style or event.tag or event.anchor):
            self._note_empty()
            return None
        value = self._node(event, (), 1)
        self.next()  # the end of the document
        event = self.next()
        if type(event) is DocumentStartEvent:
            self.note(_start(event), (), "expected one document, a second one begins here")
        return value

    def _node(self, event: Any, path: Path, depth: int) -> Any:
        """The value that begins with `event`."""
        kind = type(event)
        start = event.start_mark.index
        self.starts.append(start)
        if kind is AliasEvent:
            name = quoted(f"*{event.anchor}")
            self.note(start, path, f"aliases are not allowed: write the value out, or {name} if a * begins the text")
            return None
        if event.tag is not None or event.anchor is not None:
            self._note_properties(event, path)
        if kind is ScalarEvent:
            if event.style or event.tag:
                return event.value
            value = self.known.get(event.value)
            return self._plain(event.value, start, path) if value is None else value
        if depth > MAX_DEPTH:
            self.note(start, path, f"nested deeper than {MAX_DEPTH} levels")
            raise _Stop
        return self._mapping(path, depth) if kind is MappingStartEvent else self._sequence(path, depth)

    def _sequence(self, path: Path, depth: int) -> list[Any]:
        entries: list[Any] = []
        while type(event := self.next()) is not SequenceEndEvent:
            value = self._usual(event)
            entries.append(self._node(event, (*path, len(entries)), depth + 1) if value is None else value)
        return entries

    def _usual(self, event: Any) -> Any:
        """The value of a scalar like most, None of any other event: nothing is to be said of it, nor of its place."""
        if type(event) is not ScalarEvent or event.tag is not None or event.anchor is not None:
            return None
        value = event.value if event.style else self.known.get(event.value)
        if value is not None:
            self.starts.append(_start(event))
        return value

    def _mapping(self, path: Path, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        starts: list[int] = []  # of the keys in `members`, in order
        while type(event := self.next()) is not MappingEndEvent:
            begun = len(self.starts)
            usual = self._usual(event)
            if type(usual) is str and not event.style and usual not in members:
                following = self.next()
                value = self._usual(following)
                members[usual] = self._node(following, (*path, usual), depth + 1) if value is None else value
                starts.append(event.start_mark.index)
                continue
            del self.starts[begun:]
            name = self._name(event, path, depth)
            label = name or getattr(event, "value", "") or f"?{_start(event)}"
            value = self._node(self.next(), (*path, label), depth + 1)
            if not name:
                del self.starts[begun:]
            elif name in members:
                del self.starts[begun:]
                line, column = place_of(self.text, starts[list(members).index(name)])
                message = f"duplicate key {shown(name)}, first at {line}:{column}"
                self.note(event.start_mark.index, (*path, name), message)
            else:
                members[name] = value
                starts.append(event.start_mark.index)
        return members

    def _name(self, event: Any, path: Path, depth: int) -> str:
        """The key that begins with `event`; "" where it is none, which is noted."""
        start = _start(event)
        if type(event) is AliasEvent:
            alias = f"*{event.anchor}"
            self._node(event, (*path, alias), depth + 1)
            return alias
        if type(event) is not ScalarEvent:
            self.note(start, path, "a name must be text, got a mapping or list: what begins with { or [ needs quotes")
            noted = len(self.problems)
            self._node(event, path, depth + 1)
            del self.problems[noted:]  # what is inside of it is not worth a word
            return ""
        name: str = event.value
        self.starts.append(start)
        if event.tag is not None or event.anchor is not None:
            self._note_properties(event, (*path, name))
        elif not event.style:
            if self.known.get(name) == name:
                return name
            self._plain(name, start, (*path, name) if name else path, is_name=True)
            if name == "<<":
                return ""
        elif not name:
            self.note(start, path, "a name must not be empty")
        if not (name.isascii() and name.isprintable()):
            self._check_visible(event, (*path, name))
        return name

    def _plain(self, text: str, start: int, path: Path, is_name: bool = False) -> Any:
        """The value of plain text, None with a problem noted."""
        if not text:
            self.note(start, path, "a name must not be empty" if is_name else "expected a value, got nothing")
            return None
        try:
            value = resolve(text)
        except Surprise as surprise:
            if text == "null" and not is_name and self.nullable(path):
                return None
            takes = self.takes.get(str(path[0]), ()) if path else ()
            self.note(start, path, surprise.as_name() if is_name else surprise.as_value(takes))
            return None
        if is_name and value is not text:
            self.note(start, path, f"a name must be text, got {shown(text)}: write {quoted(text)}")
        elif is_name and text == "<<":
            self.note(start, path, "merge keys are not allowed: write the members out")
        elif (
            text != "<<" and text.isascii() and text.isprintable()
        ):  # a name of other characters is looked at each time
            self.known[text] = value
        return value

    def _check_visible(self, event: Any, path: Path) -> None:
        """Note a name that looks like another: control characters always, invisible ones unless they are escaped."""
        written = self.text[event.start_mark.index : event.end_mark.index]
        control = next((character for character in event.value if unicodedata.category(character) == "Cc"), "")
        hidden = control or next((character for character in written if _is_invisible(character)), "")
        if hidden:
            kind = "a control character" if control else "an invisible character"
            advice = "" if control else ": write it as an escape in double quotes"
            self.note(event.start_mark.index, path, f"the name has {kind}, U+{ord(hidden):04X}{advice}")

    def _note_properties(self, event: Any, path: Path) -> None:
        start = event.start_mark.index
        if event.anchor is not None:
            self.note(start, path, f"anchors are not allowed, got {shown(f'&{event.anchor}')}: write the value out")
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!", 1)
            self.note(start, path, f"tags are not allowed, got {shown(tag)}: remove it")

    def _note_empty(self) -> None:
        self.problems.append(Problem(self.file, 0, 0, "", "the file is empty, expected a mapping"))

    def _note_syntax(self, error: YAMLError) -> None:
        """libyaml's words with ours, at libyaml's place."""
        sentence = getattr(error, "problem", None) or "unreadable"
        hint = f" ({_HINTS[sentence]})" if sentence in _HINTS else ""
        mark, begin = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
        place = place_of(self.text, min(mark.index, len(self.text))) if mark else (0, 0)
        since = place_of(self.text, min(begin.index, len(self.text))) if begin else place
        where = f", {error.context} from {since[0]}:{since[1]}" if since != place else ""  # type: ignore[attr-defined]
        self.problems.append(Problem(self.file, *place, "", f"not YAML: {sentence}{where}{hint}"))


def _start(event: Any) -> int:
    index: int = event.start_mark.index
    return index


def _is_invisible(character: str) -> bool:
    return (not character.isprintable() and character not in "\n\r\t") or _INVISIBLE.match(character) is not None


def _visible(name: str) -> str:
    """`name` in double quotes, with an escape for what cannot be seen."""
    return "".join(f"\\u{ord(c):04x}" if _is_invisible(c) else c for c in quoted(name, _MAX_NAME_SHOWN))
