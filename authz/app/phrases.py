"""How the program words what it says to people: numbers with their nouns, the reasons of system calls."""

from __future__ import annotations

import os


def counted(number: int, one: str, many: str = "") -> str:
    """`1 problem`, `2 problems`; `many` where it is no plain plural."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def reason(error: OSError) -> str:
    """Why a system call failed, lower case, without the path and without what libraries wrote around it."""
    # Resolving a name has numbers of its own, which are negative.
    number = error.errno or 0
    return (os.strerror(number) if number > 0 else error.strerror or str(error)).lower()
