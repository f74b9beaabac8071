"""The ConfigMaps of teams as the projected volume gathers them: folders that are servers, below the platform's baseline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kube_pod import ConfigVolume

from tests.k8s.conftest import K8S, built, container, objects, one, pod_of
from tests.k8s.pods import files_of


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    deployment = one("teams", "Deployment", "mcp-authz")
    (volume,) = [each for each in pod_of(deployment)["volumes"] if each["name"] == "policies"]
    return ConfigVolume(tmp_path / "policies", files_of("teams", volume, {}) or {}).directory


def explained(policies: Path, server: str, tool: str, **arguments: object) -> dict:
    command = [sys.executable, "-m", "authz.app.cli", "explain", "--policies", str(policies), "--format", "json"]
    command += ["--server", server, "--tool", tool, "--args", json.dumps(arguments)]
    found: dict = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    return found


def test_each_teams_server_has_its_folders_name(policies: Path):
    assert explained(policies, "payments/stripe", "list_customers")["allowed"]
    assert explained(policies, "search/fetch", "fetch", url="https://docs.example/a")["allowed"]
    assert not explained(policies, "search/fetch", "fetch", url="https://evil.example/a")["allowed"]
    assert "no_policy" in json.dumps(explained(policies, "stripe", "list_customers"))


def test_a_team_cannot_allow_what_the_baseline_denies(policies: Path):
    file = policies / "payments" / "stripe.yaml"
    text = file.read_text().replace("  list_customers: allow", "  list_customers: allow\n  delete_customer: allow")
    file.write_text(text)
    for tool, allowed in (("list_customers", True), ("delete_customer", False)):
        found = explained(policies, "payments/stripe", tool)
        assert found["allowed"] is allowed
        assert ("deleting is for people, not for agents" in json.dumps(found)) is not allowed


def test_every_projected_configmap_is_there_and_labelled():
    (volume,) = [
        each for each in pod_of(one("teams", "Deployment", "mcp-authz"))["volumes"] if each["name"] == "policies"
    ]
    asked = {source["configMap"]["name"] for source in volume["projected"]["sources"]}
    labelled = {
        each["metadata"]["name"] for each in objects("teams") if "mcp-authz/team" in each["metadata"].get("labels", {})
    }
    assert labelled - {each["metadata"]["name"] for each in objects("teams") if each["kind"] != "ConfigMap"} == asked


def test_a_shared_store_keeps_the_order_of_the_sidecars(tmp_path: Path):
    """Envoy waits for the service: the other order would never start."""
    places = {
        name: os.path.relpath(K8S / name, tmp_path.resolve()) for name in ("sidecar-example", "components/shared-state")
    }
    kustomization = {"resources": [places["sidecar-example"]], "components": [places["components/shared-state"]]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(kustomization))
    assert built(tmp_path)
    pod = pod_of(one(tmp_path, "Deployment", "valkey-mcp"))
    assert [each["name"] for each in pod["initContainers"]] == ["mcp-authz", "envoy"]
    assert "MCP_AUTHZ_STATE" in {each["name"] for each in container(pod, "mcp-authz")["env"]}
