"""A tool's definition -> its categories and risk, with the sentence that justifies them, and how sure it is.

Everything is weighed against the caller: annotations may raise and never lower, and what nothing is known of can do
anything. A person's word, in the catalogue, wins over all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from authz.policy.catalog.definition import Definition, words_of
from authz.policy.catalog.entry import Category, Risk
from authz.policy.catalog.evidence import Evidence, found_in

_BASE = {
    Category.READ: Risk.LOW,
    Category.WRITE: Risk.MEDIUM,
    Category.EXECUTE: Risk.HIGH,
    Category.DESTRUCTIVE: Risk.HIGH,
    Category.FINANCIAL: Risk.HIGH,
}
_SAYS = {
    Category.READ: "only gives something back",
    Category.WRITE: "creates or changes something",
    Category.EXECUTE: "runs or starts something whose effects depend on the arguments and reach beyond the call",
    Category.DESTRUCTIVE: "removes or ends something that may not come back",
    Category.FINANCIAL: "moves money or commits somebody to pay",
}
_SEVERITY = (Category.FINANCIAL, Category.DESTRUCTIVE, Category.EXECUTE, Category.WRITE, Category.READ)
_RISKS = tuple(Risk)
_AGREED, _SINGLE, _NOTHING = 0.95, 0.75, 0.3
_DOUBT = 0.15  # for each further category that another sign speaks for
_SOUND = 0.5  # signs below it do not make a category by themselves


@dataclass(frozen=True, slots=True)
class Classification:
    """What a tool does, `categories` the gravest first, and why. `confidence` is from 0 to 1."""

    categories: tuple[Category, ...]
    risk: Risk
    why: str
    confidence: float
    evidence: tuple[str, ...]


def classify(definition: Definition, server: Sequence[str] = ()) -> Classification:
    """Classify one tool. `server`: the server's own name, title and package, which hint at what it is about."""
    about = frozenset(word for text in server for word in words_of(text))
    found = found_in(definition, about)
    categories = _categories(found)
    if not categories:
        text = "nothing in its definition says what it does, so it may do anything"
        said = tuple(one.text for one in found)
        return Classification((Category.EXECUTE,), Risk.HIGH, f"{Category.EXECUTE}: {text}.", _NOTHING, said)
    first = categories[0]
    base = max(_BASE[category] for category in categories)
    worse = [one for one in found if one.raises is not None and one.raises > base]
    risk = _risk(base, categories, worse)
    return Classification(
        categories,
        risk,
        _why(first, found, risk, worse),
        _confidence(first, found),
        tuple(dict.fromkeys(one.text for one in found)),
    )


def _categories(found: Iterable[Evidence]) -> tuple[Category, ...]:
    """The categories that sound evidence speaks for; a tool that also changes something is no mere reader."""
    spoken = {one.category for one in found if one.category is not None and one.strength >= _SOUND}
    weak = {one.category for one in found if one.category is not None and one.strength < _SOUND}
    if spoken & {Category.WRITE}:  # `manage`, `admin`: weak signs beside what changes already
        spoken |= weak
    graver = [category for category in _SEVERITY if category in spoken and category is not Category.READ]
    # A plain change says nothing more beside what is graver.
    graver = [one for one in graver if one is not Category.WRITE] or graver
    return tuple(graver) or ((Category.READ,) if Category.READ in spoken else ())


def _risk(base: Risk, categories: Sequence[Category], worse: Sequence[Evidence]) -> Risk:
    """The gravest category's risk; one step more for what makes it worse, or for a second grave category."""
    graver = sum(_BASE[category] >= Risk.HIGH for category in categories) > 1
    step = _RISKS.index(base) + bool(worse or graver)
    return _RISKS[min(step, len(_RISKS) - 1)]


def _confidence(first: Category, found: Sequence[Evidence]) -> float:
    agreeing = [one for one in found if one.category is first]
    others = {one.category for one in found if one.category not in (None, first)}
    sure = _AGREED if len(agreeing) > 1 else _SINGLE * max(one.strength for one in agreeing) / 0.9
    return round(max(sure - _DOUBT * len(others), _NOTHING), 2)


def _why(first: Category, found: Sequence[Evidence], risk: Risk, worse: Sequence[Evidence]) -> str:
    """One sentence: the category, what it means, the strongest sign of it, and what raises the risk."""
    sign = max((one for one in found if one.category is first), key=lambda one: one.strength)
    text = f"{first}, because it {_SAYS[first]}: {sign.text}"
    if risk > _BASE[first] and worse and worse[0] is not sign:
        text += f"; the risk is {risk}, because {worse[0].text}"
    return f"{text}."
