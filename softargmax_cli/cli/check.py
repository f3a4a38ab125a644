"""`softargmax check`: is soft close enough to hard, or to a stored result?"""

from __future__ import annotations

import math
import re
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from softargmax_cli.cli import options
from softargmax_cli.cli.arguments import allowance, inverse_temperature, tolerance
from softargmax_cli.cli.messages import FAILED
from softargmax_cli.cli.options import ReadingOptions, ReductionOptions, RunningOptions, grouped
from softargmax_cli.errors import OptionError

if TYPE_CHECKING:
    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.cli.pipeline import Asked, Inputs
    from softargmax_cli.cli.references import References
    from softargmax_cli.reduction.check import Check

CHECK = "Check"
NOT_CLOSE = 1
"""The exit code where a check failed."""
TOLERANCE = 0.01
"""How far soft may lie from hard where nobody says it."""
ABSOLUTE = 1e-6
"""How far it may lie from what is expected."""


Tolerance = Annotated[
    float | None,
    options.option(CHECK, "Limits |soft - hard|. Default: 0.01.", "--tol", metavar="T", min=0, callback=tolerance),
]
Allow = Annotated[str, options.option(CHECK, "Allows N failed slices, or P percent. Default: 0.", metavar="N|P%")]
Expect = Annotated[
    str | None, options.option(CHECK, "Compares soft with this result of run, in place of hard.", metavar="FILE|DIR/")
]
Atol = Annotated[
    float | None,
    options.option(CHECK, "Limits |soft - expected|. Default: 1e-06.", metavar="A", min=0, callback=tolerance),
]
Rtol = Annotated[
    float | None,
    options.option(CHECK, "Limits it relative to |expected|. Default: 0.", metavar="R", min=0, callback=tolerance),
]
FailFast = Annotated[bool, options.option(CHECK, "Stops reading an input whose check has failed.", "--fail-fast")]
Format = Annotated[
    Literal["table", "json", "github", "junit"],
    options.option(options.OUTPUT, "Chooses table, json, github or junit. Default: table.", metavar="FORMAT"),
]
Output = Annotated[
    str | None, options.option(options.OUTPUT, "Writes the report here.", "--output", "-o", metavar="FILE")
]
Rows = Annotated[
    int,
    options.option(
        options.OUTPUT, "Limits the report to the N worst slices; 0 shows all. Default: 20.", metavar="N", min=0
    ),
]


@dataclass(frozen=True)
class Criterion:
    """When a check passes."""

    tol: Tolerance = None
    allow: Allow = "0"
    expect: Expect = None
    atol: Atol = None
    rtol: Rtol = None
    fail_fast: FailFast = False

    def __str__(self) -> str:
        if self.expect is None:
            return f"|offset| <= {self.offset:.10g}"
        atol, rtol = self.closeness
        relative = f" + {rtol:.10g} |expected|" if rtol else ""
        return f"{atol:.10g}{relative} of {self.expect}"

    @property
    def closeness(self) -> tuple[float, float]:
        """The largest difference from what is expected: in its unit, and relative to it."""
        return ABSOLUTE if self.atol is None else self.atol, self.rtol or 0.0

    @property
    def offset(self) -> float:
        """The largest distance from hard, where nothing is expected."""
        return TOLERANCE if self.tol is None else self.tol

    @property
    def allowed(self) -> tuple[float, bool]:
        """How many slices may fail; True for a percentage."""
        return allowance(self.allow)

    def check(self) -> None:
        """Raise BadParameter for an option that says nothing, OptionError for some that do not go together."""
        _ = self.allowed
        if self.expect is None:
            for option, value in (("--atol", self.atol), ("--rtol", self.rtol)):
                if value is not None:
                    raise OptionError(
                        f"{option} says how close to --expect", "give --expect FILE, or --tol for the offset"
                    )
            return
        if self.tol is not None:
            what = "--tol is a distance from hard; how close to --expect, --atol and --rtol say"
            words = [re.sub(r"^--tol(?==|$)", "--atol", word) for word in sys.argv[1:]]
            both = self.atol is not None
            raise OptionError(what, "leave out --tol" if both else f"try: {shlex.join(['softargmax', *words])}")


@dataclass(frozen=True)
class Shown:
    """What is reported, and where."""

    format: Format = "table"
    output: Output = None
    rows: Rows = 20
    force: options.Force = False


