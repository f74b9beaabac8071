"""What says of arguments which types they have: a policy's own schema, or the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from authz.policy.arguments.schema import DeclaredType


class Declares(Protocol):
    """Whatever has been, or will be, checked before the arguments are read."""

    def type_of(self, path: Sequence[str | int]) -> DeclaredType | None:
        """What is declared of the value at `path`, None if nothing is; a step is a name, a position or `ITEM`."""
        ...

    def requires(self, path: Sequence[str]) -> bool:
        """Whether something always stands at `path`, which names members."""
        ...
