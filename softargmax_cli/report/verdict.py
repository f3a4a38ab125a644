"""Verdicts of a check: in one line for people, and as the files and lines that CI servers read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from softargmax_cli.report.text import counted, printable


@dataclass(frozen=True, slots=True)
class Checked:
    """A check of one input, as it is reported."""

    name: str
    passed: bool | None
    """None where the input cannot be used."""
    sentence: str
    """How many slices are off, and how far; or what is wrong with the input."""
    details: Sequence[str]
    """A line for each of the worst slices; or what to do about the input."""
    seconds: float = 0.0


def sentence_of(slices: int, failed: int, allowed: int, furthest: float, criterion: str, *, stopped: bool) -> str:
    """Say how many of the slices fail, how many may, and how far the worst is off."""
    seen = counted(slices) + (" so far" if stopped else "")
    worst = "" if math.isnan(furthest) else f" (largest: {furthest:.4g})"
    if not failed:
        return f"{seen}, all within {criterion}{worst}"
    may = f", {allowed:,} allowed" if allowed else ""
    return f"{failed:,} of {seen} beyond {criterion}{worst}{may}"


def verdict_line(checked: Checked) -> str:
    """Say that an input passed, or FAILED, and why, in one line."""
    return f"{'passed' if checked.passed else 'FAILED'}: {checked.name}: {checked.sentence}"


def annotation(checked: Checked) -> str:
    """Write a workflow command of GitHub Actions; nothing where the check passed.

    Format: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
    """
    if checked.passed:
        return ""
    message = "\n".join(map(printable, [checked.sentence, *checked.details]))
    name, message = (text.replace("%", "%25").replace("\n", "%0A") for text in (printable(checked.name), message))
    name = name.replace(":", "%3A").replace(",", "%2C")
    return f"::error file={name},title=softargmax check::{message}\n"


def junit(checks: Sequence[Checked]) -> str:
    """Write a JUnit XML document, a test case for each input.

    Format: https://github.com/testmoapp/junitxml
    """
    from xml.etree import ElementTree

    totals = {
        "tests": f"{len(checks)}",
        "failures": f"{sum(checked.passed is False for checked in checks)}",
        "errors": f"{sum(checked.passed is None for checked in checks)}",
        "time": f"{sum(checked.seconds for checked in checks):.3f}",
    }
    suite = ElementTree.Element("testsuite", {"name": "softargmax check", **totals})
    for checked in checks:
        about = {"classname": "softargmax.check", "name": printable(checked.name), "time": f"{checked.seconds:.3f}"}
        case = ElementTree.SubElement(suite, "testcase", about)
        if checked.passed:
            ElementTree.SubElement(case, "system-out").text = printable(checked.sentence)
        else:
            tag = "error" if checked.passed is None else "failure"
            failure = ElementTree.SubElement(case, tag, message=printable(checked.sentence))
            failure.text = "\n".join(map(printable, checked.details))
    suites = ElementTree.Element("testsuites", totals)
    suites.append(suite)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"
