"""Texts of policies from a descriptor -> what reading each gave, to stdout: the other side of `ahead`.

A text with a problem is left to who asked, who says so in the log; here nothing is said at all.
"""

from __future__ import annotations

import mmap
import sys
from typing import BinaryIO

import msgspec

from authz.app.policies.ahead import LENGTH, POSITION
from authz.errors import PolicyError
from authz.policy.text.document import parse


def answer(text: bytes) -> bytes:
    """What reading `text` gave, b"" if it has a problem."""
    try:
        document = parse(text, "")
    except PolicyError:
        return b""
    value, starts = document.reading
    return b"" if document.problems else msgspec.msgpack.encode((value, starts.tobytes()))


def run(given: mmap.mmap, answers: BinaryIO) -> None:
    """Answer each text that is not read yet, in order, until the last or until nobody takes the answers."""
    at, number = POSITION, 0
    while at < len(given):
        start = at + LENGTH
        at = start + int.from_bytes(given[start - LENGTH : start])
        if not number or number > int.from_bytes(given[:POSITION]):
            found = answer(given[start:at])
            try:
                answers.write(number.to_bytes(LENGTH) + len(found).to_bytes(LENGTH) + found)
                answers.flush()
            except BrokenPipeError:
                return
        number += 1


if __name__ == "__main__":
    with mmap.mmap(int(sys.argv[1]), 0, prot=mmap.PROT_READ) as file:
        run(file, sys.stdout.buffer)
