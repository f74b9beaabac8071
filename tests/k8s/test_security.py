"""checkov, kube-score and hadolint: what they find is fixed, or explained here, and nothing else is found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from kube_programs import PROGRAMS, ROOT

from tests.k8s.conftest import OVERLAYS, built

LINTERS = ROOT / ".venv-k8s" / "bin"
NO_CPU_LIMIT = "throttling holds calls for up to 100 ms, and the proxy's timeout denies them; requests give fair shares"
EXPLAINED = {  # checkov
    "CKV_K8S_11": NO_CPU_LIMIT,
    "CKV_K8S_21": "k8s/monitoring leaves the namespace to its user; all else has one",
    "CKV_K8S_15": "images have versions and are to be pinned by digest, which no pull changes",
    "CKV_K8S_43": "the digest is of the registry that the user keeps the image in: `images:` of kustomize takes it",
}
EXPLAINED_SCORES = {
    "CPU limit is not set": NO_CPU_LIMIT,
    "ImagePullPolicy is not set to Always": EXPLAINED["CKV_K8S_15"],
    "Ephemeral Storage request is not set": "roots are read-only; what is written is the log, which kubelet rotates",
    "Ephemeral Storage limit is not set": "the same; a limit would evict who logs much",
    "Container has the same readiness and liveness probe": "a TCP connection is all that these can be asked for",
    "Deployment does not have a host podAntiAffinity set": "topologySpreadConstraints do this",
    "The pod does not have a matching egress NetworkPolicy": "what an MCP server, or the gateway before all, reaches is the user's",
    "mcp-authz/mcp-authz apps/v1/Deployment: Deployment few replicas": "the base alone: without a store each counts for itself",
    "valkey-mcp/valkey-mcp apps/v1/Deployment: No matching PodDisruptionBudget was found": "stands for the user's own",
}


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every overlay as it is built."""
    directory = tmp_path_factory.mktemp("manifests")
    for overlay in OVERLAYS:
        (directory / f"{overlay.replace('/', '-')}.yaml").write_text(built(overlay))
    return directory


def checkov(directory: Path, framework: str) -> dict:
    command = [LINTERS / "checkov", "-d", directory, "--framework", framework, "--skip-download", "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LOG_LEVEL": "ERROR"})
    found: dict = json.loads(done.stdout)
    return found


def failures(found: dict) -> set[str]:
    return {each["check_id"] for each in found["results"]["failed_checks"]}


def test_checkov_finds_nothing_that_is_not_explained(manifests: Path):
    found = checkov(manifests, "kubernetes")
    assert found["summary"]["parsing_errors"] == 0
    assert found["summary"]["passed"] > 1000
    assert failures(found) == set(EXPLAINED)


def test_checkov_finds_what_is_wrong(tmp_path: Path):
    text = built("mesh-wide").replace("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true")
    (tmp_path / "worse.yaml").write_text(text)
    assert "CKV_K8S_20" in failures(checkov(tmp_path, "kubernetes")) - set(EXPLAINED)


def scores(files: list[Path]) -> set[str]:
    command = [PROGRAMS / "kube-score", "score", "--output-format", "ci", *files]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert not done.stderr, done.stderr
    bad = {line.partition("] ")[2] for line in lines if line.startswith(("[CRITICAL]", "[WARNING]"))}
    return {line for line in bad if not any(line.endswith(each) for each in EXPLAINED_SCORES)}


def test_kube_score_finds_nothing_that_is_not_explained(manifests: Path):
    for file in manifests.glob("*.yaml"):  # one by one: overlays have the same objects in several forms
        assert scores([file]) == set(), file.stem


def test_kube_score_finds_what_is_wrong(tmp_path: Path):
    worse = tmp_path / "worse.yaml"
    worse.write_text(built("mesh-wide").replace("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"))
    assert any("root filesystem" in line.lower() for line in scores([worse]))


def test_hadolint_finds_nothing_in_the_containerfile():
    # DL3059 would join steps that are apart so that each is cached by what it reads.
    command = [LINTERS / "hadolint", "--ignore", "DL3059", "--no-color", ROOT / "Containerfile"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_checkov_finds_nothing_in_the_containerfile(tmp_path: Path):
    shutil.copyfile(ROOT / "Containerfile", tmp_path / "Dockerfile")  # the name it knows
    found = checkov(tmp_path, "dockerfile")
    assert found["summary"]["passed"] > 5
    # 2: a HEALTHCHECK is nobody's who runs it in Kubernetes, probes are. 7: the base image's version stands in ARG.
    assert failures(found) == {"CKV_DOCKER_2", "CKV_DOCKER_7"}
