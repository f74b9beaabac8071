"""The bytes of a policy file, what tells one version from another, and whether somebody has read them already."""

from __future__ import annotations

import functools
import hashlib
from array import array
from collections.abc import Callable
from typing import Any, TypeAlias

# The value of a document without a problem, and where each key and value begins, in the order of the text.
Reading: TypeAlias = tuple[Any, "array[int]"]


class Source(bytes):
    """Bytes that are digested at most once; who keeps them knows an unchanged file without looking at all of it.

    `ahead` gives what another process read in them, None where it has nothing to say.
    """

    ahead: Callable[[], Reading | None] | None = None

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256, 64 hexadecimal digits."""
        return hashlib.sha256(self).hexdigest()


def digest_of(text: bytes) -> str:
    """What tells one version of a file from another."""
    return text.digest if isinstance(text, Source) else Source(text).digest
