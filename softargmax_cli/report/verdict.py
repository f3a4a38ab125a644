"""What a check found, in one line for people, and as the files and lines that CI servers read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from softargmax_cli.report.text import printable


@dataclass(frozen=True, slots=True)
class Checked:
    """A check of one input, as it is reported."""

    name: str
    passed: bool | None
    """None where the input cannot be used."""
    sentence: str
    """Which slices were looked at, and what is wrong with how many; or what is wrong with the input."""
    details: Sequence[str]
    """A line for each of the worst slices; or what to do about the input."""


def sentence_of(slices: int, failed: int, allowed: int, furthest: float, criterion: str, *, stopped: bool) -> str:
    """How many of the slices fail, how many may, and how far the worst is off."""
    seen = f"{slices:,} slice{'' if slices == 1 else 's'}" + (" so far" if stopped else "")
    worst = "" if math.isnan(furthest) else f" (largest: {furthest:.4g})"
    if not failed:
        return f"{seen}, all within {criterion}{worst}"
    may = f", {allowed:,} allowed" if allowed else ""
    return f"{failed:,} of {seen} beyond {criterion}{worst}{may}"


def verdict_line(checked: Checked) -> str:
    """One line: passed or FAILED, of what, why."""
    return f"{'passed' if checked.passed else 'FAILED'}: {printable(checked.name)}: {printable(checked.sentence)}"


def annotation(checked: Checked) -> str:
    """A workflow command of GitHub Actions; nothing where the check passed.

    Format: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
    """
    if checked.passed:
        return ""
    message = _escaped("\n".join(map(printable, [checked.sentence, *checked.details])))
    properties = f"file={_property(printable(checked.name))},title={_property('softargmax check')}"
    return f"::error {properties}::{message}\n"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def junit(checks: Sequence[Checked]) -> str:
    """A JUnit XML document, a test case for each input.

    Format: https://github.com/testmoapp/junitxml
    """
    from xml.etree import ElementTree

    counts = {"tests": len(checks)}
    counts["failures"] = sum(checked.passed is False for checked in checks)
    counts["errors"] = sum(checked.passed is None for checked in checks)
    suite = ElementTree.Element("testsuite", {"name": "softargmax check"}, **{k: str(n) for k, n in counts.items()})
    for checked in checks:
        case = ElementTree.SubElement(suite, "testcase", classname="softargmax.check", name=printable(checked.name))
        if checked.passed:
            ElementTree.SubElement(case, "system-out").text = printable(checked.sentence)
        else:
            tag = "error" if checked.passed is None else "failure"
            failure = ElementTree.SubElement(case, tag, message=printable(checked.sentence))
            failure.text = "\n".join(map(printable, checked.details))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"
