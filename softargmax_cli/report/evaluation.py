"""Print how far hard and soft lie from the truth, as a table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TextIO

from softargmax_cli.reduction.result import Run, Slices
from softargmax_cli.reduction.truth import NUMBERS, Evaluation
from softargmax_cli.report.table import (
    Column,
    coordinates,
    numbers_of,
    places_of,
    put_columns,
    put_heading,
    put_line,
    soft_of,
)
from softargmax_cli.report.text import FULL, Signs, short, signs_of


def put_evaluation(evaluation: Evaluation, worst: Slices | None, run: Run, file: TextIO) -> None:
    """Print heading, a row for each estimate and the counts of slices to `file`; then the worst, if any."""
    put_heading(run, run.known_shape, file)
    _put_estimates(evaluation, run.epsilon * min(run.steps, default=1.0), file)
    if worst is not None:
        put_line(file, "")
        put_columns(_worst_columns(worst, run, file), [""] * len(worst), file)


def put_total(evaluation: Evaluation, file: TextIO) -> None:
    """Print what is said of the slices of all inputs together."""
    put_line(file, "")
    put_line(file, "all inputs", "bold")
    put_line(file, "")
    _put_estimates(evaluation, 0.0, file)


def _put_estimates(evaluation: Evaluation, bound: float, file: TextIO) -> None:
    """Print a row for each estimate, and the counts of slices. bound: that of the error of soft itself."""
    signs = signs_of(file)
    put_columns(_columns(evaluation, bound, signs), [""] * len(evaluation.estimates), file)
    put_line(file, "")
    put_line(file, evaluation_line(evaluation, signs))


def evaluation_line(evaluation: Evaluation, signs: Signs = FULL) -> str:
    """Count the slices, and those that could not be compared."""
    parts = [f"{evaluation.slices:,} slice{'' if evaluation.slices == 1 else 's'}"]
    parts += [f"{evaluation.missing:,} without a truth"] * (evaluation.missing > 0)
    parts += [f"{evaluation.undefined:,} undefined"] * (evaluation.undefined > 0)
    return signs.dot.join(parts)


def _columns(evaluation: Evaluation, bound: float, signs: Signs) -> Iterator[Column]:
    estimates = evaluation.estimates

    def spelt(number: float) -> str:
        return signs.none if math.isnan(number) else short(number, bound)

    yield Column("estimate", [errors.name for errors in estimates], "left")
    for name in NUMBERS:
        yield Column(name.removesuffix("_error"), coordinates([[spelt(getattr(errors, name)) for errors in estimates]]))
    for spare, limit in enumerate(estimates[0].within, 1):
        shares = [errors.within[limit] for errors in estimates]
        cells = [signs.none if math.isnan(share) else f"{100 * share:.1f} %" for share in shares]
        yield Column(f"within {limit:.10g}", cells, spare=spare)


def _worst_columns(worst: Slices, run: Run, file: TextIO) -> Iterator[Column]:
    signs = signs_of(file)
    yield from places_of(worst, run, file)
    yield soft_of(worst, run, signs)
    for spare, name in ((0, "truth"), (1, "hard_error"), (0, "soft_error")):
        yield numbers_of(worst, name, signs, spare=spare)
