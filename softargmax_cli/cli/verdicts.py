"""Verdicts of `softargmax check`, reported as a table, as json, or as the files and lines that CI servers read."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TextIO

from softargmax_cli.errors import SoftArgmaxError, as_typed
from softargmax_cli.report.text import counted, legible, printable

if TYPE_CHECKING:
    from softargmax_cli.reduction.check import Allowance, Check
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
    seconds: float = 0.0

    @property
    def line(self) -> str:
        """Say that an input passed, or FAILED, and why."""
        return f"{'passed' if self.passed else 'FAILED'}: {self.name}: {self.sentence}"


class VerdictReport:
    """The verdicts on a command's inputs, in one of the formats; a table is written as they come, others in the end."""

    def __init__(self, format: str, criterion: str, allowance: Allowance, out: TextIO) -> None:
        """criterion: how far is too far, in words; allowance: how many slices may be off."""
        self._format, self._criterion, self._allowance, self._out = format, criterion, allowance, out
        self.checks: list[Checked] = []
        self._verdicts: list[Check] = []
        self._refused = 0
        self._objects: list[dict[str, Any]] = []

    def add(self, run: Run, verdict: Check, distance: str, seconds: float) -> None:
        """Report the verdict on one input. distance: the name of the largest one, in json."""
        worst = io.StringIO() if self._format != "table" else self._out
        sentence = sentence_of(
            verdict.slices, verdict.failed, verdict.allowed, verdict.furthest, self._criterion, stopped=verdict.stopped
        )
        checked = Checked(run.input, verdict.passed, sentence, (), seconds)
        if self._format == "json":
            self._objects.append(_object(run, verdict, distance))
        elif self._format == "table":
            if self.checks and not (checked.passed and self.checks[-1].passed):
                self._out.write("\n")
            self._out.write(legible(checked.line, self._out) + "\n" + "\n" * (not checked.passed))
        if self._format != "json" and not (self._format == "table" and verdict.passed):
            _put_worst(run, verdict, worst)
        if isinstance(worst, io.StringIO):
            checked = replace(checked, details=worst.getvalue().splitlines())
        self._out.flush()
        self._verdicts.append(verdict)
        self.checks.append(checked)

    def refuse(self, name: str, error: SoftArgmaxError) -> None:
        """Report an input that cannot be used, where a report is all that is read."""
        self._refused += 1
        if self._format == "table":
            return
        name = "<stdin>" if name == "-" else name
        what, remedy = as_typed(error.message).removeprefix(f"{name}: "), as_typed(error.remedy)
        self.checks.append(Checked(name, None, what, remedy.splitlines()))
        self._objects.append({"input": name, "passed": None, "error": what, "remedy": remedy})

    def end(self, *, several: bool) -> bool:
        """Judge the slices of all of several inputs as one, and write what is written at last; True if they pass."""
        together = self._together()
        everything = all(checked.passed for checked in self.checks)
        if self._format == "table" and several:
            self._out.write("\n" * (not self.checks[-1].passed) + legible(together.line, self._out) + "\n")
        elif several and everything and not together.passed and self._format != "json":
            self.checks.append(together)
        if self._format == "github":
            self._out.writelines(map(annotation, self.checks))
        elif self._format == "junit":
            self._out.write(junit(self.checks))
        elif self._format == "json":
            from softargmax_cli.files.writers.json import json_text

            self._out.write(json_text(self._document() if several else self._objects[0], indent=1) + "\n")
        self._out.flush()
        return bool(together.passed)

    def _together(self) -> Checked:
        slices, failed = (sum(getattr(each, name) for each in self._verdicts) for name in ("slices", "failed"))
        furthest = [each.furthest for each in self._verdicts if not math.isnan(each.furthest)]
        largest = max(furthest, default=math.nan)
        allowed = self._allowance.of(slices)
        sentence = sentence_of(slices, failed, allowed, largest, self._criterion)
        if self._refused:
            sentence += f"; {self._refused} input{'' if self._refused == 1 else 's'} could not be used"
        return Checked("all inputs", failed <= allowed and not self._refused, sentence)

    def _document(self) -> dict[str, Any]:
        states = [checked.passed for checked in self.checks]
        counts = {"inputs": len(states), "passed": states.count(True), "failed": states.count(False)}
        counts |= {"slices": sum(each.slices for each in self._verdicts)}
        counts |= {"failed_slices": sum(each.failed for each in self._verdicts), "errors": states.count(None)}
        return {"inputs": self._objects, "summary": counts}


def sentence_of(
    slices: int, failed: int, allowed: int, furthest: float, criterion: str, *, stopped: bool = False
) -> str:
    """Say how many of the slices fail, how many may, and how far the worst is off."""
    seen = counted(slices) + (" so far" if stopped else "")
    worst = "" if math.isnan(furthest) else f" (largest: {furthest:.4g})"
    if not failed:
        return f"{seen}, all within {criterion}{worst}"
    may = f", {allowed:,} allowed" if allowed else ""
    return f"{failed:,} of {seen} beyond {criterion}{worst}{may}"


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
    suites = ElementTree.Element("testsuites", totals)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "softargmax check", **totals})
    for checked in checks:
        about = {"classname": "softargmax.check", "name": printable(checked.name), "time": f"{checked.seconds:.3f}"}
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
    if verdict.worst is None:
        return
    from softargmax_cli.report.slices import put_rows

    put_rows(verdict.worst, run, file)
    if more := verdict.failed - len(verdict.worst):
        file.write(f"and {more:,} more\n")


def _object(run: Run, verdict: Check, distance: str) -> dict[str, Any]:
    """Describe a verdict by its names in JSON."""
    from softargmax_cli.files.writers.json import JsonObjects
    from softargmax_cli.reduction.fields import EXPECTED_FIELDS

    about: dict[str, Any] = {"input": run.input}
    about |= {name: getattr(verdict, name) for name in ("passed", "slices", "failed", "allowed")}
    about |= {distance: verdict.furthest, "worst": []}
    if (worst := verdict.worst) is not None:
        fields = tuple(field.name for field in EXPECTED_FIELDS if field.name in worst.columns)
        batches = JsonObjects(replace(run, fields=fields), fields).of(worst)
        about["worst"] = [json.loads(one) for batch in batches for one in batch]
    return about
