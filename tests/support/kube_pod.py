"""A pod's specification -> its containers as processes, started and ended as kubelet does, in their own namespaces.

One network namespace is the pod's, or several pods'; each container has its own read-only root, user, groups, no
capabilities, and exactly the volumes that the manifest mounts. What is run is the configuration of the manifest, to the
byte. Needs root, for namespaces.
"""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from authz.app.demo.processes import Child, Children

POD_IP = "127.0.0.2"  # answered by whoever listens on all addresses, not by who listens on 127.0.0.1
CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
Answer = TypeVar("Answer")


class Network:
    """A network namespace with nothing but its loopback."""

    def __init__(self, children: Children) -> None:
        command = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 3600"]
        self._holder = children.start("network", command)
        self._holder.until(lambda: "up" in self._holder.output.read_text())
        self.path = f"/proc/{self._holder.pid}/ns/net"

    def run(self, work: Callable[[], Answer]) -> Answer:
        """`work` in a thread whose sockets are the namespace's; raises what it raises."""
        done: list[Answer] = []
        failed: list[BaseException] = []

        def inside() -> None:
            try:
                with open(self.path) as namespace:
                    _enter(namespace.fileno())
                done.append(work())
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return done[0]


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class ConfigVolume:
    """The keys of a ConfigMap or Secret as kubelet lays them out: links through `..data` into a dated directory."""

    def __init__(self, directory: Path, files: Mapping[str, str]) -> None:
        self.directory = directory
        self._turn = 0
        directory.mkdir(parents=True)
        self.write(files)

    def write(self, files: Mapping[str, str]) -> None:
        """New content, in force at one instant; names may have a folder (`items`)."""
        self._turn += 1
        dated = self.directory / f"..2026_11_21_{self._turn:02}"
        for name, text in files.items():
            (dated / name).parent.mkdir(parents=True, exist_ok=True)
            (dated / name).write_text(text)
        link = self.directory / "..data_tmp"
        link.symlink_to(dated.name)
        link.rename(self.directory / "..data")
        for top in {name.partition("/")[0] for name in files}:
            if not (self.directory / top).is_symlink():
                (self.directory / top).symlink_to(f"..data/{top}")


