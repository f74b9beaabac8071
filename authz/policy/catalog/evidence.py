"""One definition -> the evidence in it: each sign, what it tells, and the sentence that says so. It weighs nothing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from authz.policy.catalog import signs
from authz.policy.catalog.definition import Definition, words_of
from authz.policy.catalog.entry import Category, Risk

_EXAMINED = 600  # characters of a description: what comes later is usage notes and examples
_MAX_ACTIONS = 40  # values of one enumeration
_BOILERPLATE = re.compile(
    r"^(?:[^a-z]*\bthis (?:tool|function|action|endpoint) "
    r"(?:will |can |is used to |allows you to |lets you |helps to |helps )?"
    r"|tool (?:to|for) |use this (?:tool )?to |[\w -]{1,24}\| ?|[^a-z0-9]+)",
)
_NEGATED = re.compile(r"\b(?:not|never|no|non|without|cannot|doesn't|don't|instead of|rather than)\b[^.]{0,24}$|non-$")
_SPLIT = re.compile(r"(?<=[.!?])\s|\n")
_PREFIX = 3  # words of a name before its verb: `slack`, `API`, `awslabs_valkey`


@dataclass(frozen=True, slots=True)
class Evidence:
    """One sign: the category it speaks for (None: it bears on the risk alone), and why.

    `strength` is from 0 to 1: how seldom a sign of its kind misleads. `raises` is the risk up to which it makes a tool
    more dangerous by one step; None: it does not.
    """

    text: str
    category: Category | None = None
    strength: float = 0.5
    raises: Risk | None = None


def found_in(definition: Definition, about: frozenset[str]) -> tuple[Evidence, ...]:
    """All evidence in `definition`, the strongest kind first. `about`: words of the server's own name and title."""
    return (
        *_of_name(definition, about),
        *_of_description(definition, about),
        *_of_arguments(definition),
        *_of_money(definition, about),
        *_of_annotations(definition),
    )


def lead_verb(words: tuple[str, ...], skip: int = 0) -> str:
    """The first of `words` that is a verb of the tables, looking no further than a few words; "" where none is."""
    for word in words[: _PREFIX + skip]:
        if word in signs.VERBS or word in signs.WHOLESALE:
            return word
    return ""


def first_sentences(description: str) -> str:
    """The part of a description that says what the tool does, in lower case and one line."""
    return " ".join(description[:_EXAMINED].lower().split())


def _of_name(definition: Definition, about: frozenset[str]) -> Iterator[Evidence]:
    words = words_of(definition.name)
    own = tuple(word for word in words if word not in about) or words
    lead = lead_verb(own)
    if about & signs.BROWSERS and any(word in signs.PAGE_VERBS for word in own[:_PREFIX]):
        # `drop` and `select` are no words of a database there.
        yield Evidence("it acts in a browser, where what happens is up to the page", Category.EXECUTE, 0.8)
    elif lead in signs.WHOLESALE:
        text = f"name says {lead!r}, which is every verb at once"
        yield Evidence(text, Category.WRITE, 0.6)
        yield Evidence(text, Category.DESTRUCTIVE, 0.4)
    elif lead:
        category = signs.VERBS[lead]
        begins = "begins with" if own[0] == lead else "has"
        yield Evidence(f"name {begins} the verb {lead!r}", category, 0.9 if own[0] == lead else 0.75)
    for joint, word in itertools.pairwise(own):
        if joint in signs.JOINTS and word in signs.VERBS:
            yield Evidence(f"name also has the verb {word!r}", signs.VERBS[word], 0.8)


def _of_description(definition: Definition, about: frozenset[str]) -> Iterator[Evidence]:
    text = first_sentences(definition.description)
    verb = described_verb(text)
    lead = lead_verb(tuple(word for word in words_of(definition.name) if word not in about))
    # "Run a find query", "Perform a search": what is run is told by the name.
    told = signs.VERBS.get(lead) is Category.READ and signs.VERBS.get(verb) is Category.EXECUTE
    if verb and not told and not (about & signs.BROWSERS and verb in signs.PAGE_VERBS):
        yield Evidence(f"description begins with the verb {verb!r}", signs.VERBS[verb], 0.7)
    for pattern, category, sentence in signs.PHRASES:
        for hit in re.finditer(pattern, text):
            if not _NEGATED.search(text[: hit.start()]):
                yield Evidence(sentence, category, 0.6)
                break


def described_verb(text: str) -> str:
    """The verb that a description begins with, in its plain form; "" where it begins with none of the tables'."""
    before = None
    while before != text:
        before, text = text, _BOILERPLATE.sub("", text, count=1)
    sentence = _SPLIT.split(text, maxsplit=1)[0]
    return next((plain for word in words_of(sentence)[:2] if (plain := _plain(word)) in signs.VERBS), "")


def _plain(word: str) -> str:
    """`deletes`, `fetches`, `copies`, `creating` in the form of the tables, where they have it."""
    forms = [word]
    if word.endswith("s"):
        forms += [word[:-1], word[:-2], word[:-3] + "y"]
    if word.endswith("ing"):
        forms += [word[:-3], word[:-3] + "e", word[:-4]]
    return next((form for form in forms if form in signs.VERBS), word)


