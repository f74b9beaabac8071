"""What became of the cases -> JUnit's XML, as CI systems read it (testsuites, testsuite, testcase, failure)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from xml.etree import ElementTree

from authz.app.testing.playing import Outcome

# What XML 1.0 has no way to say (2.2).
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(outcomes: Sequence[Outcome], took: float) -> bytes:
    """The report; `took` is in seconds, for the whole. Each test file is a suite."""
    root = ElementTree.Element("testsuites", _counts(outcomes), name="mcp-authz test", time=f"{took:.3f}")
    for file, several in groupby(outcomes, key=lambda one: one.case.file):
        suite = list(several)
        element = ElementTree.SubElement(root, "testsuite", _counts(suite), name=file)
        for outcome in suite:
            _case(element, outcome)
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _case(suite: ElementTree.Element, outcome: Outcome) -> None:
    case = outcome.case
    line, _ = case.document.place(case.path)
    name = case.file.removesuffix(".yaml").replace("/", ".")
    element = ElementTree.SubElement(
        suite, "testcase", classname=_plain(name), name=_plain(case.name), file=case.file, line=str(line)
    )
    if outcome.failure is not None:
        said = [_plain(text) for text in outcome.failure.differences]
        said += [f"{step.place}: {step.result} {_plain(step.detail)}".rstrip() for step in outcome.failure.tried]
        failure = ElementTree.SubElement(element, "failure", message=said[0])
        failure.text = "\n".join(said)


def _counts(outcomes: Sequence[Outcome]) -> dict[str, str]:
    failed = sum(outcome.failure is not None for outcome in outcomes)
    return {"tests": str(len(outcomes)), "failures": str(failed), "errors": "0", "skipped": "0"}


def _plain(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
