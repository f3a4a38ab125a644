"""Tables drawn by rich: cut to a terminal's width, whole in a pipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, repeat
from typing import Literal, TextIO

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from softargmax_cli.report.text import encodable, legible, short

GAP = "  "
ENDLESS = 1 << 16
NAME = 24
"""The width to which a column of names may be cut; if that is not enough, columns of numbers are left out."""
STYLED = 1000
"""The rows that rich draws, at about a millisecond each; the rows below them are written as plain lines."""


@dataclass(frozen=True)
class Column:
    """A heading and its cells: text to the left, numbers to the right."""

    name: str
    cells: Sequence[str]
    align: Literal["left", "right"] = "right"
    spare: int = 0
    """In a narrow terminal the column with the largest number is left out first; 0 stays."""

    @cached_property
    def width(self) -> int:
        return max(map(cell_len, (self.name, *self.cells)))

    @property
    def least(self) -> int:
        """The least width: names may be cut."""
        return min(self.width, NAME) if self.align == "left" and self.name else self.width


def console_of(file: TextIO) -> Console:
    """Return a console for `file`: coloured on a terminal that knows colours, else plain and endlessly wide."""
    terminal = file.isatty()
    width = None if terminal else ENDLESS
    return Console(file=file, width=width, force_terminal=terminal, markup=False, emoji=False, highlight=False)


def put_line(file: TextIO, line: str, style: str = "") -> None:
    """Print a line in one of rich's styles; a terminal wraps it if it is long."""
    console_of(file).print(Text(legible(line, file)), style=style, soft_wrap=True)


def put_columns(columns: Iterable[Column], file: TextIO, styles: Iterable[str] = repeat("")) -> None:
    """Print the columns that are not empty: names, a rule, then rows, each in one of `styles`; text is escaped."""
    console = console_of(file)
    written = [
        replace(column, name=legible(column.name, file), cells=[legible(cell, file) for cell in column.cells])
        for column in columns
    ]
    shown, widths = _fitting([column for column in written if column.width], console.width)
    console.width = max(console.width, sum(widths) + len(GAP) * len(widths))  # rich would cut numbers
    table = Table(box=None, padding=(0, len(GAP), 0, 0), pad_edge=False, header_style="")
    for column, width in zip(shown, widths, strict=True):
        rule = encodable("─", file) * width if column.name else ""
        title = Text.assemble((_padded(column.name, width, column.align), "bold"), "\n", (rule, "dim"))
        table.add_column(title, width=width, no_wrap=True, overflow="ellipsis")
    # Cells are padded here: rich would remove the spaces that align decimal points.
    rows = zip(
        *([_padded(cell, width, c.align) for cell in c.cells] for c, width in zip(shown, widths, strict=True)),
        strict=True,
    )
    for row, style in zip(islice(rows, STYLED), styles, strict=False):
        table.add_row(*map(Text, row), style=style)
    with console.capture() as captured:
        console.print(table)
    file.writelines(f"{encodable(line, file).rstrip()}\n" for line in captured.get().splitlines())
    file.writelines(f"{GAP.join(row).rstrip()}\n" for row in rows)


def _padded(text: str, width: int, align: str) -> str:
    space = " " * (width - cell_len(text))
    return text + space if align == "left" else space + text


def _fitting(columns: list[Column], room: int) -> tuple[list[Column], list[int]]:
    """Choose the columns that fit a terminal, and the width of each; only names are ever cut."""

    def needed() -> int:
        return sum(column.least + len(GAP) for column in columns) - len(GAP)

    while needed() > room and (spare := max(columns, key=lambda column: column.spare)).spare:
        columns.remove(spare)
    left, widths = max(room - needed(), 0), []
    for column in columns:
        widths.append(min(column.width, column.least + left))
        left -= widths[-1] - column.least
    return columns, widths


def numbers(
    name: str,
    values: npt.ArrayLike,
    spell: Callable[[float, float], str] = short,
    bounds: npt.NDArray[np.float64] | float = 0.0,
    spare: int = 0,
) -> Column:
    """Make a column of numbers, (m,) or (axes, m), NaN as a dash; `spell` writes each, given the bound of its error."""
    axes = np.atleast_2d(np.asarray(values, np.float64))
    cells = [
        ["–" if math.isnan(number) else spell(number, bound) for number, bound in zip(*pair, strict=True)]
        for pair in zip(axes.tolist(), np.broadcast_to(bounds, axes.shape).tolist(), strict=True)
    ]
    return Column(name, coordinates(cells), spare=spare)


def coordinates(axes: Sequence[Sequence[str]]) -> list[str]:
    """Join the numbers of all axes to cells like "3, 7.5", and align the decimal points of each axis."""
    *first, last = axes
    # A comma follows its number; padding follows both.
    aligned = [*(_aligned(cells, ",") for cells in first), _aligned(last)]
    return [" ".join(row) for row in zip(*aligned, strict=True)]


def _aligned(cells: Sequence[str], end: str = "") -> list[str]:
    parts = [cell.partition(".") for cell in cells]
    before = max((len(whole) for whole, _, _ in parts), default=0)
    after = max((len(point + rest + end) for _, point, rest in parts), default=0)
    return [whole.rjust(before) + (point + rest + end).ljust(after) for whole, point, rest in parts]
