"""The trimmed definitions are the wire format of Envoy's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TYPE_STRING, TYPE_BYTES = 9, 12  # FieldDescriptorProto.Type
ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests/support/describe_protos.py"


def describe(which: str) -> dict[str, Any]:
    run = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(SCRIPT), which], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=60
    )
    assert run.returncode == 0, run.stderr.decode()
    return dict(json.loads(run.stdout))


@pytest.fixture(scope="module")
def fields() -> tuple[dict[str, Any], dict[str, Any]]:
    return describe("ours"), describe("envoy")


def test_every_field_has_the_number_type_label_and_oneof_that_envoy_gives_it(
    fields: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    ours, envoy = fields
    body = "CheckRequest.attributes.request.http.body"
    assert (ours[body].pop("type"), envoy[body].pop("type")) == (TYPE_BYTES, TYPE_STRING)  # the same on the wire
    assert len(ours) > 40
    assert {place: envoy.get(place) for place in ours} == ours


def test_the_answer_that_envoy_lets_through_when_it_fails_open_cannot_be_said(
    fields: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    ours, envoy = fields
    assert "CheckResponse.error_response" in envoy
    assert not [place for place in ours if place.startswith("CheckResponse.error_response")]


def test_the_generated_code_is_what_protoc_makes_of_the_definition(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", "-Iprotos"]
    command += [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", "protos/ext_authz.proto"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)  # noqa: S603 - our own definitions
    for made in tmp_path.iterdir():
        assert made.read_text() == (ROOT / "authz/envoy/pb" / made.name).read_text(), made.name
