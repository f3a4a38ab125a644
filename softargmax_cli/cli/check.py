"""`softargmax check`: test that soft is close enough to hard, or to a stored result."""

from __future__ import annotations

import io
import math
import re
import shlex
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from softargmax_cli.cli.messages import say
from softargmax_cli.cli.options import BetaOptions, ForceOptions, Inputs, grouped, option, output_option, refuse
from softargmax_cli.cli.pipeline import Job
from softargmax_cli.cli.references import References
from softargmax_cli.cli.verdicts import VerdictReport
from softargmax_cli.errors import OptionError
from softargmax_cli.files.writers.atomic import Document

if TYPE_CHECKING:
    from softargmax_cli.reduction.check import Allowance, Distance

NOT_CLOSE = 1  # the exit code if a check fails


@dataclass(frozen=True)
class Criterion:
    """The condition on which a check passes."""

    tol: float | None = option(None, "Check", "T", "Limits |soft - hard|. Default: 0.01.", min=0)
    allow: str = option("0", "Check", "N|P%", "Allows N failed slices, or P percent. Default: 0.")
    expect: str | None = option(None, "Check", "FILE|DIR/", "Compares soft with this result of run, in place of hard.")
    atol: float | None = option(None, "Check", "A", "Limits |soft - expected|. Default: 1e-06.", min=0)
    rtol: float | None = option(None, "Check", "R", "Adds R times |expected| to --atol. Default: 0.", min=0)
    fail_fast: bool = option(False, "Check", None, "Stops reading an input whose check has failed.", "--fail-fast")

    def limits(self) -> tuple[str, Distance]:
        """Return the limit in words, and the function that measures distances against it."""
        from softargmax_cli.reduction.check import close_to, within

        if self.expect is None:
            tol = 0.01 if self.tol is None else self.tol
            return f"|offset| <= {tol:.10g}", partial(within, tolerance=tol)
        atol, rtol = 1e-6 if self.atol is None else self.atol, self.rtol or 0.0
        relative = f" + {rtol:.10g} |expected|" if rtol else ""
        return f"{atol:.10g}{relative} of {self.expect}", partial(close_to, atol=atol, rtol=rtol)

    def check(self) -> None:
        """Raise OptionError for options that do not go together."""
        close = self.expect is None and (self.atol is not None or self.rtol is not None)
        what = "--atol and --rtol limit the distance from --expect"
        refuse(close, what, "give --expect FILE, or --tol for the distance from hard")
        what = "--tol limits the distance from hard; --atol and --rtol limit that from --expect"
        words = ["softargmax", *(re.sub(r"^--tol(?==|$)", "--atol", word) for word in sys.argv[1:])]
        remedy = f"try: {shlex.join(words)}" if self.atol is None else "leave out --tol"
        refuse(self.expect is not None and self.tol is not None, what, remedy)


@dataclass(frozen=True)
class ReportOptions(ForceOptions):
    """The format of the report, and its place."""

    format: Literal["table", "json", "github", "junit"] = option(
        "table", "Output", "FORMAT", "Chooses table, json, github or junit. Default: table."
    )
    output: str | None = output_option("FILE", "Writes the report here.")
    rows: int = option(20, "Output", "N", "Limits the report to the N worst slices; 0 shows all. Default: 20.", min=0)


@grouped
def check(inputs: Inputs, *, criterion: Criterion, asked: BetaOptions, shown: ReportOptions) -> int:
    """Check that soft is close to hard, or to an earlier result. The exit code is 1 if it is not.

    \b
    softargmax check scores.npy --tol 0.05 --allow 1%
    softargmax check scores.npy --expect soft.npy
    softargmax check scores.csv --format junit -o report.xml
    softargmax guide ci
    """
    criterion.check()
    job, allowance = Job(inputs, asked, shown.output, criterion.expect), allowance_of(criterion.allow)
    stored = None if criterion.expect is None else References("expect", criterion.expect, several=job.several)
    with ExitStack() as stack:
        stack.enter_context(job.begun([shown.output], reads=stored.files if stored else ()))
        from softargmax_cli.reduction.check import Check, with_expected
        from softargmax_cli.reduction.fields import NAMES
        from softargmax_cli.report.summary import TABLE_FIELDS

        document, text = None, io.StringIO()
        if shown.format != "table" or shown.output is not None:
            document = stack.enter_context(Document(shown.output or "-", force=shown.force))
        words, distance = criterion.limits()
        report, whole = (
            VerdictReport(shown.format, words, text if document else sys.stdout),
            Check(distance, allowance, 1),
        )
        for name in job.names:
            with job.trying(name, report.refuse), ExitStack() as files:
                fields = NAMES if shown.format == "json" else TABLE_FIELDS
                reduction = files.enter_context(job.opened(name, fields))
                known = files.enter_context(stored.opened(name, reduction)) if stored else None
                kept = reduction.run.kept
                total = None if None in kept else math.prod(n or 0 for n in kept)
                verdict = Check(distance, allowance, shown.rows, total)
                for slices in reduction:
                    if known is not None:
                        slices = with_expected(slices, known(len(slices), slices.ids), reduction.problem.geometries)
                    verdict.add(slices)
                    if criterion.fail_fast and verdict.settled:
                        verdict.stopped = verdict.slices != total
                        break
                else:
                    if known is not None:
                        known.end()
                if not verdict.slices:
                    reduction.notes.append("it has no slices, so nothing is checked")
                whole.join(verdict)
                report.add(reduction.run, verdict, f"max_abs_{'difference' if stored else 'offset'}")
                job.code = max(job.code, 0 if verdict.passed else NOT_CLOSE)
        if shown.format == "table" and all(checked.passed is None for checked in report.checks):
            return job.code  # an empty report would look like one in which nothing failed
        if stored is not None and job.code < 2:
            stored.end()
        if not report.end(whole if job.several else None):
            job.code = max(job.code, NOT_CLOSE)
        if document is not None:
            document.write(text.getvalue().encode("utf-8", "backslashreplace"))
            document.commit()
    if (shown.output is not None or shown.format in ("junit", "github")) and not job.quiet:
        for checked in report.checks:
            if checked.passed is not None:  # else its error has been printed
                say(checked.line)
    return job.code


def allowance_of(text: str) -> Allowance:
    """Parse `--allow`: the number of slices that may fail."""
    found = re.fullmatch(r"(\d{1,18})|(\d{1,3}(?:\.\d+)?)\s*%", text.strip())
    if found is None or (found[2] and float(found[2]) > 100):
        raise OptionError(
            f"--allow {text!r}: no number and no percentage",
            "give a number of slices, or a percentage up to 100%, as 0.5%",
        )
    from softargmax_cli.reduction.check import Allowance

    return Allowance(float(found[2]), percent=True) if found[2] else Allowance(int(found[1]))