class Pod:
    """The containers of one pod. `programs` gives the command of an image's entry point, and what it needs mounted."""

    def __init__(
        self,
        name: str,
        template: Mapping[str, Any],
        volumes: Mapping[str, Path],
        programs: Mapping[str, Sequence[str]],
        network: Network,
        children: Children,
        *,
        mounts: Mapping[str, Path],
        hosts: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self._template, self._volumes, self._programs = name, template, volumes, programs
        self.network, self._children, self._mounts, self._hosts = network, children, mounts, hosts or {}
        self.spec: Mapping[str, Any] = template["spec"]
        self.running: dict[str, Child] = {}
        self.order: list[str] = []
        group = self.spec["securityContext"].get("fsGroup")
        every = (*self.spec.get("initContainers", ()), *self.spec["containers"])
        for mounted in sorted({mount["name"] for container in every for mount in container["volumeMounts"]}):
            if mounted not in volumes:  # an emptyDir, or a claim
                directory = children.directory / f"{name}-{mounted}"
                directory.mkdir()
                os.chown(directory, 0, group or 0)  # as kubelet does for fsGroup
                directory.chmod(0o2777 if group else 0o777)
                self._volumes = {**self._volumes, mounted: directory}

    def start(self, *, within: float = 60) -> None:
        """Sidecars in their order, each after the one before has started, then the containers."""
        for container in self.spec.get("initContainers", ()):
            assert container["restartPolicy"] == "Always"
            self.start_container(container["name"])
            self.wait_for_startup(container["name"], within)
        for container in self.spec["containers"]:
            self.start_container(container["name"])
            self.wait_for_startup(container["name"], within)

    def start_container(self, name: str) -> Child:
        """Start one, or start it again."""
        child = self._children.start(f"{self.name}-{name}", self._command(self.container(name)))
        self.running[name] = child
        self.order.append(name)
        return child

    def wait_for_startup(self, name: str, within: float = 60) -> None:
        """Until its startupProbe has said yes once; raises DemoError."""
        self.running[name].until(lambda: self.probe(name, "startupProbe"), within)

    def container(self, name: str) -> Mapping[str, Any]:
        """Its part of the manifest."""
        every = (*self.spec.get("initContainers", ()), *self.spec["containers"])
        return next(each for each in every if each["name"] == name)

    def probe(self, name: str, which: str) -> bool:
        """What kubelet would find now: whether the pod's address answers below 400, or connects."""
        container = self.container(name)
        probe = container[which]
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
        asked = probe.get("httpGet") or probe["tcpSocket"]
        assert "host" not in asked
        port = ports.get(asked["port"], asked["port"])
        if "tcpSocket" in probe:
            return self.network.run(lambda: _connects(POD_IP, port))
        return self.network.run(lambda: _status(POD_IP, port, asked["path"], probe.get("timeoutSeconds", 1))) < 400

    def end(self) -> None:
        """Hooks first, all at once; then containers, then sidecars the other way round, one after the other."""
        hooks = [each.get("lifecycle", {}).get("preStop", {}).get("sleep", {}) for each in self.spec["containers"]]
        assert not any("lifecycle" in each for each in self.spec.get("initContainers", ()))
        time.sleep(max((hook.get("seconds", 0) for hook in hooks), default=0))
        started = time.monotonic()
        sidecars = [each["name"] for each in reversed(self.spec.get("initContainers", ()))]
        for name in [*(each["name"] for each in self.spec["containers"]), *sidecars]:
            self.running[name].process.terminate()
            left = self.spec["terminationGracePeriodSeconds"] - (time.monotonic() - started)
            self.running[name].process.wait(max(left, 0.1))

    def _command(self, container: Mapping[str, Any]) -> list[str]:
        context = {**self.spec["securityContext"], **container["securityContext"]}
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        environment = self._environment(container)
        image = re.sub(r"^.*/|[:@].*$", "", container["image"])
        entry = container.get("command") or self._programs[image]
        entry = [*self._programs.get(entry[0], [entry[0]]), *entry[1:]]
        words = [*entry, *(expand(word, environment) for word in container.get("args", ()))]
        groups = sorted({context["fsGroup"]} if "fsGroup" in context else set())
        identity = [f"--reuid={context['runAsUser']}", f"--regid={context['runAsGroup']}"]
        identity += [f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"]
        identity += ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        inside = ["setpriv", *identity, "env", "-i", *(f"{key}={value}" for key, value in environment.items()), *words]
        return ["nsenter", f"--net={self.network.path}", *isolated(self._root(container), inside)]

    def _root(self, container: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
        """(what is on this machine, where the container sees it, read-only), parents first."""
        found = [(str(host), path, True) for path, host in self._mounts.items()]
        mounts = sorted(container["volumeMounts"], key=lambda mount: str(mount["mountPath"]))
        found += [(str(self._volumes[one["name"]]), one["mountPath"], bool(one.get("readOnly"))) for one in mounts]
        if self._hosts:
            file = self._children.directory / "hosts"
            file.write_text("".join(f"{address} {name}\n" for name, address in self._hosts.items()))
            found.append((str(file), "/etc/hosts", True))
        return found

    def _environment(self, container: Mapping[str, Any]) -> dict[str, str]:
        annotations = self._template["metadata"].get("annotations", {})
        values = {}
        for entry in container.get("env", ()):
            if "value" in entry:
                values[entry["name"]] = expand(entry["value"], values)
                continue
            path = entry["valueFrom"]["fieldRef"]["fieldPath"]
            (name,) = re.fullmatch(r"metadata\.annotations\['(.+)'\]", path).groups()  # type: ignore[union-attr]
            values[entry["name"]] = annotations.get(name, "")
        return values


def expand(word: str, environment: Mapping[str, str]) -> str:
    """`$(NAME)` as kubelet replaces it: what nobody defines stays as it is."""
    return re.sub(r"\$\(([A-Za-z0-9_]+)\)", lambda found: environment.get(found[1], found[0]), word)


def isolated(mounts: Sequence[tuple[str, str, bool]], command: Sequence[str]) -> list[str]:
    """`command` with a root of its own that cannot be written: the system's programs, and these mounts."""
    lines = ["root=$(mktemp -d)", "mount -t tmpfs -o size=4m,mode=755 root $root", "cd $root"]
    lines += [
        "mkdir -p usr proc dev etc",
        "mount -o bind,ro /usr usr",
        "mount --bind /proc proc",
        "mount --bind /dev dev",
    ]
    lines += ["for each in bin sbin lib lib64; do [ -e /$each ] && ln -s usr/$each $each; done"]
    lines += ["cp /etc/ld.so.cache etc/"]
    for host, path, readonly in mounts:
        here = shlex.quote(path.lstrip("/"))
        lines.append(f"if [ -f {host} ]; then mkdir -p $(dirname {here}) && touch {here}; else mkdir -p {here}; fi")
        lines.append(f"mount -o bind{',ro' if readonly else ''} {shlex.quote(host)} {here}")
    lines += ["mount -o remount,ro $root", f"exec chroot . {shlex.join(command)}"]
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(lines)]


def permitted() -> bool:
    """Whether this process may make such namespaces."""
    command = ["unshare", "--net", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True).returncode == 0


def _status(host: str, port: int, path: str, timeout: float) -> int:
    with socket.create_connection((host, port), timeout=timeout) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        words = connection.makefile("rb").readline().split()
    return int(words[1]) if len(words) > 1 else 599


def _connects(host: str, port: int) -> bool:
    socket.create_connection((host, port), timeout=1).close()
    return True
