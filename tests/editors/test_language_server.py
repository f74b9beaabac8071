"""The schema in an editor: the language server that editors run completes, explains and finds mistakes in policies."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from language_server import LanguageServer

ROOT = Path(__file__).parents[2]
POLICIES = ROOT / "policies"
CATALOGUES = sorted(POLICIES.glob("catalog/*.yaml"))
EXAMPLES = sorted(set(POLICIES.rglob("*.yaml")) - set(CATALOGUES))
HEAD = "# yaml-language-server: $schema=../authz/policy/schema.json\nversion: 1\n"
CURSOR = "¦"

Editor = Callable[[str], tuple[Path, int, int, list[str]]]


@pytest.fixture(scope="module")
def server() -> Iterator[LanguageServer]:
    # Catalogues are written by a program and name no schema: an editor's settings do.
    schemas = {(ROOT / "authz" / "policy" / "catalog_schema.json").as_uri(): "policies/catalog/*.yaml"}
    with LanguageServer(ROOT, schemas) as running:
        yield running


@pytest.fixture(scope="module")
def edit(server: LanguageServer) -> Editor:
    """Opens a new policy with this text under the first two lines; gives it, the cursor's place and what is wrong."""
    numbers = itertools.count()

    def opened(text: str) -> tuple[Path, int, int, list[str]]:
        path = POLICIES / f"not-on-disk-{next(numbers)}.yaml"
        before, _, after = (HEAD + text).partition(CURSOR)
        found = server.open(path, before + after)
        line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
        places = (one["range"]["start"] for one in found)
        wrong = [f"{at['line'] - 1}:{at['character'] + 1}" for at in places]  # of `text`, from 1
        return path, line, column, wrong

    return opened


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.relative_to(POLICIES).as_posix())
def test_an_example_names_a_schema_and_nothing_is_wrong_with_it(server: LanguageServer, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=")
    schema = text.splitlines()[0].partition("$schema=")[2]
    assert (path.parent / schema).is_file()
    assert server.open(path, text) == []


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_nothing_is_wrong_with_a_catalogue(server: LanguageServer, path: Path) -> None:
    assert server.open(path, path.read_text(encoding="utf-8")) == []


def test_a_mistake_in_a_catalogue_is_marked(server: LanguageServer) -> None:
    text = "version: 1\ntools:\n  t: {categories: [Raed], risk: Low, why: it reads}\n"
    (found,) = server.open(POLICIES / "catalog" / "not-on-disk.yaml", text)
    assert found["range"]["start"] == {"line": 2, "character": 19}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("toolz: {}\n", "1:1"),
        ("tools:\n  a: alow\n", "2:6"),
        ("tools:\n  a:\n    acton: allow\n", "3:5"),
        ("tools:\n  a:\n    action: alow\n", "3:13"),
        ("tools:\n  a: {action: allow, rate_limit: 10/minut}\n", "2:34"),
        ("tools:\n  a: {action: allow, arguments: {properties: {x: {type: strng}}}}\n", "2:57"),
        ("tools:\n  a: {rules: [{when: 'true'}]}\n", "2:15"),
        ("limits: [{max: 0, window: 5}]\n", "1:16"),
    ],
)
def test_a_mistake_is_marked_where_it_is(edit: Editor, text: str, place: str) -> None:
    *_, wrong = edit(text)
    assert wrong == [place]


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        (CURSOR, {"server", "default", "tools", "prompts", "resources", "methods", "limits", "$defs"}),
        (f"default: {CURSOR}", {"allow", "deny", "require_approval"}),
        (f"tools:\n  {CURSOR}", {"allow with a limit", "deny with a reason"}),
        (f"tools:\n  a: {CURSOR}", {"allow", "deny", "require_approval"}),
        (f"tools:\n  a:\n    {CURSOR}", {"action", "arguments", "require", "rate_limit", "rules", "approval"}),
        (f"tools:\n  a:\n    action: {CURSOR}", {"allow", "deny", "require_approval"}),
        (
            f"tools:\n  a:\n    rules:\n      - action: deny\n        {CURSOR}",
            {"principals", "when", "reason", "disclose"},
        ),
        (
            f"tools:\n  a:\n    action: allow\n    rate_limit:\n      {CURSOR}",
            {"max", "window", "per", "algorithm", "cost", "name"},
        ),
        (
            f"tools:\n  a:\n    action: allow\n    rate_limit:\n      algorithm: {CURSOR}",
            {"sliding_window", "fixed_window", "token_bucket"},
        ),
        (
            f"tools:\n  a:\n    action: allow\n    arguments:\n      properties:\n        x:\n          {CURSOR}",
            {"type", "pattern", "enum", "const", "minimum", "maxLength", "items"},
        ),
        (
            f"tools:\n  a:\n    action: allow\n    arguments:\n      properties:\n        x:\n          type: {CURSOR}",
            {"string", "number", "integer", "boolean", "array", "object"},
        ),
        (f"methods:\n  {CURSOR}", {"initialize", "logging/setLevel", "GET", "*"}),
    ],
)
def test_what_can_be_written_is_offered(server: LanguageServer, edit: Editor, text: str, offered: set[str]) -> None:
    path, line, column, _ = edit(text + "\n")
    assert offered <= server.completions(path, line, column).keys()


def test_what_is_offered_for_an_action_says_what_it_does(server: LanguageServer, edit: Editor) -> None:
    path, line, column, _ = edit(f"tools:\n  a: {CURSOR}\n")
    texts = {label: str(item["documentation"]) for label, item in server.completions(path, line, column).items()}
    assert "goes through" in texts["allow"]
    assert "never goes through" in texts["deny"]
    assert "a person has said yes" in texts["require_approval"]


def test_a_snippet_fills_in_a_tool_with_a_limit(server: LanguageServer, edit: Editor) -> None:
    path, line, column, _ = edit(f"tools:\n  {CURSOR}\n")
    snippet = server.completions(path, line, column)["allow with a limit"]["insertText"]
    assert snippet == "${1:tool}:\n  action: allow\n  rate_limit:\n    max: ${2:10}\n    window: ${3:60}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"t{CURSOR}ools: {{}}", "An exact name beats a glob"),
        (f"default: de{CURSOR}ny", "The call never goes through"),
        (f"tools:\n  a:\n    action: al{CURSOR}low", "The call goes through"),
        (f"tools:\n  a:\n    action: allow\n    rate_l{CURSOR}imit: {{max: 10, window: 60}}", "per agent session"),
        (f"tools:\n  a:\n    action: allow\n    argu{CURSOR}ments: {{}}", "JSON Schema 2020-12"),
        (f"tools:\n  a:\n    action: allow\n    requi{CURSOR}re: ['true']", "each must be true"),
        (f"tools:\n  a:\n    rules:\n      - princ{CURSOR}ipals: [alice]\n        action: allow", "any entry suffices"),
        (f"limits:\n  - {{max: 5, window: 60, p{CURSOR}er: principal}}", "Whose calls are counted together"),
        (f"ori{CURSOR}gins: []", "Origin"),
    ],
)
def test_a_key_is_explained_where_the_pointer_is(server: LanguageServer, edit: Editor, text: str, shown: str) -> None:
    path, line, column, _ = edit(text + "\n")
    assert shown in server.hover(path, line, column)
