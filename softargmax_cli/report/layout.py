"""Cells set in columns: as wide as they need, aligned at the decimal point, nothing wrapped and nothing cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

WIDEST = 48
"""Columns of text are not padded beyond this: a single endless name would make every row as long."""

GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """A heading and its cells, which `lines` pads to one width; text to the left, numbers to the right."""

    name: str
    cells: Sequence[str]
    align: Literal["left", "right"] = "right"

    def lines(self, rule: str) -> list[str]:
        """The heading, a rule below it, and the cells, padded."""
        width = max(map(cell_width, (self.name, *self.cells)))
        if self.align == "left":
            width = min(width, WIDEST)
        lines = [self.name, rule * width if self.name else "", *self.cells]
        if self.align == "left":
            return [text + " " * (width - cell_width(text)) for text in lines]
        return [" " * (width - cell_width(text)) + text for text in lines]


def joined(columns: Iterable[Column], rule: str) -> Iterator[str]:
    """The lines of columns side by side: names, a rule, then the rows."""
    for line in zip(*(column.lines(rule) for column in columns), strict=True):
        yield GAP.join(line).rstrip()


def cell_width(text: str) -> int:
    """Cells of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def painted(text: str, style: str) -> str:
    """`text` in a style of rich's, in one of the terminal's own sixteen colours."""
    from rich.color import ColorSystem
    from rich.style import Style

    return Style.parse(style).render(text, color_system=ColorSystem.STANDARD)


def coordinates(axes: Sequence[Sequence[str]]) -> list[str]:
    """Numbers of one axis or more as cells, "3, 7.5"; those of an axis stand with their points above each other."""
    *first, last = axes
    # A comma stays at its number; what pads the number comes behind both.
    aligned = [*(_at_the_point(cells, ",") for cells in first), _at_the_point(last)]
    return [" ".join(row) for row in zip(*aligned, strict=True)]


def _at_the_point(cells: Sequence[str], end: str = "") -> list[str]:
    parts = [cell.partition(".") for cell in cells]
    before = max((len(whole) for whole, _, _ in parts), default=0)
    after = max((len(point + rest + end) for _, point, rest in parts), default=0)
    return [whole.rjust(before) + (point + rest + end).ljust(after) for whole, point, rest in parts]


def fixed(numbers: Sequence[float], decimals: int) -> Callable[[float], str]:
    """How to write the numbers of a column alike: with so many decimals, or as powers of ten where those say little."""
    largest = max((abs(n) for n in numbers if math.isfinite(n)), default=0.0)
    if largest == 0 or 10.0 ** (3 - decimals) <= largest < 1e9:
        return lambda number: f"{number:.{decimals}f}"
    return lambda number: f"{number:.{decimals}e}"


def short(number: float) -> str:
    """Four decimals, or three digits and a power of ten for what is very small or large."""
    if number == 0:
        return "0"
    return f"{number:.4f}" if 1e-3 <= abs(number) < 1e6 or not math.isfinite(number) else f"{number:.2e}"
