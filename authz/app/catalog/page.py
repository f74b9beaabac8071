"""A catalogue -> what a person reads of it: a table of a server's tools, and the page of one tool."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from authz.app.phrases import counted
from authz.policy.catalog.definition import Definition
from authz.policy.catalog.entry import Catalog, CatalogTool, Category, Risk
from authz.policy.catalog.recommend import advise
from authz.policy.catalog.starter import gravest
from authz.policy.catalog.write import block, dump

_WIDTH = 100
_STYLES = {Risk.LOW: "green", Risk.MEDIUM: "", Risk.HIGH: "yellow", Risk.CRITICAL: "bold red"}
_NEEDS = {
    Category.READ: "Reading is harmless until it is much, or of what nobody should see: limit it there.",
    Category.WRITE: "Limit how often it may run, and bound which things it may change by its arguments.",
    Category.EXECUTE: "Execute tools should be rate-limited and have their arguments validated: what one does depends "
    "on them, and its effects often reach beyond the call.",
    Category.DESTRUCTIVE: "What it removes may not come back: let a person see exactly this call before it runs.",
    Category.FINANCIAL: "It moves money: let a person see exactly this call, and cap what may be spent (`cost`).",
}
_ENFORCED = (
    "Envoy asks this service about every call before it reaches {server}. A call that the rule does not allow is "
    "answered with the reason and never gets there; limits are counted per agent session unless `per` says otherwise."
)


def summary(catalog: Catalog) -> str:
    """Counts by category and risk, in one line."""
    categories = Counter(gravest(tool).value for tool in catalog.tools.values())
    risks = Counter(tool.risk for tool in catalog.tools.values())
    by_category = ", ".join(f"{categories[one.value]} {one.value}" for one in Category if categories[one.value])
    by_risk = ", ".join(f"{risks[one]} {one}" for one in Risk if risks[one])
    beside = [
        counted(len(items), what)
        for what, items in (
            ("prompt", catalog.prompts),
            ("resource", catalog.resources),
            ("resource template", catalog.resource_templates),
        )
        if items
    ]
    text = counted(len(catalog.tools), "tool")
    if catalog.tools:
        text += f": {by_category}; risk {by_risk}"
    return ", ".join([text, *beside])


def tools_table(catalog: Catalog) -> Table:
    """The tools of a server, the most dangerous first."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in ("tool", "category", "risk", "recommended", "why"):
        table.add_column(column, overflow="fold", no_wrap=column in ("category", "risk"))
    for tool in sorted(catalog.tools.values(), key=lambda one: (-tuple(Risk).index(one.risk), one.name)):
        mark = "" if tool.reviewed else " (not reviewed)" if tool.confidence is None else f" ({tool.confidence:.2f})"
        table.add_row(
            Text(tool.name),
            Text("+".join(tool.categories) + mark),
            Text(str(tool.risk), _STYLES[tool.risk]),
            Text(_short(tool)),
            Text(tool.why),
        )
    return table


def show(console: Console, catalog: Catalog) -> None:
    """Print what is known of a server."""
    source = " ".join(filter(None, (catalog.source.get("package", ""), catalog.source.get("version", ""))))
    console.print(Text(f"{catalog.title or catalog.server}" + (f" ({source})" if source else "")))
    console.print(Text(summary(catalog)))
    console.print(tools_table(catalog))


def tool_page(catalog: Catalog, tool: CatalogTool) -> str:
    """The page of one tool, as plain text."""
    return "\n".join(_page(catalog, tool)).rstrip() + "\n"


def _page(catalog: Catalog, tool: CatalogTool) -> Iterator[str]:
    source = " ".join(filter(None, (catalog.source.get("package", ""), catalog.source.get("version", ""))))
    yield f"{tool.name} of {catalog.title or catalog.server}" + (f" ({source})" if source else "")
    confidence = "reviewed by a person" if tool.reviewed else f"confidence {tool.confidence}"
    yield f"{', '.join(tool.categories)} · {tool.risk} risk · {confidence}"
    yield ""
    if tool.description:
        yield from _section("What it says that it does", tool.description.splitlines())
    yield from _section("Why this category and risk", [tool.why, *(f"- {one}" for one in tool.evidence)])
    rule = tool.recommended if tool.recommended is not None else "deny"
    yield "Recommended rule"
    yield textwrap.indent(dump({"tools": {tool.name: block(rule)}}), "    ")
    yield from _section("Why it needs one", [_NEEDS[gravest(tool)]])
    yield from _section("How it is enforced", [_ENFORCED.format(server=catalog.title or catalog.server)])
    yield "Instead"
    yield textwrap.indent(_instead(tool, rule), "    ")
    definition = Definition(tool.name, tool.title, tool.description, tool.annotations, tool.input_schema or {})
    advice = advise(definition)
    if advice:
        yield "Arguments to consider"
        for one in advice:
            yield f"    {one.argument}: {one.schema} # {one.why}"
        yield ""
    related = [other.name for other in catalog.tools.values() if gravest(other) is gravest(tool) and other != tool]
    if related:
        yield from _section(f"Other {gravest(tool)} tools of this server", [", ".join(related)])


def _instead(tool: CatalogTool, rule: object) -> str:
    """The other actions, ready to paste, as comments would have them."""
    others: Iterable[Mapping[str, object]] = (
        {"action": "deny", "reason": "why the agent may not"},
        {"action": "allow", "rate_limit": {"max": 10, "window": 60}},
        {"action": "require_approval", "approval": {"timeout": "15m"}},
    )
    taken = rule.get("action") if isinstance(rule, Mapping) else rule
    return "".join(dump({tool.name: block(one)}) for one in others if one["action"] != taken)


def _section(head: str, lines: Iterable[str]) -> Iterator[str]:
    yield head
    for line in lines:
        yield from textwrap.wrap(line, _WIDTH, initial_indent="    ", subsequent_indent="    ") or [""]
    yield ""


def _short(tool: CatalogTool) -> str:
    rule = tool.recommended
    if not isinstance(rule, Mapping):
        return rule or "-"
    limit = rule.get("rate_limit")
    text = str(rule.get("action", "rules"))
    if isinstance(limit, Mapping):
        text += f", {limit.get('max')} in {limit.get('window')} s"
    return text + (", arguments" if "arguments" in rule or "require" in rule else "")
