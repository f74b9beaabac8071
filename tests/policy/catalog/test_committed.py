"""The committed catalogues of real servers: each input schema can be checked, and is closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.policy.catalog.load import parse_catalog
from authz.policy.catalog.strict import StrictSchema

ROOT = Path(__file__).parents[3] / "policies/catalog"
TOOLS = [
    pytest.param(tool.input_schema, id=f"{file.stem}: {tool.name}")
    for file in sorted(ROOT.glob("*.yaml"))
    for tool in parse_catalog(file.read_bytes(), f"catalog/{file.name}").tools.values()
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def test_there_are_catalogues_of_real_servers() -> None:
    assert len(TOOLS) > 100


@pytest.mark.parametrize("schema", TOOLS)
def test_every_input_schema_can_be_checked_and_takes_no_member_that_it_does_not_name(schema: Any) -> None:
    assert schema is not None
    strict = StrictSchema(schema)
    assert strict.problem == ""
    named = dict.fromkeys(schema.get("required", ()), True)
    violation = strict.check({**named, "no such argument": 1})
    assert violation is not None
    assert violation.path == "args.*"
    assert violation.accepted == "no member that the tool's input schema does not name"


@given(st.sampled_from([param.values[0] for param in TOOLS]), st.data())
def test_whatever_is_sent_is_judged_and_nothing_is_raised(schema: Any, data: Any) -> None:
    names = sorted(schema.get("properties", {}))
    keys = st.sampled_from(names) | st.text(max_size=5) if names else st.text(max_size=5)
    arguments = data.draw(st.dictionaries(keys, JSON, max_size=4))
    violation = StrictSchema(schema).check(arguments)
    if arguments.keys() - set(names):
        assert violation is not None
