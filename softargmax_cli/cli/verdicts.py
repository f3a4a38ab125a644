"""Verdicts of `softargmax check`, reported as a table, as json, or as the files and lines that CI servers read."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TextIO

from softargmax_cli.errors import SoftArgmaxError, as_typed
from softargmax_cli.report.text import counted, legible, printable

if TYPE_CHECKING:
    from softargmax_cli.reduction.check import Check
    from softargmax_cli.reduction.result import Run


@dataclass(frozen=True, slots=True)
class Checked:
    """A check of one input, as it is reported."""

    name: str
    passed: bool | None
    """None where the input cannot be used."""
    sentence: str
    """How many slices are off, and how far; or what is wrong with the input."""
    details: Sequence[str] = ()
    """A line for each of the worst slices; or what to do about the input."""

    @property
    def line(self) -> str:
        """Say that an input passed, or FAILED, and why."""
        return f"{'passed' if self.passed else 'FAILED'}: {self.name}: {self.sentence}"


class VerdictReport:
    """The verdicts on a command's inputs, in one of the formats; a table is written as they come, others in the end."""

    def __init__(self, format: str, criterion: str, whole: Check, out: TextIO) -> None:
        """criterion: how far is too far, in words; whole: takes the numbers of all inputs."""
        self._format, self._criterion, self._whole, self._out = format, criterion, whole, out
        self.checks: list[Checked] = []
        self._objects: list[dict[str, Any]] = []
        self._gap = ""

    def add(self, run: Run, verdict: Check, distance: str) -> None:
        """Report the verdict on one input. distance: the name of the largest one, in json."""
        whole, details = self._whole, io.StringIO()
        whole.slices, whole.failed = whole.slices + verdict.slices, whole.failed + verdict.failed
        known = [furthest for furthest in (whole.furthest, verdict.furthest) if not math.isnan(furthest)]
        whole.furthest = max(known, default=math.nan)
        checked = Checked(run.input, verdict.passed, sentence_of(verdict, self._criterion))
        if self._format == "json":
            self._objects.append(_object(run, verdict, distance))
        elif self._format == "table":
            self._put(checked)
            if not verdict.passed:
                self._out.write("\n")
                _put_worst(run, verdict, self._out)
        else:
            _put_worst(run, verdict, details)
        self.checks.append(replace(checked, details=details.getvalue().splitlines()))

    def _put(self, checked: Checked) -> None:
        self._out.write(self._gap + legible(checked.line, self._out) + "\n")
        self._gap = "" if checked.passed else "\n"

    def refuse(self, name: str, error: SoftArgmaxError) -> None:
        """Report an input that cannot be used."""
        name = "<stdin>" if name == "-" else name
        what, remedy = as_typed(error.message).removeprefix(f"{name}: "), as_typed(error.remedy)
        self.checks.append(Checked(name, None, what, remedy.splitlines()))
        self._objects.append({"input": name, "passed": None, "error": what, "remedy": remedy})

    def end(self, *, several: bool) -> bool:
        """Judge the slices of all inputs as one, and write what is written at last; True if they pass."""
        whole, states = self._whole, [checked.passed for checked in self.checks]
        sentence = sentence_of(whole, self._criterion)
        if errors := states.count(None):
            sentence += f"; {counted(errors, 'input')} could not be used"
        together = Checked("all inputs", whole.passed and not errors, sentence)
        if self._format == "json":
            from softargmax_cli.files.writers.json import json_text

            summary = {"inputs": len(states), "passed": states.count(True), "failed": states.count(False)}
            summary |= {"slices": whole.slices, "failed_slices": whole.failed, "errors": errors}
            document = {"inputs": self._objects, "summary": summary} if several else self._objects[0]
            self._out.write(json_text(document, indent=1) + "\n")
        elif self._format == "table" and several:
            self._put(together)
        elif several and all(states) and not whole.passed:
            self.checks.append(together)
        if self._format == "github":
            self._out.writelines(map(annotation, self.checks))
        elif self._format == "junit":
            self._out.write(junit(self.checks))
        self._out.flush()
        return bool(together.passed)


def sentence_of(check: Check, criterion: str) -> str:
    """Say how many of the slices fail, how many may, and how far the worst is off."""
    seen = counted(check.slices) + (" so far" if check.stopped else "")
    worst = "" if math.isnan(check.furthest) else f" (largest: {check.furthest:.4g})"
    if not check.failed:
        return f"{seen}, all within {criterion}{worst}"
    may = f", {check.allowed:,} allowed" if check.allowed else ""
    return f"{check.failed:,} of {seen} beyond {criterion}{worst}{may}"


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
    }
    suites = ElementTree.Element("testsuites", totals)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "softargmax check", **totals})
    for checked in checks:
        about = {"classname": "softargmax.check", "name": printable(checked.name)}
        case = ElementTree.SubElement(suite, "testcase", about)
        if checked.passed:
            ElementTree.SubElement(case, "system-out").text = printable(checked.sentence)
        else:
            tag = "error" if checked.passed is None else "failure"
            failure = ElementTree.SubElement(case, tag, message=printable(checked.sentence))
            failure.text = "\n".join(map(printable, checked.details))
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _put_worst(run: Run, verdict: Check, file: TextIO) -> None:
    """Print the worst slices, with the names of the columns and a rule above them."""
    if (worst := verdict.worst) is not None:
        from softargmax_cli.report.slices import put_rows

        put_rows(worst, run, file)
        file.write(f"and {verdict.failed - len(worst):,} more\n" if verdict.failed > len(worst) else "")


def _object(run: Run, verdict: Check, distance: str) -> dict[str, Any]:
    """Describe a verdict by its names in JSON."""
    from softargmax_cli.files.writers.json import objects
    from softargmax_cli.files.writers.text import Columns
    from softargmax_cli.reduction.fields import BY_NAME

    about = {"input": run.input} | {name: getattr(verdict, name) for name in ("passed", "slices", "failed", "allowed")}
    about[distance], worst = verdict.furthest, verdict.worst
    fields = tuple(name for name in BY_NAME if worst is not None and name in worst.columns)
    columns = Columns(replace(run, fields=fields), fields)
    return {**about, "worst": [] if worst is None else [*objects(columns, worst)]}
