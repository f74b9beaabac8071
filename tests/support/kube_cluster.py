"""A real kube-apiserver with etcd on loopback, asked by the real kubectl. No kubelet, no controllers: nothing runs."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kube_programs import CRDS, PROGRAMS

from authz.app.demo.processes import Child, Children

LOOPBACK = "127.0.0.1"
TOKEN = "made-up"
ADMIN = "system:masters"


class RefusedError(Exception):
    """What the API server said no to, in its words."""


class Cluster:
    """One API server with the CRDs that the manifests use. `close` ends it."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="kube-", dir="/tmp")
        self.directory = Path(self._home.name)
        self._children = Children(self.directory)
        etcd = f"http://{LOOPBACK}:{_free_port()}"
        self.port = _free_port()
        self._start_etcd(etcd)
        self._server = self._start_server(etcd)
        self._server.until(lambda: self._ask("get", "--raw", "/readyz").returncode == 0, seconds=120)
        self._server.until(lambda: self._ask("get", "namespace", "default").returncode == 0, seconds=60)
        self.kubectl("apply", "--server-side", "-f", str(CRDS))
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")

    def kubectl(self, *arguments: str, text: str = "", user: str = "admin", groups: Sequence[str] = (ADMIN,)) -> str:
        """What kubectl printed; raises RefusedError with what it complained of. `text` is its standard input."""
        done = self._ask(*arguments, text=text, user=user, groups=groups)
        if done.returncode:
            raise RefusedError(done.stderr)
        return done.stdout + done.stderr

    def get(self, *arguments: str) -> dict[str, Any]:
        """An object, or a list of them, as data."""
        found: dict[str, Any] = json.loads(self.kubectl("get", "-o", "json", *arguments))
        return found

    def close(self) -> None:
        """End everything that was started."""
        self._children.__exit__(None, None, None)
        self._home.cleanup()

    def _ask(
        self, *arguments: str, text: str = "", user: str = "admin", groups: Sequence[str] = (ADMIN,)
    ) -> subprocess.CompletedProcess[str]:
        who = ["--as", user, *(word for group in groups for word in ("--as-group", group))]
        server = [f"--server=https://{LOOPBACK}:{self.port}", f"--certificate-authority={self.directory}/apiserver.crt"]
        command = [str(PROGRAMS / "kubectl"), *server, f"--token={TOKEN}", *who, *arguments]
        environment = {"HOME": str(self.directory), "PATH": "/usr/bin:/bin", "KUBECONFIG": "/dev/null"}
        return subprocess.run(command, input=text, capture_output=True, text=True, env=environment, timeout=120)

    def _start_etcd(self, address: str) -> None:
        peers = f"http://{LOOPBACK}:{_free_port()}"
        program = PROGRAMS / "etcd-server" / "usr" / "bin" / "etcd"
        command = [str(program), "--data-dir", str(self.directory / "etcd"), "--unsafe-no-fsync"]
        command += ["--listen-client-urls", address, "--advertise-client-urls", address]
        command += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
        command += ["--initial-cluster", f"default={peers}", "--logger", "zap"]
        child = self._children.start("etcd", command)
        port = int(address.rpartition(":")[2])
        child.until(lambda: socket.create_connection((LOOPBACK, port), timeout=1).close() is None)

    def _start_server(self, etcd: str) -> Child:
        key = self.directory / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (self.directory / "tokens.csv").write_text(f"{TOKEN},admin,1,{ADMIN}\n")
        command = [str(PROGRAMS / "kube-apiserver"), f"--etcd-servers={etcd}", f"--cert-dir={self.directory}"]
        command += [f"--secure-port={self.port}", f"--bind-address={LOOPBACK}", "--authorization-mode=RBAC"]
        command += ["--service-account-issuer=https://cluster.example", f"--service-account-key-file={key}"]
        command += [f"--service-account-signing-key-file={key}", f"--token-auth-file={self.directory}/tokens.csv"]
        # No controller makes service accounts here.
        command += ["--disable-admission-plugins=ServiceAccount", "--service-cluster-ip-range=10.0.0.0/24"]
        return self._children.start("kube-apiserver", command)


def secret(name: str, namespace: str, **values: str) -> str:
    """A Secret as people make it beside what is applied."""
    data = {key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in values.items()}
    metadata = {"name": name, "namespace": namespace}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((LOOPBACK, 0))
        port: int = one.getsockname()[1]
    return port
