"""Print how far hard and soft lie from the truth, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from softargmax_cli.reduction.result import Run, Slices
from softargmax_cli.reduction.truth import Evaluation
from softargmax_cli.report.slices import numbers_of, places, put_heading
from softargmax_cli.report.summary import DOT, error_bound
from softargmax_cli.report.table import Column, numbers, put_columns, put_line
from softargmax_cli.report.text import counted


def put_evaluation(evaluation: Evaluation, worst: Slices | None, run: Run, file: TextIO) -> None:
    """Print heading, a row for each estimate and the counts of slices to `file`; then the worst, if any."""
    put_heading(run, file)
    _put_estimates(evaluation, error_bound(run), file)
    if worst is not None:
        put_line(file, "")
        errors = numbers_of(worst, run, {"truth": 0, "hard_error": 1, "soft_error": 0})
        put_columns([*places(worst, run), *errors], file)


def put_total(evaluation: Evaluation, file: TextIO) -> None:
    """Print what is said of the slices of all inputs together."""
    put_line(file, "")
    put_line(file, "all inputs", "bold")
    put_line(file, "")
    _put_estimates(evaluation, 0.0, file)


def _put_estimates(evaluation: Evaluation, bound: float, file: TextIO) -> None:
    """Print a row for each estimate, and the counts of slices. bound: that of the error of soft itself."""
    put_columns(_columns(evaluation, bound), file)
    put_line(file, "")
    parts = [counted(evaluation.slices)]
    parts += [f"{evaluation.missing:,} without a truth"] * (evaluation.missing > 0)
    parts += [f"{evaluation.undefined:,} undefined"] * (evaluation.undefined > 0)
    put_line(file, DOT.join(parts))


def _columns(evaluation: Evaluation, bound: float) -> Iterator[Column]:
    estimates = evaluation.estimates
    yield Column("estimate", [errors.name for errors in estimates], "left")
    found = evaluation.numbers()
    for name in found[0]:
        yield numbers(name.removesuffix("_error"), [each[name] for each in found], bounds=bound)
    for spare, limit in enumerate(estimates[0].within, 1):
        shares = [100 * errors.within[limit] for errors in estimates]
        yield numbers(f"within {limit:.10g}", shares, "{:.1f} %".format, spare=spare)
