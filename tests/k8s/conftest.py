"""What k8s/ gives when it is built, and a real API server to apply it to. `make test-k8s` builds the programs first."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import containerfile
import pytest
import yaml
from kube_cluster import Cluster
from kube_programs import PROGRAMS, ROOT

K8S = ROOT / "k8s"
OVERLAYS = sorted(
    path.parent.relative_to(K8S).as_posix()
    for path in K8S.rglob("kustomization.yaml")
    if yaml.safe_load(path.read_text())["kind"] == "Kustomization"
)


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Only `-m kubernetes` collects these modules: collecting them already needs the programs."""
    return None if config.option.markexpr == "kubernetes" else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.kubernetes)


@functools.cache
def built(overlay: str | Path) -> str:
    """What kustomize makes of a directory of k8s/, or of an absolute path."""
    command = [PROGRAMS / "kustomize", "build", K8S / overlay]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


def objects(overlay: str | Path) -> list[dict[str, Any]]:
    """The same as data, in the order of kustomize."""
    return list(yaml.safe_load_all(built(overlay)))


def one(overlay: str | Path, kind: str, name: str) -> dict[str, Any]:
    """The one object of this kind whose name begins so (kustomize may have added a hash)."""
    named = [each for each in objects(overlay) if each["kind"] == kind]
    exact = [each for each in named if each["metadata"]["name"] == name]
    (found,) = exact or [each for each in named if each["metadata"]["name"].startswith(name)]
    return found


def pod_of(workload: dict[str, Any]) -> dict[str, Any]:
    """The pod's specification."""
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def container(pod: dict[str, Any], name: str) -> dict[str, Any]:
    """A container of a pod, of either kind."""
    (found,) = [each for each in (*pod.get("initContainers", ()), *pod["containers"]) if each["name"] == name]
    return found


@pytest.fixture(scope="session")
def image() -> Iterator[Path]:
    """The root of the image that Containerfile makes, where any user may read it."""
    with tempfile.TemporaryDirectory(prefix="image-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield containerfile.build(ROOT / "Containerfile", Path(name))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One API server for all tests that ask one."""
    running = Cluster()
    yield running
    running.close()
