"""The steps of Containerfile, carried out: twice the same files, pinned by the lock, and they run as nobody."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import containerfile
import httpx2
import pytest
from kube_pod import isolated, permitted
from kube_programs import ROOT

from authz import __version__
from authz.app.demo import stack
from authz.app.demo.processes import Children

pytestmark = pytest.mark.skipif(not permitted(), reason="this machine permits no namespaces")
NOBODY = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--no-new-privs",
    "--bounding-set=-all",
    "--inh-caps=-all",
]


def digests(root: Path) -> dict[str, str]:
    """Every file by path: its mode and content, or where it links to."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = f"{path.stat().st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return found


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nobody-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def inside(image: Path, directory: Path, command: list[str]) -> list[str]:
    """`command` as nobody, with a root that nobody can write and `directory` alone beside it."""
    home = containerfile.python_home()
    mounts = [
        (str(home), "/usr/local", True),
        (str(home), str(home), True),
        (f"{image}/opt/mcp-authz", "/opt/mcp-authz", True),
    ]
    mounts.append((str(directory), "/data", False))
    return isolated(mounts, [*NOBODY, "env", "-i", *command])


def test_the_steps_give_the_same_files_twice(image: Path):
    with tempfile.TemporaryDirectory(prefix="again-", dir="/tmp") as name:
        again = digests(containerfile.build(ROOT / "Containerfile", Path(name)))
    first = digests(image)
    assert {name for name in first.keys() | again.keys() if first.get(name) != again.get(name)} == set()
    assert len(first) > 1000


def test_nothing_is_in_the_image_that_the_lock_does_not_pin(image: Path):
    pins = pinned(ROOT / "requirements" / "lock.txt")
    site = next(image.glob("opt/mcp-authz/lib/python*/site-packages"))
    metadata = [path.read_text() for path in site.glob("*.dist-info/METADATA")]
    installed = {normal(field(text, "Name")): field(text, "Version") for text in metadata}
    assert installed.pop("mcp-authz") == __version__
    assert installed.items() <= {name: version for name, (version, _) in pins.items()}.items()
    assert {"grpcio", "protobuf", "uvloop", "cel-expr-python"} <= installed.keys()
    assert not {"pip", "setuptools", "pytest", "hatchling", "cyclonedx-bom"} & installed.keys()


@pytest.mark.parametrize("name", ["image.txt", "build.txt"])
def test_versions_and_hashes_are_the_locks(name: str):
    pins, ours = pinned(ROOT / "requirements" / "lock.txt"), pinned(ROOT / "requirements" / name)
    shared = pins.keys() & ours.keys()
    assert {each: ours[each] for each in shared} == {each: pins[each] for each in shared}
    assert all(hashes for _, hashes in ours.values())
    if name == "image.txt":
        assert shared == ours.keys()


def pinned(file: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes by the name of a package."""
    found = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", file.read_text()):
        if match := re.match(r"([A-Za-z0-9._-]+)==([^ ;\\\n]+)", block):
            found[normal(match[1])] = (match[2], frozenset(re.findall(r"--hash=(\S+)", block)))
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def field(text: str, name: str) -> str:
    (value,) = re.findall(rf"^{name}: (.+)$", text, re.MULTILINE)[:1]
    return str(value)


def test_the_bill_of_materials_names_what_is_installed(image: Path):
    bill = json.loads((image / "opt" / "mcp-authz" / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "mcp-authz"
    site = next(image.glob("opt/mcp-authz/lib/python*/site-packages"))
    installed = {normal(field(path.read_text(), "Name")) for path in site.glob("*.dist-info/METADATA")}
    assert {normal(each["name"]) for each in bill["components"]} | {"mcp-authz"} == installed
    assert bill["metadata"]["timestamp"] == "2026-01-01T00:00:00+00:00"  # SOURCE_DATE_EPOCH
    assert "serialNumber" not in bill


def test_nobody_runs_it_from_a_root_that_cannot_be_written(image: Path, directory: Path):
    last = containerfile.parse(ROOT / "Containerfile")[-1]
    assert last.last("USER") == "65532:65532"
    done = subprocess.run(inside(image, directory, last.command("version")), capture_output=True, text=True)
    assert __version__ in done.stdout, done.stderr
    tries = "for each in /x /opt/mcp-authz/x /usr/local/x /etc/x; do touch $each 2>&1; done; id -u"
    refused = subprocess.run(inside(image, directory, ["sh", "-c", tries]), capture_output=True, text=True).stdout
    assert refused.count("Read-only file system") == 4
    assert refused.splitlines()[-1] == "65534"


def test_nobody_serves(image: Path, directory: Path):
    policies = directory / "policies"
    policies.mkdir()
    (policies / "demo.yaml").write_text((ROOT / "policies" / "demo.yaml").read_text())
    run = directory / "run"
    run.mkdir()
    run.chmod(0o777)
    last = containerfile.parse(ROOT / "Containerfile")[-1]
    words = ["serve", "--policies=/data/policies", "--listen=unix:/data/run/authz.sock", "--admin=127.0.0.1:0"]
    with Children(directory) as children:
        child = children.start("image", inside(image, directory, last.command(*words)))
        child.until(lambda: "mcp-authz ready" in child.output.read_text())
        port = int(re.findall(r"admin 127\.0\.0\.1:([0-9]+)", child.output.read_text())[0])
        assert stack.get(port, "/readyz")[0] == 200
        metrics = httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        assert child.stop() == 0
    memory = int(float(re.findall(r"^process_resident_memory_bytes (\S+)", metrics, re.MULTILINE)[0]))
    assert memory < 128 << 20, "the request of k8s/base/deployment.yaml"
