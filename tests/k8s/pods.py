"""Pods of built overlays as processes: their volumes from their own ConfigMaps, their programs from the built image."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import containerfile
import httpx2
from kube_cluster import LOOPBACK
from kube_pod import ConfigVolume, Network, Pod
from kube_programs import ROOT
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from valkey_server import PROGRAMS as VALKEY

from authz.app.demo import stack
from authz.app.demo.processes import Children
from authz.mcp.wording import DECISION_KEY
from tests.k8s.conftest import one

PYTHON = ["/usr/local/bin/python3", "-P"]
SITE = next((ROOT / ".venv" / "lib").glob("python*/site-packages"))
PROGRAMS = {
    "mcp-authz": containerfile.parse(ROOT / "Containerfile")[-1].command("--")[:-1],
    "envoy": [str(stack.envoy_binary())],
    "awslabs-valkey-mcp-server": ["env", f"PYTHONPATH={SITE}", *PYTHON, str(ROOT / "tests" / "k8s" / "valkey_mcp.py")],
    "valkey-server": [VALKEY[-1]],
}


class Pods:
    """Pods that share a network namespace, as if each had the addresses that `hosts` gives its Services."""

    def __init__(self, image: Path, children: Children, hosts: Mapping[str, str] | None = None) -> None:
        self._children, self._hosts = children, hosts
        self.network = Network(children)
        self.volumes: dict[tuple[str, str], ConfigVolume] = {}
        # The image's files, its base image's Python, and this checkout for what stands in for other images.
        self._mounts = {
            "/usr/local": containerfile.python_home(),
            str(containerfile.python_home()): containerfile.python_home(),  # where it looks for its library
            "/opt/mcp-authz": image / "opt" / "mcp-authz",
            str(ROOT): ROOT,
        }

    def pod(
        self, overlay: str | Path, kind: str, name: str, secrets: Mapping[str, Mapping[str, str]] | None = None
    ) -> Pod:
        """The pod of a workload; `secrets` are the files of the Secrets that people make."""
        template = one(overlay, kind, name)["spec"]["template"]
        volumes = {}
        for volume in template["spec"]["volumes"]:
            files = files_of(overlay, volume, secrets or {})
            if files is not None:
                directory = self._children.directory / f"{name}-{volume['name']}"
                self.volumes[name, volume["name"]] = ConfigVolume(directory, files)
                volumes[volume["name"]] = directory
        _make_mountpoints(template["spec"], volumes)
        return Pod(
            name, template, volumes, PROGRAMS, self.network, self._children, mounts=self._mounts, hosts=self._hosts
        )


def files_of(
    overlay: str | Path, volume: Mapping[str, Any], secrets: Mapping[str, Mapping[str, str]]
) -> dict[str, str] | None:
    """What kubelet would write into a volume, None where it has no such content."""
    sources = volume.get("projected", {}).get("sources", [volume])
    files: dict[str, str] = {}
    known = False
    for source in sources:
        if "configMap" in source:
            asked, data = source["configMap"], one(overlay, "ConfigMap", source["configMap"]["name"])["data"]
        elif "secret" in source:
            asked = source["secret"]
            data = secrets[asked.get("secretName") or asked["name"]]
        else:
            continue
        known = True
        items = asked.get("items") or [{"key": key, "path": key} for key in data]
        files |= {item["path"]: data[item["key"]] for item in items}
    return files if known else None


def _make_mountpoints(spec: Mapping[str, Any], volumes: Mapping[str, Path]) -> None:
    """A volume mounted in another one gets its directory there, as kubelet makes it."""
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        paths = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        for path in paths:
            parent = str(Path(path).parent)
            if parent in paths:
                (volumes[paths[parent]] / Path(path).name).mkdir(exist_ok=True)


async def call(
    port: int, tool: str, arguments: dict[str, Any], *, path: str = "/mcp", host: str = "", mode: str = "auto"
) -> str:
    """One tools/call by the SDK's client: "allowed", or the reason of the denial."""
    headers = {"host": host} if host else {}
    async with httpx2.AsyncClient(trust_env=False, timeout=30, headers=headers) as web:
        transport = streamable_http_client(f"http://{LOOPBACK}:{port}{path}", http_client=web)
        async with Client(transport, mode=mode, read_timeout_seconds=15) as client:
            result = await client.call_tool(tool, arguments)
            if not result.is_error:
                return "allowed"
            decision = (result.meta or {}).get(DECISION_KEY)
            return str(decision["reason"]) if decision else "error of the server"


def called(pods: Pods, port: int, tool: str, arguments: dict[str, Any], **how: str) -> str:
    """The same from inside the pods' network."""
    return pods.network.run(lambda: asyncio.run(call(port, tool, arguments, **how)))