@grouped
def check(
    inputs: options.Inputs,
    *,
    criterion: Criterion,
    reduction: ReductionOptions,
    beta: options.Beta = None,
    temperature: options.Temperature = None,
    reading: ReadingOptions,
    shown: Shown,
    running: RunningOptions,
) -> int:
    """Check that soft is close to hard, or to an earlier result. The exit code is 1 if it is not.

    \b
    softargmax check scores.npy --tol 0.05 --allow 1%
    softargmax check scores.npy --expect soft.npy
    softargmax check scores.csv --format junit -o report.xml
    softargmax guide ci
    """
    from softargmax_cli.cli.pipeline import Asked

    asked = Asked.of(reduction, reading, running, inverse_temperature(beta, temperature, reduction.kind))
    criterion.check()
    return _check_all(inputs, asked, criterion, shown)


def _check_all(given: Sequence[str], asked: Asked, criterion: Criterion, shown: Shown) -> int:
    """Check each input and report; 0, 1 where a check failed, 2 where an input cannot be used."""
    from softargmax_cli.cli.destinations import spare_inputs
    from softargmax_cli.cli.inputs import find_inputs
    from softargmax_cli.cli.pipeline import for_each, say_notes
    from softargmax_cli.cli.references import References
    from softargmax_cli.cli.verdicts import VerdictReport
    from softargmax_cli.files.writers.atomic import Document
    from softargmax_cli.report.text import legible
    from softargmax_cli.report.verdict import verdict_line

    report = VerdictReport(shown)
    found = find_inputs(given, shown.output, criterion.expect, *asked.files)
    names, several = found.names, found.several
    found.say_notes(quiet=asked.quiet)
    with ExitStack() as stack:
        stored = None
        if criterion.expect is not None:
            stored = References("expect", criterion.expect, several=several)
        spare_inputs([shown.output], names, *(stored.files if stored else ()), *asked.files)
        document = None
        if report.out is not sys.stdout:
            document = stack.enter_context(Document(shown.output or "-", force=shown.force))

        def work(inputs: Inputs, name: str) -> int:
            begun = time.monotonic()
            with inputs.opened(name, report.fields) as reduction:
                verdict = _judged(reduction, criterion, shown.rows, name, stored)
                report.add(reduction.run, verdict, criterion, time.monotonic() - begun)
            if not asked.quiet:
                say_notes(reduction)
            return 0 if verdict.passed else NOT_CLOSE

        code = for_each(names, asked, work, report.refuse)
        if not report.checks:  # an empty report would look like one in which nothing failed
            return code
        if stored is not None and code != FAILED:
            stored.end()
        together = report.together(criterion) if several else None
        if together is not None and not together.passed:
            code = max(code, NOT_CLOSE)
        report.end(together)
        if document is not None:
            document.write(report.written())
            document.commit()
    if (shown.output is not None or shown.format in ("junit", "github")) and not asked.quiet:
        for checked in report.checks:
            if checked.passed is not None:  # else it has been said
                print(legible(verdict_line(checked), sys.stderr), file=sys.stderr)
    return code


def _judged(reduction: Reduction, criterion: Criterion, rows: int, name: str, references: References | None) -> Check:
    """Judge the slices of an input, named as it was given, by their offset or by what they are compared with."""
    from softargmax_cli.reduction.check import Allowance, Check, close_to, compared, within

    run = reduction.run
    with ExitStack() as stack:
        stored = None
        if references is None:
            distance = partial(within, tolerance=criterion.offset)
        else:
            from softargmax_cli.files.expected import expected

            stored = stack.enter_context(references.opened(name, run, expected, run.kept, len(run.axes)))
            atol, rtol = criterion.closeness
            distance = partial(close_to, atol=atol, rtol=rtol)
        total = None if None in run.kept else math.prod(n or 0 for n in run.kept)
        check = Check(distance, Allowance(*criterion.allowed), rows, total)
        for slices in reduction:
            if stored is not None:
                slices = compared(slices, stored(len(slices), slices.ids), reduction.problem.geometries)
            check.add(slices)
            if criterion.fail_fast and check.settled:
                check.stopped = check.slices != total
                return check
        if stored is not None:
            stored.end()
        return check
