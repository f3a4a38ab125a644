"""Verdicts of `softargmax check`, reported as a table, as json, or as the files and lines that CI servers read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TextIO

from softargmax_cli.errors import SoftArgmaxError, as_typed, counted
from softargmax_cli.report.text import legible, printable

if TYPE_CHECKING:
    from softargmax_cli.reduction.check import Check
    from softargmax_cli.reduction.result import Run


@dataclass(frozen=True, slots=True)
class Checked:
    """A check of one input, as it is reported."""

    name: str
    passed: bool | None
    """None if the input cannot be used."""
    sentence: str
    """The number of slices that are off, and the largest distance; or the error of the input."""
    details: Sequence[str] = ()
    """A line for each of the worst slices; or the remedy for the input."""
    object: dict[str, Any] = field(default_factory=dict)
    """The object of json."""

    @property
    def line(self) -> str:
        """Say that an input passed, or FAILED, and why."""
        return f"{'passed' if self.passed else 'FAILED'}: {self.name}: {self.sentence}"


class VerdictReport:
    """The verdicts on a command's inputs, in one of the formats; a table is written as they come, others at the end."""

    def __init__(self, format: str, criterion: str, out: TextIO) -> None:
        """criterion: the limit, in words."""
        self._format, self._criterion, self._out = format, criterion, out
        self.checks: list[Checked] = []
        self._gap = ""

    def add(self, run: Run, verdict: Check, distance: str) -> None:
        """Report the verdict on one input. distance: the name of the largest one, in json."""
        checked, details = Checked(run.input, verdict.passed, sentence_of(verdict, self._criterion)), io.StringIO()
        if self._format == "table":
            self._put(checked)
            if not verdict.passed:
                self._out.write("\n")
                _put_worst(run, verdict, self._out)
        elif self._format == "json":
            checked = replace(checked, object=_object(run, verdict, distance))
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
        about = {"input": name, "passed": None, "error": what, "remedy": remedy}
        self.checks.append(Checked(name, None, what, remedy.splitlines(), about))

    def end(self, whole: Check | None) -> bool:
        """Write the rest of the report; return True if all inputs pass. whole: the check of all, if several."""
        states = [checked.passed for checked in self.checks]
        errors, passed = states.count(None), all(states)
        if whole is not None:
            sentence, passed = sentence_of(whole, self._criterion), whole.passed and not errors
            sentence += f"; {counted(errors, 'input')} could not be used" if errors else ""
            together = Checked("all inputs", passed, sentence)
            if self._format == "table":
                self._put(together)
            elif all(states) and not passed:
                self.checks.append(together)
        if self._format == "json":
            from softargmax_cli.files.writers.json import json_text

            document: dict[str, Any] = self.checks[0].object
            if whole is not None:
                summary = {"inputs": len(states), "passed": states.count(True), "failed": states.count(False)}
                summary |= {"slices": whole.slices, "failed_slices": whole.failed, "errors": errors}
                document = {"inputs": [each.object for each in self.checks if each.object], "summary": summary}
            self._out.write(json_text(document, indent=1) + "\n")
        elif self._format == "github":
            self._out.writelines(map(annotation, self.checks))
        elif self._format == "junit":
            self._out.write(junit(self.checks))
        self._out.flush()
        return passed


def sentence_of(check: Check, criterion: str) -> str:
    """Give the number of slices that fail, the number that may, and the distance of the worst."""
    seen = counted(check.slices) + (" so far" if check.stopped else "")
    worst = "" if check.furthest != check.furthest else f" (largest: {check.furthest:.4g})"
    if not check.failed:
        return f"{seen}, all within {criterion}{worst}"
    may = f", {check.allowed:,} allowed" if check.allowed else ""
    return f"{check.failed:,} of {seen} beyond {criterion}{worst}{may}"


def annotation(checked: Checked) -> str:
    """Write a workflow command of GitHub Actions; nothing if the check passed.

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

    states = [checked.passed for checked in checks]
    totals = {"tests": len(states), "failures": states.count(False), "errors": states.count(None)}
    attributes = {name: str(total) for name, total in totals.items()}
    suites = ElementTree.Element("testsuites", attributes)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "softargmax check", **attributes})
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
    if (worst := verdict.worst) is not None:
        from softargmax_cli.report.slices import put_rows

        put_rows(worst, run, file)
        file.write(f"and {verdict.failed - len(worst):,} more\n" if verdict.failed > len(worst) else "")


def _object(run: Run, verdict: Check, distance: str) -> dict[str, Any]:
    from softargmax_cli.files.writers.json import objects
    from softargmax_cli.files.writers.text import FieldColumns
    from softargmax_cli.reduction.fields import BY_NAME

    about = {"input": run.input} | {name: getattr(verdict, name) for name in ("passed", "slices", "failed", "allowed")}
    about[distance], worst = verdict.furthest, verdict.worst
    fields = tuple(name for name in BY_NAME if worst is not None and name in worst.columns)
    columns = FieldColumns(replace(run, fields=fields), fields)
    return {**about, "worst": [] if worst is None else [*objects(columns, worst)]}
