"""How the program words what it says to people: numbers with their nouns, the reasons of system calls."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """`1 problem`, `2 problems`; `many` where it is no plain plural."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def reason(error: OSError) -> str:
    """Why a system call failed, lower case and without the path."""
    return (error.strerror or str(error)).lower()
