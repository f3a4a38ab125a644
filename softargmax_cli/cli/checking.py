"""`softargmax check` from names to verdicts."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from softargmax_cli.cli.asking import Asked, Inputs, Reduction, for_each
from softargmax_cli.cli.destinations import spare_inputs
from softargmax_cli.errors import OptionError, SoftArgmaxError, as_typed
from softargmax_cli.report.verdict import Checked, annotation, junit, sentence_of, verdict_line

if TYPE_CHECKING:
    from softargmax_cli.reduction.check import Verdict
    from softargmax_cli.reduction.result import Run

TOLERANCE = 0.01
"""How far soft may lie from hard where nobody says it."""
ABSOLUTE = 1e-6
"""How far it may lie from what is expected."""
NOT_CLOSE = 1
"""The exit code where a check failed."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """When a check passes."""

    tol: float | None
    allow: tuple[float, bool]
    """How many slices may fail, and whether that is a percentage."""
    expect: str | None
    atol: float | None
    rtol: float | None
    fail_fast: bool

    def __str__(self) -> str:
        if self.expect is None:
            return f"|offset| <= {TOLERANCE if self.tol is None else self.tol:.10g}"
        atol, rtol = self.closeness
        relative = f" + {rtol:.10g} |expected|" if rtol else ""
        return f"{atol:.10g}{relative} of {self.expect}"

    @property
    def closeness(self) -> tuple[float, float]:
        """How close to what is expected: in its unit, and relative to it."""
        return ABSOLUTE if self.atol is None else self.atol, self.rtol or 0.0


def check_all(
    names: Sequence[str],
    asked: Asked,
    criterion: Criterion,
    format: str,
    output: str | None,
    rows: int,
    *,
    force: bool,
) -> int:
    """Check each input and report; 0, 1 where a check failed, 2 where an input cannot be used.

    Raises OptionError where options contradict each other.
    """
    if criterion.expect is not None and criterion.tol is not None:
        what = "--expect and --tol both say what to compare with"
        raise OptionError(what, "give one of them; --atol and --rtol go with --expect")
    if criterion.expect is None:
        for option, value in (("--atol", criterion.atol), ("--rtol", criterion.rtol)):
            if value is not None:
                raise OptionError(f"{option} says how close to --expect", "give --expect FILE, or --tol for the offset")
    if criterion.expect is not None and len(names) > 1:
        raise OptionError("--expect holds the result of one input", "check one input at a time")
    spare_inputs([output], names, criterion.expect, *asked.files)
    from softargmax_cli.files.temporary import blaming
    from softargmax_cli.files.writers.atomic import open_target

    # Data are UTF-8 wherever they go, as those of `run` are; what people read is what their terminal can show.
    plain = format == "table" and output is None
    report = _Report(format, (plain and sys.stdout.encoding) or "utf-8")
    with ExitStack() as stack:
        target = open_target("-" if output is None else output, force=force)
        stack.callback(target.abort)

        def work(inputs: Inputs, name: str) -> int:
            with inputs.opened(name, report.fields) as reduction:
                passed = report.add(reduction, _judged(reduction, criterion, rows), criterion)
            if not asked.quiet:
                reduction.say_notes()
            return 0 if passed else NOT_CLOSE

        code = for_each(names, asked, work, report.refuse)
        if not report.checks:  # an empty report would look like one in which nothing failed
            return code
        with blaming(target.name):
            target.stream.write(report.text().encode(report.encoding, "backslashreplace"))
            target.commit()
        stack.pop_all()
        if (output is not None or format in ("junit", "github")) and not asked.quiet:
            for checked in report.checks:
                if checked.passed is not None:  # else it has been said
                    print(verdict_line(checked), file=sys.stderr)
    return code


def _judged(reduction: Reduction, criterion: Criterion, rows: int) -> Verdict:
    from softargmax_cli.reduction.check import Allowance, Check, close_to, within

    with ExitStack() as stack:
        stored = None
        if criterion.expect is None:
            distance = within(TOLERANCE if criterion.tol is None else criterion.tol)
        else:
            from softargmax_cli.files.expected import expected

            run = reduction.run
            stored = stack.enter_context(expected(criterion.expect, run.kept, len(run.axes)))
            distance = close_to(stored, *criterion.closeness)
        check = Check(distance, Allowance(*criterion.allow), rows)
        kept = reduction.run.kept
        total = None if None in kept else math.prod(n or 0 for n in kept)
        for slices in reduction:
            check.add(slices)
            if criterion.fail_fast and check.settled(total):
                return check.verdict(total, stopped=True)
        if stored is not None:
            stored.end()
        return check.verdict()


class _Report:
    """Verdicts in one of the formats."""

    def __init__(self, format: str, encoding: str) -> None:
        from softargmax_cli.reduction.fields import NAMES
        from softargmax_cli.report.summary import TABLE_FIELDS

        self.format, self.encoding = format, encoding
        self.fields = frozenset(NAMES if format == "json" else TABLE_FIELDS)
        self.checks: list[Checked] = []
        self._documents: list[str] = []

    def add(self, reduction: Reduction, verdict: Verdict, criterion: Criterion) -> bool:
        """The verdict on one input; whether it passed."""
        run = reduction.run
        sentence = sentence_of(
            verdict.slices, verdict.failed, verdict.allowed, verdict.furthest, str(criterion), stopped=verdict.stopped
        )
        table = _table(run, verdict, self.encoding)
        checked = Checked(run.input, verdict.passed, sentence, table.splitlines())
        self.checks.append(checked)
        if self.format == "json":
            self._documents.append(_json(run, verdict, criterion))
        elif self.format == "github":
            self._documents.append(annotation(checked))
        elif self.format == "table":
            self._documents.append(verdict_line(checked) + "\n" + ("" if verdict.passed else "\n" + table))
        return verdict.passed

    def refuse(self, name: str, error: SoftArgmaxError) -> None:
        """Report an input that cannot be used, where a report is all that is read."""
        if self.format == "table":
            return
        name = "<stdin>" if name == "-" else name
        checked = Checked(
            name, None, as_typed(error.message).removeprefix(f"{name}: "), as_typed(error.remedy).splitlines()
        )
        self.checks.append(checked)
        if self.format == "github":
            self._documents.append(annotation(checked))
        elif self.format == "json":
            self._documents.append(_refusal(checked))

    def text(self) -> str:
        """All of them."""
        if self.format == "junit":
            return junit(self.checks)
        tables = self.format == "table" and not all(checked.passed for checked in self.checks)
        return ("\n" if tables else "").join(self._documents)


def _table(run: Run, verdict: Verdict, encoding: str) -> str:
    """The worst slices, with the names of the columns and a rule above them."""
    if verdict.worst is None:
        return ""
    from softargmax_cli.report.table import put_rows

    file = io.TextIOWrapper(io.BytesIO(), encoding, "backslashreplace", newline="\n")
    put_rows(verdict.worst, run, file)
    file.seek(0)
    more = verdict.failed - len(verdict.worst)
    return file.read() + (f"and {more:,} more\n" if more else "")


def _json(run: Run, verdict: Verdict, criterion: Criterion) -> str:
    from softargmax_cli.files.writers.json import JsonObjects, json_string, json_value
    from softargmax_cli.reduction.fields import NAMES

    worst: list[str] = []
    if verdict.worst is not None:
        for batch in JsonObjects(run, NAMES).of(verdict.worst):
            worst += batch
    distance = "max_abs_offset" if criterion.expect is None else "max_abs_difference"
    return _object(
        {
            "input": json_string(run.input),
            "passed": json.dumps(verdict.passed),
            "slices": json_value(verdict.slices),
            "failed": json_value(verdict.failed),
            "allowed": json_value(verdict.allowed),
            distance: json_value(verdict.furthest),
            "worst": "[" + ",\n  ".join(worst) + "]",
        }
    )


def _refusal(checked: Checked) -> str:
    """Of an input that cannot be used."""
    from softargmax_cli.files.writers.json import json_string

    error, remedy = json_string(checked.sentence), json_string("\n".join(checked.details))
    return _object({"input": json_string(checked.name), "passed": "null", "error": error, "remedy": remedy})


def _object(values: Mapping[str, str]) -> str:
    """Values in JSON under their names, a line each."""
    return "{" + ",\n ".join(f'"{name}": {value}' for name, value in values.items()) + "}\n"
