"""Gradients as a table for people: how large each is, and which have vanished."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TextIO

import numpy as np

from softargmax_cli.reduction.result import Run, Slices, Summary
from softargmax_cli.reduction.slopes import SlopeSummary
from softargmax_cli.report.table import Column, Table, numbers_of, places_of, put_columns, soft_of
from softargmax_cli.report.text import FULL, Signs, brief, printable, signs_of


def put_slopes(slices: Slices, run: Run, file: TextIO, *, best: None = None) -> None:
    """Print the names of the columns, a rule, and a row for each slice to `file`; there are no sparklines."""
    put_columns(_columns(slices, run, file), _styles(slices), file)


def slope_line(summary: Summary, run: Run, *, named: bool = False, signs: Signs = FULL) -> str:
    """Say how many slices there are, how large their gradients are, how many of these have vanished.

    named: after the input's name.
    """
    assert isinstance(summary, SlopeSummary)
    parts = [f"{summary.slices:,} slice{'' if summary.slices == 1 else 's'}"]
    if not math.isnan(summary.max_norm):
        parts += [f"max norm {brief(summary.max_norm)}", f"mean norm {brief(summary.mean_norm)}"]
    parts.append(f"{summary.vanished:,} vanished (norm below {run.vanished:g})")
    if summary.undefined:
        parts.append(f"{summary.undefined:,} undefined")
    line = signs.dot.join(parts)
    return f"{printable(run.input)}: {line}" if named else line


class SlopeTable(Table):
    """The table of slices with their gradients."""

    put_rows = staticmethod(put_slopes)
    line_of = staticmethod(slope_line)


def _columns(slices: Slices, run: Run, file: TextIO) -> Iterator[Column]:
    signs = signs_of(file)
    yield from places_of(slices, run, file)
    yield soft_of(slices, run, signs)
    for field in ("gradient",) if run.wrt == "beta" else ("norm", "min", "max"):
        yield numbers_of(slices, field, signs)
    notes = [
        f"{signs.undefined} undefined" if undefined else f"{signs.vanished} vanished" if vanished else ""
        for undefined, vanished in _states(slices)
    ]
    if any(notes):
        yield Column("", notes, "left")


def _styles(slices: Slices) -> Iterator[str]:
    """The style of every row."""
    for undefined, vanished in _states(slices):
        yield "yellow" if undefined else "bold red" if vanished else ""


def _states(slices: Slices) -> Iterator[tuple[bool, bool]]:
    """Say of each slice that it has no answer, and that its gradient has vanished."""
    return zip(np.isnan(slices.soft).any(axis=0).tolist(), slices.column("vanished").tolist(), strict=True)
