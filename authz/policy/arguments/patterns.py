"""A pattern -> how large its program is and whether the validator's engine takes it, found out once for each text.

RE2 and the validator each have an engine; a pattern must suit both (policies/README.md 3). Few of the patterns of a
large set of policies differ, and the programs themselves are not kept.
"""

from __future__ import annotations

import functools

import jsonschema_rs

from authz.policy.arguments.schema import compile_pattern

# The engine's own default is 10 MiB for each; a program of 1 MiB is thousands of instructions, more than RE2 takes.
OPTIONS = jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20)
_REMEMBERED = 4096  # patterns


@functools.lru_cache(_REMEMBERED)
def program_size(pattern: str) -> int:
    """How many instructions RE2 needs for `pattern`, read from either end; raises PatternError."""
    program = compile_pattern(pattern)
    return int(max(program.programsize, program.reverseprogramsize))


@functools.lru_cache(_REMEMBERED)
def refusal(pattern: str) -> str:
    """Why the validator's engine refuses `pattern`, "" where it takes it: then no schema is refused because of it."""
    try:
        jsonschema_rs.Draft202012Validator(
            {"pattern": pattern, "patternProperties": {pattern: True}}, offline=True, pattern_options=OPTIONS
        )
    except jsonschema_rs.ValidationError as error:
        first = error.message.splitlines()[0]
        return f"the validator's linear-time engine refuses the pattern {first.partition(' is not a ')[0]}"
    return ""
