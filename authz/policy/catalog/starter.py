"""`Catalog` -> the text of a policy to start from: the recommended rule of every tool, grouped by category."""

from __future__ import annotations

from collections.abc import Iterator

from authz.policy.catalog.entry import Catalog, CatalogTool, Category
from authz.policy.catalog.write import block, dump

_GRAVEST = (Category.FINANCIAL, Category.DESTRUCTIVE, Category.EXECUTE, Category.WRITE, Category.READ)
_HEAD = """\
# A start, made from catalog/{file}: every tool with the rule that is recommended for its category and risk.
# Bound the arguments before you rely on it; `mcp-authz catalog show {server} TOOL` says which.
version: 1
server: {server}
"""


def gravest(tool: CatalogTool) -> Category:
    """The gravest category of a tool."""
    return next(category for category in _GRAVEST if category in tool.categories)


def starter_policy(catalog: Catalog, file: str) -> str:
    """The policy's text; `file` is the catalogue's name in its directory."""
    return _HEAD.format(file=file, server=catalog.server) + "default: deny\n" + "".join(_sections(catalog))


def _sections(catalog: Catalog) -> Iterator[str]:
    if catalog.tools:
        yield "\ntools:\n"
    between = ""
    for category in _GRAVEST:
        tools = sorted((one for one in catalog.tools.values() if gravest(one) is category), key=lambda one: one.name)
        if tools:
            yield f"{between}  # {category}\n"
            between = "\n"
        for tool in tools:
            rule = tool.recommended if tool.recommended is not None else "deny"
            yield dump({tool.name: block(rule)}, indent=2)
    # What only gives text back; to be narrowed by whoever knows what is in it.
    if catalog.prompts:
        yield "\n" + dump({"prompts": dict.fromkeys(catalog.prompts, "allow")})
    if catalog.resources:
        yield "\n" + dump({"resources": dict.fromkeys(catalog.resources, "allow")})
