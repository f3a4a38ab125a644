"""The report of `softargmax check`: a verdict on each input, as a table, json, annotations of GitHub, or JUnit."""

from __future__ import annotations

import io
import math
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

from softargmax_cli.errors import SoftArgmaxError, as_typed
from softargmax_cli.report.text import legible
from softargmax_cli.report.verdict import Checked, annotation, junit, sentence_of, verdict_line

if TYPE_CHECKING:
    from softargmax_cli.cli.check import Criterion, Shown
    from softargmax_cli.reduction.check import Check
    from softargmax_cli.reduction.result import Run


class VerdictReport:
    """Verdicts in one of the formats; those for people go to standard output as they come."""

    def __init__(self, shown: Shown) -> None:
        from softargmax_cli.reduction.fields import NAMES
        from softargmax_cli.report.summary import TABLE_FIELDS

        self.format = shown.format
        self.fields = frozenset(NAMES if self.format == "json" else TABLE_FIELDS)
        self.checks: list[Checked] = []
        self._bytes = io.BytesIO()
        self.out: TextIO = sys.stdout
        if self.format != "table" or shown.output is not None:  # data are UTF-8 wherever they go, as those of `run` are
            self.out = io.TextIOWrapper(self._bytes, "utf-8", "backslashreplace", newline="\n")
        self._objects: list[str] = []
        self._slices = self._failed = self._refused = 0
        self._furthest = math.nan

    def add(self, run: Run, verdict: Check, criterion: Criterion, seconds: float) -> None:
        """Report the verdict on one input."""
        self._slices, self._failed = self._slices + verdict.slices, self._failed + verdict.failed
        known = [far for far in (self._furthest, verdict.furthest) if not math.isnan(far)]
        self._furthest = max(known, default=math.nan)
        sentence = sentence_of(
            verdict.slices, verdict.failed, verdict.allowed, verdict.furthest, str(criterion), stopped=verdict.stopped
        )
        details: list[str] = []
        if self.format in ("github", "junit"):
            text = io.StringIO()
            _put_worst(run, verdict, text)
            details = text.getvalue().splitlines()
        checked = Checked(run.input, verdict.passed, sentence, details, seconds)
        if self.format == "json":
            self._objects.append(_json(run, verdict, criterion))
        elif self.format == "table":
            table = not verdict.passed and verdict.worst is not None
            if self.checks and (table or not self.checks[-1].passed):
                self.out.write("\n")
            self.out.write(legible(verdict_line(checked), self.out) + "\n")
            if table:
                self.out.write("\n")
                _put_worst(run, verdict, self.out)
            self.out.flush()
        self.checks.append(checked)

    def refuse(self, name: str, error: SoftArgmaxError) -> None:
        """Report an input that cannot be used, where a report is all that is read."""
        self._refused += 1
        if self.format == "table":
            return
        name = "<stdin>" if name == "-" else name
        what, remedy = as_typed(error.message).removeprefix(f"{name}: "), as_typed(error.remedy)
        self.checks.append(Checked(name, None, what, remedy.splitlines()))
        if self.format == "json":
            self._objects.append(_object({"input": name, "passed": None, "error": what, "remedy": remedy}))

    @property
    def _all_passed(self) -> bool:
        return all(checked.passed for checked in self.checks)

    def together(self, criterion: Criterion) -> Checked:
        """Judge the slices of all inputs as one."""
        from softargmax_cli.reduction.check import Allowance

        allowed = Allowance(*criterion.allowed).of(self._slices)
        sentence = sentence_of(self._slices, self._failed, allowed, self._furthest, str(criterion), stopped=False)
        if self._refused:
            sentence += f"; {self._refused} input{'' if self._refused == 1 else 's'} could not be used"
        return Checked("all inputs", self._failed <= allowed and not self._refused, sentence, ())

    def end(self, together: Checked | None) -> None:
        """Write what can be written only when all is known. together: the verdict on all of several inputs."""
        several = together is not None
        if together is not None and self.format == "table":
            self.out.write("\n" * (not self.checks[-1].passed) + legible(verdict_line(together), self.out) + "\n")
        elif together is not None and not together.passed and self.format != "json" and self._all_passed:
            self.checks.append(together)
        if self.format == "github":
            self.out.writelines(map(annotation, self.checks))
        elif self.format == "junit":
            self.out.write(junit(self.checks))
        elif self.format == "json" and several:
            states = [checked.passed for checked in self.checks]
            counts = {"inputs": len(states), "passed": states.count(True), "failed": states.count(False)}
            counts |= {"slices": self._slices, "failed_slices": self._failed}
            summary = _object({**counts, "errors": states.count(None)}, end=", ")
            self.out.write('{"inputs": [\n' + ",\n".join(self._objects) + f'],\n "summary": {summary}}}\n')
        elif self.format == "json":
            self.out.write(f"{self._objects[0]}\n")
        self.out.flush()

    def written(self) -> bytes:
        """The report as bytes, where it does not go to standard output at once."""
        self.out.flush()
        return self._bytes.getvalue()


def _put_worst(run: Run, verdict: Check, file: TextIO) -> None:
    """Print the worst slices, with the names of the columns and a rule above them."""
    if verdict.worst is None:
        return
    from softargmax_cli.report.slices import put_rows

    put_rows(verdict.worst, run, file)
    if more := verdict.failed - len(verdict.worst):
        file.write(f"and {more:,} more\n")


def _json(run: Run, verdict: Check, criterion: Criterion) -> str:
    from softargmax_cli.files.writers.json import JsonObjects
    from softargmax_cli.reduction.fields import EXPECTED_FIELDS

    worst: list[str] = []
    if verdict.worst is not None:
        fields = [field.name for field in EXPECTED_FIELDS if field.name in verdict.worst.columns]
        for batch in JsonObjects(replace(run, fields=tuple(fields)), fields).of(verdict.worst):
            worst += batch
    distance = "max_abs_offset" if criterion.expect is None else "max_abs_difference"
    about = {
        "input": run.input,
        "passed": verdict.passed,
        "slices": verdict.slices,
        "failed": verdict.failed,
        "allowed": verdict.allowed,
        distance: verdict.furthest if math.isfinite(verdict.furthest) else None,
    }
    return _object(about)[:-1] + ',\n "worst": [' + ",\n  ".join(worst) + "]}"


def _object(values: dict[str, Any], end: str = ",\n ") -> str:
    """Write values as a JSON object, a line each."""
    from softargmax_cli.files.writers.json import json_text

    return "{" + end.join(json_text({name: value})[1:-1] for name, value in values.items()) + "}"
