"""Gradients as a table for people: how large each is, and which have vanished."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import TextIO

import numpy as np

from softargmax_cli.reduction.result import Run, Slices, Summary
from softargmax_cli.reduction.slopes import SlopeSummary
from softargmax_cli.report.layout import Column, short
from softargmax_cli.report.summary import brief
from softargmax_cli.report.table import Table, numbers_of, places_of, put_columns
from softargmax_cli.report.text import FULL, Signs, legible, signs_of


def put_slopes(slices: Slices, run: Run, file: TextIO, *, color: bool, best: None = None) -> None:
    """Print the names of the columns, a rule, and a row for each slice to `file`; there are no sparklines."""
    signs = signs_of(file)
    put_columns(_columns(slices, run, signs, partial(legible, stream=file)), _styles(slices), file, color=color)


def slope_line(summary: Summary, run: Run, *, signs: Signs = FULL) -> str:
    """How many slices, how large their gradients are, how many of them have vanished."""
    assert isinstance(summary, SlopeSummary)
    parts = [f"{summary.slices:,} slice{'' if summary.slices == 1 else 's'}"]
    if not math.isnan(summary.max_norm):
        parts += [f"max norm {brief(summary.max_norm)}", f"mean norm {brief(summary.mean_norm)}"]
    parts.append(f"{summary.vanished:,} vanished (norm below {run.vanished:g})")
    if summary.undefined:
        parts.append(f"{summary.undefined:,} undefined")
    return signs.dot.join(parts)


class SlopeTable(Table):
    """The same of slices with their gradients."""

    put_rows = staticmethod(put_slopes)
    line_of = staticmethod(slope_line)


def _columns(slices: Slices, run: Run, signs: Signs, show: Callable[[str], str]) -> Iterator[Column]:
    numbers = partial(numbers_of, slices, signs=signs)
    yield from places_of(slices, run, signs, show)
    yield numbers("soft")
    for field in ("gradient",) if run.wrt == "beta" else ("norm", "min", "max"):
        yield numbers(field, spell=short)
    yield Column("of hard", [signs.none] * len(slices))  # beside it: an argmax has no gradient
    notes = [
        f"{signs.undefined} undefined" if undefined else f"{signs.vanished} vanished" if vanished else ""
        for undefined, vanished in _states(slices)
    ]
    if any(notes):
        yield Column("", notes, "left")


def _styles(slices: Slices) -> Iterator[str]:
    """Of the names of the columns, the rule below them, and every row."""
    yield from ("bold", "dim")
    for undefined, vanished in _states(slices):
        yield "yellow" if undefined else "bold red" if vanished else ""


def _states(slices: Slices) -> Iterator[tuple[bool, bool]]:
    """Of each slice whether it has no answer, and whether its gradient has vanished."""
    return zip(np.isnan(slices.soft[0]).tolist(), slices.column("vanished").tolist(), strict=True)
