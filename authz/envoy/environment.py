"""What grpcio can be told by environment variables only, which it reads once, when it is first used."""

from __future__ import annotations

import os

# Its Python API has no lowest version of TLS, and its core takes 1.2. This list is for 1.2 only (1.3 has its own), and
# this suite needs a key that both sides share beforehand, which there is none of: nobody can agree on 1.2
# (https://github.com/grpc/grpc/blob/master/doc/environment_variables.md).
_NO_TLS_1_2 = "ECDHE-PSK-CHACHA20-POLY1305"


def prepare(*, tls_1_2: bool) -> None:
    """Say how TLS is to be spoken; to be called before `grpc` is imported.

    Where that was too late nobody is harmed: who comes by a version that is not wanted is nobody (`peer`). Failed
    handshakes are not logged one by one, for whoever can connect could fill the disk with them.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if not tls_1_2:
        os.environ["GRPC_SSL_CIPHER_SUITES"] = _NO_TLS_1_2
