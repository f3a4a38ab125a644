"""The slices of a run as a table, with the shape of their scores as sparklines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TextIO

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import counted
from softargmax_cli.reduction.excerpt import Read
from softargmax_cli.reduction.result import Run, Slices, Summary
from softargmax_cli.report.summary import DOT, First, heading, marks, settings, summary_line
from softargmax_cli.report.table import Column, coordinates, numbers, put_columns, put_line
from softargmax_cli.report.text import decimals, encodable, fixed, short

STYLES = {"∅": "yellow", "≠": "bold red", "≈": "bold red", "∩": "magenta"}
NUMBERS = {"difference": 0, "offset": 1, "peak": 2, "second": 4, "spread": 3}
"""The fields that follow the places, and the `Column.spare` of each."""
GRADIENTS = {"x": {"norm": 0, "min": 0, "max": 0}, "beta": {"gradient": 0}}
SPARKLINE = {"scores": "scores", "cost": "costs", "probs": "weights"}
LEVELS, WIDEST = "▁▂▃▄▅▆▇█", 16
"""The characters of sparklines, and the most in a line."""
MOST_SCORES = 1 << 18
"""The most scores that are read again for sparklines; more would make a run noticeably slower."""

Float = npt.NDArray[np.float64]


def put_heading(run: Run, file: TextIO) -> None:
    """Print the input, the settings of the run, and an empty line."""
    put_line(file, DOT.join([*heading(run), run.device]), "bold")
    if said := settings(run):
        put_line(file, DOT.join(said))
    put_line(file, "")


def put_table(
    first: First, run: Run, summary: Summary, file: TextIO, *, read: Read | None = None, count: int | None = None
) -> None:
    """Print the heading, the first slices and the summary of a run.

    count: the number of slices that there were to show, if not all. read: reads scores again for sparklines.
    """
    slices, excerpt = first.slices, None
    if slices is not None and read is not None and sparkling(run, len(slices)):
        excerpt = read(slices.places.tolist())
    put_heading(run, file)
    if slices is not None:
        put_rows(slices, run, file, best=None if excerpt is None else excerpt.best(run.kind))
    elif summary.slices:
        put_line(file, "no slice to show", "dim")
    if (more := (summary.slices if count is None else count) - first.count) > 0:
        put_line(file, f"… and {counted(more, 'more slice')}", "dim")
    if summary.slices:
        put_line(file, "")
    put_line(file, summary_line(summary, run))


def put_rows(slices: Slices, run: Run, file: TextIO, *, best: Float | None = None) -> None:
    """Print a table with a row for each slice. best: the best score of each cell, for sparklines."""
    noted = [*marks(slices)]
    columns = [*places(slices, run), *numbers_of(slices, run, NUMBERS if run.wrt is None else GRADIENTS[run.wrt])]
    if best is not None and encodable(LEVELS, file) == LEVELS:
        columns.append(Column(SPARKLINE[run.kind], sparklines(best, run.kind), "left", spare=5))
    put_columns([*columns, Column("", noted, "left")], file, [STYLES.get(mark[:1], "") for mark in noted])


def places(slices: Slices, run: Run) -> Iterator[Column]:
    """Yield the columns that name the slices, and those of their hard and soft argmax."""
    if run.kept:
        yield numbers("slice", slices.positions(run.kept), "{:.0f}".format)
    if slices.ids is not None:
        yield Column("id", slices.ids, "left")
    yield numbers("hard", np.where(slices.hard < 0, math.nan, slices.hard), "{:.0f}".format)
    if run.labels is not None:
        yield Column("label", [run.label(index) or "" for index in slices.hard[0].tolist()], "left")
    for field in ("soft", "expected"):
        if field in slices.columns:
            yield _rounded(slices, run, field)


def numbers_of(slices: Slices, run: Run, spares: Mapping[str, int]) -> Iterator[Column]:
    """Yield a column for each field of `spares` that the slices have, with its `Column.spare`."""
    for field, spare in spares.items():
        if field in slices.columns:
            bounds = _bounds(slices, run) if field in ("offset", "spread") else 0.0
            spell: Callable[[float, float], str] = "{:.4f}".format if field in ("peak", "second") else short
            yield numbers(field, slices.column(field), spell, bounds, spare)


def _rounded(slices: Slices, run: Run, field: str) -> Column:
    """Make a column of places; along an axis all have the decimals that are accurate for the least certain soft."""
    axes = zip(slices.column(field).tolist(), _bounds(slices, run), strict=True)
    return Column(field, coordinates([fixed(values, decimals(bounds.max())) for values, bounds in axes]))


def _bounds(slices: Slices, run: Run) -> Float:
    """Bound the error of soft, shape (axes, slices): it grows with the spread, and as the resultant shortens."""
    steps = np.reshape(run.steps or [1.0] * len(run.axes), (-1, 1))
    spread = np.zeros(slices.soft.shape) if slices.spread is None else np.nan_to_num(slices.spread)
    bounds: Float = run.epsilon * (steps + spread)
    for bound, along, period in zip(bounds, spread, run.periods, strict=False):
        bound *= 1.0 if period is None else np.exp((2 * math.pi * along / period) ** 2 / 2)  # 1 / R
    return bounds


def sparkling(run: Run, count: int) -> bool:
    """Tell whether the first `count` slices get sparklines: they have one axis, and few enough scores."""
    return len(run.axes) == 1 and 0 < count * run.known_shape[run.axes[0]] <= MOST_SCORES


def sparklines(best: Float, kind: str) -> list[str]:
    """Draw each slice as a line of characters from its lowest score to its highest.

    best: shape (slices, cells), the largest score of each cell, or the least cost. Cells that share a character show
    the best of them. Weights begin at 0. A blank stands for NaN.
    """
    cells = best.shape[1]
    starts = np.arange(min(WIDEST, cells)) * cells // min(WIDEST, cells)
    choose: Callable[..., Float] = (np.fmin if kind == "cost" else np.fmax).reduceat
    row = choose(best, starts, axis=1)
    finite = np.where(np.isfinite(row), row, math.nan) / 2  # halved, so that their difference is finite
    low, high = (extreme.reduce(finite, axis=1, keepdims=True) for extreme in (np.fmin, np.fmax))
    low = np.minimum(low, 0) if kind == "probs" else low
    with np.errstate(invalid="ignore", divide="ignore"):
        heights = np.where(np.isinf(row), row > 0, (row / 2 - low) / (high - low))
    levels = np.clip(np.nan_to_num(heights) * len(LEVELS), 0, len(LEVELS) - 1).astype(int)
    lines = np.where(np.isnan(row), " ", np.array([*LEVELS])[levels])
    return ["".join(line) for line in lines]
