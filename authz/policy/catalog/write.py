"""`Catalog` -> the text of its file, as the strict reader takes it back: what is written is what is read.

Raises ValueError for what no catalogue file can hold. It writes no file.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import yaml

from authz.policy.catalog.entry import Catalog, CatalogItem, CatalogTool
from authz.policy.text.scalar import Surprise, resolve

_WIDTH = 120
_HEAD = (
    "# A person's word counts: `reviewed: true` keeps categories, risk, why and recommended of a tool in a new scan.\n"
)
# What needs quotes as plain text, and what would need escapes in double ones: an apostrophe alone needs neither.
_QUOTED = re.compile(r"^[-?:,\[\]{}#&*!|>'\"%@`]|: | #|:$")
_ESCAPED = re.compile(r'["\\]')


class _Flow(dict[str, Any]):
    """A mapping that is written in one line where it fits."""


class _FlowList(list[Any]):
    """A list that is written in one line where it fits."""


class _Writer(yaml.SafeDumper):
    """Plain text is left plain only where every YAML reads it as that text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def process_scalar(self) -> None:
        # The strict reader takes what cannot be seen in a name only as an escape.
        self.allow_unicode = not _is_veiled(getattr(self.event, "value", ""))
        super().process_scalar()

    def check_simple_key(self) -> bool:
        # Long names are written like others: `? name` is YAML that few people can read.
        return isinstance(self.event, yaml.ScalarEvent) or bool(super().check_simple_key())


def write_catalog(catalog: Catalog) -> str:
    """The YAML text of `catalog`, with keys in the order in which people read them."""
    raw: dict[str, Any] = {"version": 1, "server": catalog.server}
    raw |= _given(title=catalog.title, source=_Flow(catalog.source), protocol=catalog.protocol)
    raw |= _given(tools={name: _tool(tool) for name, tool in catalog.tools.items()})
    for key in ("prompts", "resources", "resource_templates"):
        items: Mapping[str, CatalogItem] = getattr(catalog, key)
        raw |= _given(**{key: {name: _item(item) for name, item in items.items()}})
    return _HEAD + dump(raw)


def dump(value: Any, *, indent: int = 0) -> str:
    """`value` as strict YAML, each line after `indent` spaces."""
    text: str = yaml.dump(value, Dumper=_Writer, width=_WIDTH - indent, allow_unicode=True, sort_keys=False)
    return "".join(f"{' ' * indent}{line}" if line.strip() else line for line in io.StringIO(text))


def block(rule: Mapping[str, Any] | str) -> Any:
    """A recommended rule as it is laid out in files: its action on its own, what is short in one line."""
    if isinstance(rule, str):
        return rule
    flat = not any(isinstance(member, Mapping | list) and len(str(member)) > _WIDTH // 2 for member in rule.values())
    return flow(rule) if flat and len(str(rule)) < _WIDTH - 20 else {key: flow(member) for key, member in rule.items()}


def flow(value: Any) -> Any:
    """`value` with every mapping and list in it written in one line where it fits."""
    if isinstance(value, Mapping):
        return _Flow({key: flow(member) for key, member in value.items()})
    if isinstance(value, list | tuple):
        return _FlowList([flow(entry) for entry in value])
    return value


def _tool(tool: CatalogTool) -> dict[str, Any]:
    found: dict[str, Any] = _given(title=tool.title, description=tool.description)
    found |= {"categories": _FlowList([category.value for category in tool.categories]), "risk": tool.risk.value}
    found |= _given(why=tool.why)
    if tool.confidence is not None:
        found["confidence"] = tool.confidence
    found |= _given(evidence=list(tool.evidence), reviewed=tool.reviewed, annotations=flow(dict(tool.annotations)))
    found |= _given(digest=tool.digest)
    if tool.recommended is not None:
        found["recommended"] = block(tool.recommended)
    if tool.input_schema is not None:
        found["input_schema"] = flow(dict(tool.input_schema))
    return found


def _item(item: CatalogItem) -> dict[str, Any]:
    return _given(name=item.name, title=item.title, description=item.description, mime_type=item.mime_type)


def _given(**members: Any) -> dict[str, Any]:
    return {key: value for key, value in members.items() if value}


def _is_veiled(text: str) -> bool:
    """Whether a text of one line has characters that show as nothing, as space, or only with others."""
    if text.isascii() or "\n" in text:
        return False
    return any(char != " " and unicodedata.category(char)[0] in "CMZ" for char in text)


def _text(writer: _Writer, text: str) -> yaml.ScalarNode:
    style = None
    if (
        "\n" in text
        and not any(line != line.rstrip() for line in text.split("\n"))
        and not text.startswith((" ", "\n"))
    ):
        style = "|"
    else:
        try:
            plain = resolve(text) == text
        except Surprise:
            plain = False
        # What is a word of YAML 1.1 gets quotes from the library, what is a word to people from here.
        apostrophe = "'" in text and _QUOTED.search(text) and not _ESCAPED.search(text)
        if not plain or text != text.strip() or not text or apostrophe or _is_veiled(text):
            style = '"'
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _text)
_Writer.add_representer(_Flow, lambda writer, value: _mapping(writer, value))
_Writer.add_representer(
    _FlowList, lambda writer, value: writer.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)


def _mapping(writer: _Writer, value: _Flow) -> yaml.MappingNode:
    return writer.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=True)
