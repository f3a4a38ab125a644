"""The first slices of a run as a table for people, the same in a terminal and in a pipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import ClassVar, TextIO

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.result import MULTIMODAL, Run, Slices, Summary
from softargmax_cli.report.first import First
from softargmax_cli.report.heading import reduced, settings
from softargmax_cli.report.layout import Column, cell_width, coordinates, fixed, joined, painted, short
from softargmax_cli.report.sparkline import sparklines
from softargmax_cli.report.summary import summary_line
from softargmax_cli.report.text import Signs, legible, signs_of

TABLE_FIELDS = ("hard", "soft", "offset", "peak", "second", "spread", "ties", "agree")
"""The fields that the table shows, or marks slices by."""
SPARKLINE = {"scores": "scores", "cost": "costs", "probs": "weights"}
"""Names of the column of sparklines."""
WIDEST_LINE = 100
"""Columns of a table with sparklines: they are left out of a wider one, in a terminal of any width and in a pipe."""


def put_rows(
    slices: Slices, run: Run, file: TextIO, *, color: bool, best: npt.NDArray[np.float64] | None = None
) -> None:
    """Print the names of the columns, a rule, and a row for each slice to `file`; `best` as for `Table.render`."""
    signs = signs_of(file)
    columns = list(_columns(slices, run, signs, partial(legible, stream=file)))
    if best is not None and signs.levels:
        at = len(columns) - (columns[-1].name == "")  # what is noted stays last
        drawn = Column(SPARKLINE[run.kind], sparklines(best[: len(slices)], run.kind, signs.levels), "left")
        more = [*columns[:at], drawn, *columns[at:]]
        if max(map(cell_width, joined(more, signs.rule))) <= WIDEST_LINE:
            columns = more
    put_columns(columns, _styles(slices), file, color=color)


class Table:
    """Collects the first `rows` slices of a run, 0 for all; then prints them."""

    put_rows: ClassVar[Callable[..., None]] = staticmethod(put_rows)
    line_of: ClassVar[Callable[..., str]] = staticmethod(summary_line)

    def __init__(self, rows: int = 20) -> None:
        self._first = First(rows)

    def add(self, slices: Slices) -> None:
        """Take the next slices; beyond the last row this costs nothing."""
        self._first.add(slices)

    def render(
        self,
        run: Run,
        shape: tuple[int, ...],
        summary: Summary,
        file: TextIO,
        *,
        color: bool,
        best: npt.NDArray[np.float64] | None = None,
    ) -> None:
        """Print heading, rows and summary to `file`; `shape` is the input's.

        best: what weighs most in each cell of the slices shown, for their sparklines. Colour adds to the text and
        changes nothing in it.
        """
        signs = signs_of(file)
        put_heading(run, shape, file, color=color)
        if (slices := self._first.slices) is not None:
            self.put_rows(slices, run, file, color=color, best=best)
        if summary.slices > self._first.count:
            more = summary.slices - self._first.count
            _put(file, f"{signs.more} and {more:,} more slice{'' if more == 1 else 's'}", "dim" if color else "")
        if summary.slices:
            _put(file, "")
        _put(file, self.line_of(summary, run, signs=signs))


def put_heading(run: Run, shape: tuple[int, ...], file: TextIO, *, color: bool) -> None:
    """Print what was reduced, and how, to `file`; below it an empty line."""
    signs = signs_of(file)
    show = partial(legible, stream=file)
    _put(file, signs.dot.join([*reduced(run, shape, signs, show), show(run.device)]), "bold" if color else "")
    if unusual := settings(run, signs):
        _put(file, signs.dot.join(unusual))
    _put(file, "")


def put_columns(columns: Iterable[Column], styles: Iterable[str], file: TextIO, *, color: bool) -> None:
    """Print columns side by side to `file`, each line, from that of the names on, in its style."""
    for line, style in zip(joined(columns, signs_of(file).rule), styles, strict=True):
        _put(file, line, style if color else "")


def _put(file: TextIO, line: str, style: str = "") -> None:
    file.write((painted(line, style) if style else line) + "\n")


def numbers_of(slices: Slices, field: str, signs: Signs, spell: Callable[[float], str] | None = None) -> Column:
    """A field of numbers, each as `spell` writes it, or all of an axis alike."""
    axes = []
    for values in np.atleast_2d(slices.column(field)).tolist():
        spelt = spell or fixed(values, 7)  # axes may have units of their own
        axes.append([signs.none if math.isnan(number) else spelt(number) for number in values])
    return Column(field, coordinates(axes))


def places_of(slices: Slices, run: Run, signs: Signs, show: Callable[[str], str]) -> Iterator[Column]:
    """Which slices they are, and where their maximum is."""
    if run.kept:
        yield Column("slice", coordinates([list(map(str, along.tolist())) for along in slices.positions(run.kept)]))
    if slices.ids is not None:
        yield Column("id", [show(name) for name in slices.ids], "left")
    hard = [[signs.none if index < 0 else str(index) for index in along] for along in slices.hard.tolist()]
    yield Column("hard", coordinates(hard))
    if run.labels is not None:
        yield Column("label", [show(run.label(index) or "") for index in slices.hard[0].tolist()], "left")


def _columns(slices: Slices, run: Run, signs: Signs, show: Callable[[str], str]) -> Iterator[Column]:
    numbers = partial(numbers_of, slices, signs=signs)
    yield from places_of(slices, run, signs, show)
    yield numbers("soft")
    yield numbers("offset", spell=short)
    yield numbers("peak", spell="{:.4f}".format)
    if slices.second is not None:
        yield numbers("second", spell="{:.4f}".format)
    if slices.spread is not None:
        yield numbers("spread", spell=short)
    marks = list(notes(slices, signs))
    if any(marks):
        yield Column("", marks, "left")


def notes(slices: Slices, signs: Signs) -> Iterator[str]:
    """A mark and a word for each slice that wants a second look."""
    ties = [0] * len(slices) if slices.ties is None else slices.ties.tolist()
    states = zip(_undefined(slices), slices.agree.tolist(), _multimodal(slices), ties, strict=True)
    for undefined, agree, multimodal, tied in states:
        if undefined:
            yield f"{signs.undefined} undefined"
            continue
        marks = [] if agree else [f"{signs.differs} disagrees"]
        if multimodal:
            marks.append(f"{signs.modes} two modes")
        if tied > 1:
            marks.append(f"= {tied:,} tied")
        yield "  ".join(marks)


def _styles(slices: Slices) -> Iterator[str]:
    """Of the names of the columns, the rule below them, and every row."""
    yield from ("bold", "dim")
    for undefined, agree, multimodal in zip(
        _undefined(slices), slices.agree.tolist(), _multimodal(slices), strict=True
    ):
        yield "yellow" if undefined else "bold red" if not agree else "magenta" if multimodal else ""


def _undefined(slices: Slices) -> list[bool]:
    undefined: list[bool] = np.isnan(slices.soft[0]).tolist()
    return undefined


def _multimodal(slices: Slices) -> list[bool]:
    if slices.second is None:
        return [False] * len(slices)
    return [second >= MULTIMODAL for second in slices.second.tolist()]
