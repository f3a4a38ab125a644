"""The first slices of a run as a table for people, the same in a terminal and in a pipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TextIO

import numpy as np

from softargmax_cli.reduction.result import FIELDS, Run, Slices, Summary
from softargmax_cli.report.layout import Column, fixed, joined, painted, short
from softargmax_cli.report.summary import summary_line
from softargmax_cli.report.text import Signs, legible, signs_of

TABLE_FIELDS = ("hard", "soft", "offset", "peak", "spread", "ties", "agree")
"""The fields that the table shows, or marks slices by."""


class Table:
    """Collects the first `rows` slices of a run, 0 for all; then prints them."""

    def __init__(self, rows: int = 20) -> None:
        self._rows = rows
        self._parts: list[Slices] = []
        self._count = 0

    def add(self, slices: Slices) -> None:
        """Take the next slices; beyond the last row this costs nothing."""
        wanted = len(slices) if self._rows == 0 else min(len(slices), self._rows - self._count)
        if wanted > 0:
            self._parts.append(_merged([slices.part(0, wanted)]))  # a copy, so that the rest can go
            self._count += wanted

    def render(self, run: Run, shape: tuple[int, ...], summary: Summary, file: TextIO, *, color: bool) -> None:
        """Print heading, rows and summary to `file`; `shape` is the input's.

        Colour adds to the text and changes nothing in it.
        """
        signs = signs_of(file)
        show = partial(legible, stream=file)

        def put(line: str, style: str = "") -> None:
            file.write((painted(line, style) if color and style else line) + "\n")

        put(_heading(run, shape, signs, show), "bold")
        put("")
        if self._count:
            slices = _merged(self._parts)
            lines = joined(_columns(slices, run, signs, show), signs.rule)
            for line, style in zip(lines, _styles(slices), strict=True):
                put(line, style)
        if summary.slices > self._count:
            more = summary.slices - self._count
            put(f"{signs.more} and {more:,} more slice{'' if more == 1 else 's'}", "dim")
        if summary.slices:
            put("")
        put(summary_line(summary, run, signs=signs))


def _heading(run: Run, shape: tuple[int, ...], signs: Signs, show: Callable[[str], str]) -> str:
    size = signs.times.join(map(str, shape))
    parts = [show(run.input), f"{show(run.dtype)} {size}", f"axis {run.axis}"]
    if math.isfinite(run.beta):
        parts.append(f"{signs.beta} {run.beta:.10g} (temperature {1 / run.beta:.6g})")
    return signs.dot.join([*parts, show(run.device)])


def _columns(slices: Slices, run: Run, signs: Signs, show: Callable[[str], str]) -> Iterator[Column]:
    def numbers(field: str, spell: Callable[[float], str]) -> Column:
        cells = [signs.none if math.isnan(number) else spell(number) for number in slices.column(field).tolist()]
        return Column(field, cells, "point")

    hard = slices.hard.tolist()
    if run.kept:
        yield Column("slice", _positions(slices, run))
    if slices.ids is not None:
        yield Column("id", [show(name) for name in slices.ids], "left")
    yield Column("hard", [signs.none if index < 0 else str(index) for index in hard])
    if run.labels is not None:
        yield Column("label", [show(run.label(index) or "") for index in hard], "left")
    yield numbers("soft", fixed(slices.soft.tolist(), 7))
    yield numbers("offset", short)
    yield numbers("peak", "{:.4f}".format)
    if slices.spread is not None:
        yield numbers("spread", short)
    notes = list(_notes(slices, signs))
    if any(notes):
        yield Column("", notes, "left")


def _positions(slices: Slices, run: Run) -> list[str]:
    axes = [list(map(str, positions.tolist())) for positions in slices.positions(run.kept)]
    widths = [max(map(len, axis)) for axis in axes]
    return [", ".join(map(str.rjust, row, widths)) for row in zip(*axes, strict=True)]


def _notes(slices: Slices, signs: Signs) -> Iterator[str]:
    """A mark and a word for each slice that wants a second look."""
    ties = [0] * len(slices) if slices.ties is None else slices.ties.tolist()
    for undefined, agree, tied in zip(np.isnan(slices.soft).tolist(), slices.agree.tolist(), ties, strict=True):
        if undefined:
            yield f"{signs.undefined} undefined"
        else:
            yield "  ".join(
                ([] if agree else [f"{signs.differs} disagrees"]) + ([f"= {tied:,} tied"] if tied > 1 else [])
            )


def _styles(slices: Slices) -> Iterator[str]:
    """Of the names of the columns, the rule below them, and every row."""
    yield from ("bold", "dim")
    for undefined, agree in zip(np.isnan(slices.soft).tolist(), slices.agree.tolist(), strict=True):
        yield "yellow" if undefined else "" if agree else "bold red"


def _merged(parts: Sequence[Slices]) -> Slices:
    """Consecutive runs of slices as one, over memory of its own."""
    columns = {
        field: np.concatenate([part.column(field) for part in parts])
        for field in FIELDS
        if getattr(parts[0], field) is not None
    }
    ids = None if parts[0].ids is None else [name for part in parts for name in part.ids or ()]
    return Slices(parts[0].start, ids=ids, **columns)
