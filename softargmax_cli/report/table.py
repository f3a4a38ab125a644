"""The slices of a run as a table: rich draws it, cut to a terminal's width, whole in a pipe."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import ClassVar, Literal, TextIO

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from softargmax_cli.reduction.result import Run, Slices, Summary
from softargmax_cli.report.sparkline import sparklines
from softargmax_cli.report.summary import First, heading, marks, multimodal, settings, summary_line
from softargmax_cli.report.text import Signs, decimals, fixed, legible, short, signs_of

SPARKLINE = {"scores": "scores", "cost": "costs", "probs": "weights"}
"""Names of the column of sparklines."""
GAP = "  "
ENDLESS = 1 << 16
"""Width of a table that goes to a file or a pipe."""
NAME = 24
"""Cells of a terminal that a column of names keeps before a column of numbers is left out."""
STYLED = 1000
"""Rows that rich draws. It takes about a millisecond for each, so the rows below are written as plain lines."""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading and its cells: text to the left, numbers to the right."""

    name: str
    cells: Sequence[str]
    align: Literal["left", "right"] = "right"
    spare: int = 0
    """In a narrow terminal the column with the largest number is left out first; 0 stays."""

    @property
    def width(self) -> int:
        """Cells of a terminal that the widest line takes."""
        return max(map(cell_len, (self.name, *self.cells)))


def console_of(file: TextIO) -> Console:
    """Return a console that writes to `file`: plain and endless, unless that is a terminal that knows colours."""
    terminal = file.isatty()
    plain = not terminal or os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown")
    return Console(
        file=file,
        width=shutil.get_terminal_size().columns if terminal else ENDLESS,
        height=25,  # of no effect, but without it rich takes a dumb terminal's width for 80
        force_terminal=terminal,
        color_system=None if plain else "standard",
        markup=False,
        emoji=False,
        highlight=False,
    )


def put_line(file: TextIO, line: str, style: str = "") -> None:
    """Print a line in one of rich's styles; a terminal breaks it where it is long."""
    console_of(file).print(Text(line), style=style, soft_wrap=True)


def put_columns(columns: Iterable[Column], styles: Iterable[str], file: TextIO) -> None:
    """Print columns side by side: their names, a rule, then a row in each of `styles`."""
    console, signs = console_of(file), signs_of(file)
    shown, widths = _fitting(list(columns), console.width)
    console.width = max(console.width, sum(widths) + len(GAP) * len(widths))  # rich would cut numbers
    table = RichTable(box=None, padding=(0, len(GAP), 0, 0), pad_edge=False, header_style="")
    overflow: Literal["ellipsis", "crop"] = "ellipsis" if signs.more == "…" else "crop"
    for column, width in zip(shown, widths, strict=True):
        rule = signs.rule * width if column.name else ""
        title = Text.assemble((_padded(column.name, width, column.align), "bold"), "\n", (rule, "dim"))
        table.add_column(title, width=width, no_wrap=True, overflow=overflow)
    # Cells are padded here: rich takes the spaces below a decimal point for none.
    rows = zip(
        *(
            [_padded(text, width, column.align) for text in column.cells]
            for column, width in zip(shown, widths, strict=True)
        ),
        strict=True,
    )
    for row, style in zip(islice(rows, STYLED), styles, strict=False):
        table.add_row(*map(Text, row), style=style)
    with console.capture() as drawn:
        console.print(table)
    file.writelines(f"{line.rstrip()}\n" for line in drawn.get().splitlines())
    file.writelines(f"{GAP.join(row).rstrip()}\n" for row in rows)


def _padded(text: str, width: int, align: str) -> str:
    space = " " * (width - cell_len(text))
    return text + space if align == "left" else space + text


def _fitting(columns: list[Column], room: int) -> tuple[list[Column], list[int]]:
    """Choose the columns that a terminal has room for, and how wide each is drawn; only names are ever cut."""

    def least(column: Column) -> int:
        return min(column.width, NAME) if column.align == "left" and column.name else column.width

    def needed() -> int:
        return sum(map(least, columns)) + len(GAP) * (len(columns) - 1)

    while needed() > room and (spare := max(columns, key=lambda column: column.spare)).spare:
        columns.remove(spare)
    left, widths = room - needed(), []
    for column in columns:
        more = min(max(left, 0), column.width - least(column))
        widths.append(least(column) + more)
        left -= more
    return columns, widths


def coordinates(axes: Sequence[Sequence[str]]) -> list[str]:
    """Join the numbers of one axis or more to cells, "3, 7.5"; the points of an axis stand above each other."""
    *first, last = axes
    # A comma stays at its number; what pads the number comes behind both.
    aligned = [*(_at_the_point(cells, ",") for cells in first), _at_the_point(last)]
    return [" ".join(row) for row in zip(*aligned, strict=True)]


def _at_the_point(cells: Sequence[str], end: str = "") -> list[str]:
    parts = [cell.partition(".") for cell in cells]
    before = max((len(whole) for whole, _, _ in parts), default=0)
    after = max((len(point + rest + end) for _, point, rest in parts), default=0)
    return [whole.rjust(before) + (point + rest + end).ljust(after) for whole, point, rest in parts]


def put_heading(run: Run, shape: tuple[int, ...], file: TextIO) -> None:
    """Print what was reduced, and how; below it an empty line. `shape` is the input's."""
    signs, show = signs_of(file), partial(legible, stream=file)
    put_line(file, signs.dot.join([*heading(run, shape, signs, show), show(run.device)]), "bold")
    for line in [*filter(None, [signs.dot.join(settings(run, signs))]), ""]:
        put_line(file, line)


