"""The platform's own folder beside the teams' -> one directory: which file of which counts where both have one.

Baselines and what is known of servers are the platform's. A policy of the platform is a default: a team that has a
file of the same name has its own (policies/README.md 10).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from authz.app.policies.directory import Directory
from authz.errors import Problem
from authz.policy.catalog.load import is_catalog
from authz.policy.compile.file import is_baseline


def combined(teams: Directory, platform: Directory) -> Directory:
    """`teams` without what only `platform` may have, which is a problem, over `platform`."""
    given = {*platform.files, *platform.refused}

    def is_taken(name: str) -> bool:
        return is_baseline(name) or (is_catalog(name) and name in given)

    files = {name: content for name, content in teams.files.items() if not is_taken(name)}
    refused = {name: problem for name, problem in teams.refused.items() if not is_taken(name)}
    own = {*files, *refused}
    return replace(
        teams,
        files={**{name: text for name, text in platform.files.items() if name not in own}, **files},
        refused={**{name: problem for name, problem in platform.refused.items() if name not in own}, **refused},
        warnings=(*platform.warnings, *teams.warnings),
        not_taken=tuple(_problems(filter(is_taken, sorted({*teams.files, *teams.refused})))),
    )


def _problems(names: Iterator[str]) -> Iterator[Problem]:
    for name in names:
        baseline = is_baseline(name)
        text = (
            "is not in force: baselines are read from the platform's own folder only (--baseline)"
            if baseline
            else "is not in force: the platform's own folder (--baseline) has this catalogue"
        )
        yield Problem(name, 0, 0, "", text)