def _of_arguments(definition: Definition) -> Iterator[Evidence]:
    text = first_sentences(definition.description)
    for name, schema in definition.arguments.items():
        key = "_".join(words_of(name))
        words = frozenset(key.split("_"))
        described = _described(schema)
        if _is_code(key, schema, text, described):
            yield Evidence(f"argument {name!r} takes what is run", Category.EXECUTE, 0.8, Risk.CRITICAL)
        if key in signs.SWITCHES:
            yield from _of_switch(name, schema)
        if key in signs.OUTPUT_ARGUMENTS:
            yield Evidence(f"argument {name!r} says where the result is written", Category.WRITE, 0.6)
        if key in signs.SWEEPING:
            yield Evidence(f"argument {name!r} widens what it does", raises=Risk.CRITICAL)
        if words & signs.RIGHTS:
            yield Evidence(f"argument {name!r} is about rights", raises=Risk.HIGH)
        if key in signs.URL_ARGUMENTS:
            yield Evidence(f"argument {name!r} lets the caller choose an address", raises=Risk.HIGH)
        elif key in signs.PATH_ARGUMENTS:
            yield Evidence(f"argument {name!r} lets the caller choose a file", raises=Risk.HIGH)
    named = frozenset(words_of(definition.name))
    if named & signs.SECRETS:
        yield Evidence("it is about secrets", raises=Risk.HIGH)
    personal = re.search(signs.PERSONAL, f"{' '.join(words_of(definition.name))} {text}")
    if personal:
        yield Evidence(f"it is about people's data ({personal[1]!r})", raises=Risk.HIGH)


def _is_code(key: str, schema: Any, text: str, described: str) -> bool:
    kind = schema.get("type", "string") if isinstance(schema, Mapping) else "string"
    if kind in ("integer", "number", "boolean") or any(word in described for word in signs.NO_CODE):
        return False
    if isinstance(schema, Mapping) and "enum" in schema:
        return False
    if key in signs.QUERY:
        return any(re.search(rf"\b{word}s?\b", f"{text} {described}") for word in signs.LANGUAGES)
    return key in signs.CODE


def _of_switch(name: str, schema: Any) -> Iterator[Evidence]:
    """What the values of an enumerated `action` say; HTTP methods say that anything can be asked for."""
    values = schema.get("enum") if isinstance(schema, Mapping) else None
    if not isinstance(values, list):
        if "_".join(words_of(name)) in signs.HTTP_METHODS and "http" in _described(schema):
            yield Evidence(f"argument {name!r} is the HTTP method of any request", Category.EXECUTE, 0.7)
        return
    seen: set[Category] = set()
    for value in values[:_MAX_ACTIONS]:
        verb = lead_verb(words_of(value)) if isinstance(value, str) else ""
        category = signs.VERBS.get(verb)
        if category is not None and category not in seen:
            seen.add(category)
            yield Evidence(f"argument {name!r} can be {value!r}", category, 0.8)


def _of_money(definition: Definition, about: frozenset[str]) -> Iterator[Evidence]:
    """Money is moved or owed where a changing tool acts on what is money, or may be while something else says so."""
    words = words_of(definition.name)
    verb = lead_verb(words)
    if signs.VERBS.get(verb, Category.WRITE) is Category.READ:
        return
    named = frozenset(words)
    surely = sorted(named & signs.MONEY)
    if surely and verb:
        yield Evidence(f"it acts on {surely[0]!r}", Category.FINANCIAL, 0.85)
        return
    amounts = [name for name in definition.arguments if "_".join(words_of(name)) in signs.MONEY_ARGUMENTS]
    text = first_sentences(definition.description)
    phrase = next((one for one in signs.MONEY_PHRASES if one in text), "")
    business = sorted(about & signs.MONEY_SERVERS)
    maybe = sorted(named & signs.MAYBE_MONEY)
    if maybe and (phrase or business or len(amounts) > 1):
        more = f"the server is about {business[0]!r}" if business else f"the description says {phrase!r}"
        more = more if phrase or business else f"it takes {amounts[0]!r} and {amounts[1]!r}"
        yield Evidence(f"it acts on {maybe[0]!r}, and {more}", Category.FINANCIAL, 0.75)
    elif business and amounts:
        yield Evidence(f"it takes {amounts[0]!r}, and the server is about {business[0]!r}", Category.FINANCIAL, 0.6)


def _of_annotations(definition: Definition) -> Iterator[Evidence]:
    """Hints of the server may make things worse; what they say in its favour counts for nothing."""
    hints = definition.annotations
    if hints.get("readOnlyHint") is False:
        yield Evidence("its server says that it is not read-only", Category.WRITE, 0.6)
    if hints.get("destructiveHint") is True and hints.get("readOnlyHint") is not True:
        yield Evidence("its server says that it may destroy", raises=Risk.HIGH)


def _described(schema: Any) -> str:
    text = schema.get("description") if isinstance(schema, Mapping) else None
    return " ".join(text[:_EXAMINED].lower().split()) if isinstance(text, str) else ""