def put_rows(slices: Slices, run: Run, file: TextIO, *, best: npt.NDArray[np.float64] | None = None) -> None:
    """Print the names of the columns, a rule, and a row for each slice; `best` as for `Table.render`."""
    put_columns(_columns(slices, run, file, best), _styles(slices), file)


class Table:
    """Print the first slices of a run at its end: `first` collects them, or is told how many, 0 for all."""

    put_rows: ClassVar[Callable[..., None]] = staticmethod(put_rows)
    line_of: ClassVar[Callable[..., str]] = staticmethod(summary_line)

    def __init__(self, first: First | int = 20) -> None:
        self._first = first if isinstance(first, First) else First(first)
        self.add = self._first.add
        """Takes the next slices."""

    def render(
        self,
        run: Run,
        shape: tuple[int, ...],
        summary: Summary,
        file: TextIO,
        *,
        best: npt.NDArray[np.float64] | None = None,
        count: int | None = None,
    ) -> None:
        """Print heading, rows and summary to `file`; `shape` is the input's.

        count: how many slices there were to show, where it is not all of them.
        best: what weighs most in each cell of the slices shown, for their sparklines.
        """
        signs = signs_of(file)
        put_heading(run, shape, file)
        if (slices := self._first.slices) is not None:
            self.put_rows(slices, run, file, best=best)
        elif summary.slices:
            put_line(file, "no slice to show", "dim")
        if (more := (summary.slices if count is None else count) - self._first.count) > 0:
            put_line(file, f"{signs.more} and {more:,} more slice{'' if more == 1 else 's'}", "dim")
        if summary.slices:
            put_line(file, "")
        put_line(file, self.line_of(summary, run, signs=signs))


def places_of(slices: Slices, run: Run, file: TextIO) -> Iterator[Column]:
    """Yield the columns that say which slices they are, and where their maximum is."""
    signs, show = signs_of(file), partial(legible, stream=file)
    if run.kept:
        yield Column("slice", coordinates([list(map(str, along.tolist())) for along in slices.positions(run.kept)]))
    if slices.ids is not None:
        yield Column("id", [show(name) for name in slices.ids], "left")
    hard = [[signs.none if index < 0 else str(index) for index in along] for along in slices.hard.tolist()]
    yield Column("hard", coordinates(hard))
    if run.labels is not None:
        yield Column("label", [show(run.label(index) or "") for index in slices.hard[0].tolist()], "left")


def bounds_of(slices: Slices, run: Run) -> npt.NDArray[np.float64]:
    """Bound the error of soft, shape (axes, slices): it grows with the spread, and where a resultant is short."""
    steps = np.reshape(run.steps or [1.0] * len(run.axes), (-1, 1))
    spread = np.zeros(slices.soft.shape) if slices.spread is None else np.nan_to_num(slices.spread)
    bounds: npt.NDArray[np.float64] = run.epsilon * (steps + spread)
    for bound, along, period in zip(bounds, spread, run.periods, strict=False):
        bound *= 1.0 if period is None else np.exp((2 * math.pi * along / period) ** 2 / 2)  # 1 / R
    return bounds


def soft_of(slices: Slices, run: Run, signs: Signs, field: str = "soft") -> Column:
    """Make a column of places: all numbers of an axis with as many decimals as are true of the least certain soft."""
    axes = []
    for values, bounds in zip(slices.column(field).tolist(), bounds_of(slices, run), strict=True):
        spelt = fixed(values, decimals(bounds.max()))
        axes.append([signs.none if math.isnan(number) else spelt(number) for number in values])
    return Column(field, coordinates(axes))


def numbers_of(
    slices: Slices,
    field: str,
    signs: Signs,
    spell: Callable[[float, float], str] = short,
    bounds: npt.NDArray[np.float64] | float = 0.0,
    spare: int = 0,
) -> Column:
    """Make a column of numbers, each as `spell` writes it; those below `bounds` are 0."""
    values = np.atleast_2d(slices.column(field))
    each = np.broadcast_to(bounds, values.shape).tolist()
    axes = [
        [signs.none if math.isnan(number) else spell(number, bound) for number, bound in zip(*pair, strict=True)]
        for pair in zip(values.tolist(), each, strict=True)
    ]
    return Column(field, coordinates(axes), spare=spare)


def _columns(slices: Slices, run: Run, file: TextIO, best: npt.NDArray[np.float64] | None) -> Iterator[Column]:
    signs = signs_of(file)
    numbers, bounds = partial(numbers_of, slices, signs=signs), bounds_of(slices, run)
    yield from places_of(slices, run, file)
    yield soft_of(slices, run, signs)
    if slices.expected is not None:
        yield soft_of(slices, run, signs, "expected")
        yield numbers("difference")
    yield numbers("offset", bounds=bounds, spare=1)
    yield numbers("peak", spell=_weight, spare=2)
    if slices.second is not None:
        yield numbers("second", spell=_weight, spare=4)
    if slices.spread is not None:
        yield numbers("spread", bounds=bounds, spare=3)
    if best is not None and signs.levels:
        yield Column(SPARKLINE[run.kind], sparklines(best[: len(slices)], run.kind, signs.levels), "left", spare=5)
    noted = list(marks(slices, signs))
    if any(noted):
        yield Column("", noted, "left")


def _weight(weight: float, bound: float) -> str:
    return f"{weight:.4f}"


def _styles(slices: Slices) -> Iterator[str]:
    states = zip(np.isnan(slices.soft).any(axis=0).tolist(), slices.agree.tolist(), multimodal(slices), strict=True)
    for undefined, agree, modes in states:
        yield "yellow" if undefined else "bold red" if not agree else "magenta" if modes else ""
