"""What a server lists -> its catalogue, classified, with nothing in it that its file could not hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from authz.app.catalog.reading import Found
from authz.app.catalog.words import visible, visible_json
from authz.errors import PolicyError
from authz.names import is_doubtful
from authz.policy.catalog.classify import classify
from authz.policy.catalog.definition import Definition, digest_of
from authz.policy.catalog.entry import Catalog, CatalogItem, CatalogTool
from authz.policy.catalog.load import parse_catalog
from authz.policy.catalog.recommend import recommend
from authz.policy.catalog.write import write_catalog

MAX_NAME = 8_192  # characters of a URI; what is longer is governed by no rule
# A server that lists a tool `*` must not get a rule for every tool out of it.
_GLOB = "in a policy its name would stand for others: it has a *"
# What the policy to start from names; templates are not in it and have a * of their own (RFC 6570, 2.4.2).
_NAMED = ("prompt", "resource")
_MAX_SCHEMA = 65_536  # characters of a schema's Python text: beyond it nobody reviews it
_MAX_SCHEMAS = 640_000  # of all together: a catalogue has at most 1 MiB, and descriptions need room too


def catalogue(found: Found, server: str, source: Mapping[str, str]) -> tuple[Catalog, tuple[str, ...]]:
    """The catalogue of `server`, and notes on what is not in it and why."""
    notes = [*found.notes]
    hints = (server, found.name, found.title, *source.values())
    tools: dict[str, CatalogTool] = {}
    left = _MAX_SCHEMAS
    for definition in found.tools:
        if is_doubtful(definition.name) or _is_hidden(definition.name) or definition.name in tools:
            notes.append(f"tool {visible(definition.name, 128)!r}: left out, its name is doubtful or there twice")
            continue
        if "*" in definition.name:
            notes.append(f"tool {definition.name!r}: left out, {_GLOB}")
            continue
        tool = _tool(definition, hints)
        size = len(repr(tool.input_schema))
        if size > _MAX_SCHEMA:
            problem = f"it has more than {_MAX_SCHEMA} characters"
        elif size > left:
            problem = f"with those before it, it would make more than {_MAX_SCHEMAS} characters"
        else:
            problem = _problem(tool)
            left -= size
        if problem:
            notes.append(f"tool {tool.name!r}: its input schema is left out, {problem}")
            tool = dataclasses.replace(tool, input_schema=None, annotations=_hints(tool.annotations))
        tools[definition.name] = tool
    catalog = Catalog(
        server=server,
        title=visible(found.title or found.name, 256),
        source=dict(source),
        protocol=found.protocol,
        tools=tools,
        prompts=_items(found.prompts, "prompt", notes),
        resources=_items(found.resources, "resource", notes),
        resource_templates=_items(found.resource_templates, "resource template", notes),
    )
    return catalog, tuple(notes)


def described(definition: Definition) -> Definition:
    """`definition` as it is shown: nothing in its texts is invisible."""
    return dataclasses.replace(
        definition,
        title=visible(definition.title, 256),
        description=visible(definition.description),
        annotations={name: value for name, value in visible_json(definition.annotations).items() if value is not None},
        input_schema=visible_json(definition.input_schema),
    )


def _tool(definition: Definition, hints: Sequence[str]) -> CatalogTool:
    seen = described(definition)
    judged = classify(seen, hints)
    return CatalogTool(
        name=seen.name,
        categories=judged.categories,
        risk=judged.risk,
        title=seen.title,
        description=seen.description,
        why=judged.why,
        confidence=judged.confidence,
        evidence=judged.evidence,
        annotations=seen.annotations,
        input_schema=seen.input_schema,
        digest=digest_of(definition),
        recommended=recommend(judged.categories, judged.risk),
    )


def _is_hidden(name: str) -> bool:
    """Whether part of a name could not be seen, so that nobody would know what it is that a rule names."""
    return name != visible(name, MAX_NAME) or "\ufe0f" in name


def _hints(annotations: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in annotations.items() if isinstance(value, bool)}


def _problem(tool: CatalogTool) -> str:
    """Why the file could not hold the tool as it is; "" where it can: it is written and read back."""
    try:
        back = parse_catalog(write_catalog(Catalog("x", tools={tool.name: tool})).encode(), "catalog/x.yaml")
    except PolicyError as error:
        return f"it cannot be written: {error.problems[0].message}"
    except (RecursionError, ValueError) as error:
        return f"it cannot be written: {str(error)[:200]}"
    return "" if back.tools[tool.name] == tool else "it would not be read back as it is"


def _items(listed: Iterable[CatalogItem], what: str, notes: list[str]) -> dict[str, CatalogItem]:
    items: dict[str, CatalogItem] = {}
    for item in listed:
        if item.key in items or not item.key or _is_hidden(item.key):
            notes.append(f"{what} {visible(item.key, 128)!r}: left out, its name is doubtful or there twice")
            continue
        if what in _NAMED and "*" in item.key:
            notes.append(f"{what} {item.key!r}: left out, {_GLOB}")
            continue
        items[item.key] = CatalogItem(
            item.key,
            visible(item.name, 256),
            visible(item.title, 256),
            visible(item.description),
            visible(item.mime_type, 128),
        )
    return items
