"""Print a sweep over β as a table and a plot."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TextIO

from softargmax_cli.reduction.result import Run
from softargmax_cli.reduction.sweep import AtBeta, Swept
from softargmax_cli.report.table import Column, coordinates, put_columns, put_heading
from softargmax_cli.report.text import Signs, legible, short, signs_of, typed

WIDTH, TALLEST = 61, 15
"""Columns and rows of the plot."""
DECADES = 6
"""Powers of ten that the plot shows at most, from the largest value down."""


Row = dict[str, float | int | None]


@dataclass(frozen=True, slots=True)
class Sweep:
    """The sweep over one input, and the β that it recommends."""

    run: Run
    """Without a β."""
    notes: Sequence[str]
    swept: Swept
    tolerance: float
    """How far soft may lie from hard."""
    beta: float | None
    """The smallest that keeps it so near; None where there is none."""
    unbounded: bool
    """True where smaller ones might do, too."""
    allow: str | None
    """How many slices may lie further off, as it was typed; none where it was not."""

    @property
    def window(self) -> int | None:
        """The window of all β."""
        return self.run.window

    @property
    def rows(self) -> list[Row]:
        """The numbers of each β, by name."""
        rows = [asdict(at) for at in self.swept.betas]
        for row, outside in zip(rows, self.swept.outside, strict=False):
            row["outside"] = outside
        return rows

    @property
    def conclusions(self) -> Row:
        """What is concluded from all β, by name."""
        return {"recommended_beta": self.beta}

    def put(self, command: Sequence[str], file: TextIO) -> None:
        """Print heading, a row for each β, a plot, and which β to take. command: the arguments of one that uses it."""
        betas, signs = self.swept.betas, signs_of(file)
        put_heading(self.run, self.run.known_shape, file)
        put_columns(self._columns(signs), _styles(betas, self.tolerance), file)
        plot = list(plotted(betas, self.tolerance, signs))
        for line in ["", *plot, *([""] if plot else []), *self.verdict(command, file)]:
            file.write(legible(line, file) + "\n")

    def verdict(self, command: Sequence[str], stream: TextIO) -> Iterator[str]:
        """Say which β to take, or why none, and the command to try."""
        swept, betas, signs = self.swept, self.swept.betas, signs_of(stream)
        within = f"within {self.tolerance:g} of hard"
        if self.allow is not None:
            within += f" in all but {self.allow} of the slices"
            if self.beta is None and swept.slices:
                fewest, at_beta = min(zip(swept.outside, [at.beta for at in betas], strict=True))
                least = f"{fewest:,} of {swept.slices:,} lie further off at {at_beta:g}"
                yield f"no {signs.beta} tried keeps soft {within}: {least}"
                return
        elif swept.undefined:
            answers = "1 slice has no answer" if swept.undefined == 1 else f"{swept.undefined:,} slices have no answer"
            yield f"{answers}, and count{'s' if swept.undefined == 1 else ''} in nothing here"
        if self.beta is None:
            if swept.slices == swept.undefined:
                yield f"no slice has an answer, so any {signs.beta} does"
            else:
                best = min(betas, key=lambda at: at.max_abs_offset)
                tried = f"from {betas[0].beta:g} to {betas[-1].beta:g} "
                least = f"{short(best.max_abs_offset)} is the least, at {best.beta:g}"
                if len(betas) == 1:
                    tried, least = f"of {best.beta:g} alone ", f"it lies {short(best.max_abs_offset)} off"
                yield f"no {signs.beta} {tried}keeps soft {within}: {least}"
            return
        smallest = "the smallest tried" if self.unbounded else "the smallest"
        typed_command = typed(command, partial(legible, stream=stream))
        yield f"{signs.beta} {self.beta:.10g} is {smallest} that keeps soft {within}: {typed_command}"

    def _columns(self, signs: Signs) -> Iterator[Column]:
        swept, betas, tolerance = self.swept, self.swept.betas, self.tolerance
        true = partial(short, bound=self.run.epsilon * min(self.run.steps, default=1.0))

        def numbers(name: str, values: Sequence[float], spell: Callable[[float], str] = short) -> Column:
            return Column(name, coordinates([[signs.none if math.isnan(n) else spell(n) for n in values]]))

        yield numbers(signs.beta, [at.beta for at in betas], "{:.10g}".format)
        yield numbers("max |offset|", [at.max_abs_offset for at in betas], true)
        yield numbers("mean |offset|", [at.mean_abs_offset for at in betas], true)
        yield numbers("agreement", [100 * at.agreement for at in betas], "{:.1f} %".format)
        yield numbers("spread", [at.mean_spread for at in betas], true)
        yield numbers("gradient", [at.mean_gradient_norm for at in betas])
        if self.allow is not None:
            shares = [100 * n / swept.slices if swept.slices else math.nan for n in swept.outside]
            yield numbers(f"beyond {tolerance:g}", shares, "{:.2f} %".format)
            return
        notes = [f"within {tolerance:g}" if at.max_abs_offset <= tolerance else "" for at in betas]
        if any(notes):
            yield Column("", notes, "left")


def _styles(betas: Sequence[AtBeta], tolerance: float) -> Iterator[str]:
    for at in betas:
        yield "green" if at.max_abs_offset <= tolerance else ""


def plotted(betas: Sequence[AtBeta], tolerance: float, signs: Signs) -> Iterator[str]:
    """Largest offset and mean gradient over β, all axes logarithmic; nothing where there is no curve to draw."""
    offsets = [(at.beta, at.max_abs_offset) for at in betas if at.max_abs_offset > 0]
    gradients = [(at.beta, at.mean_gradient_norm) for at in betas if at.mean_gradient_norm > 0]
    values = [value for _, value in offsets + gradients]
    if len(betas) < 2 or not values:
        return
    top = math.ceil(math.log10(max(values)))
    bottom = max(min(math.floor(math.log10(min([*values, tolerance or math.inf]))), top - 1), top - DECADES)
    height = 1 + (top - bottom) * max(1, TALLEST // (top - bottom + 1))
    left, right = math.log10(betas[0].beta), math.log10(betas[-1].beta)

    def row(value: float) -> int:
        return round((top - math.log10(value)) / (top - bottom) * (height - 1))

    grid = [[" "] * WIDTH for _ in range(height)]
    if tolerance > 0 and 0 <= row(tolerance) < height:
        grid[row(tolerance)] = [signs.level] * WIDTH
    for sign, points in ((signs.offset, offsets), (signs.gradient, gradients)):
        for column in range(WIDTH):
            value = _between(points, left + (right - left) * column / (WIDTH - 1))
            if value is not None and 0 <= (y := row(value)) < height:
                grid[y][column] = signs.both if grid[y][column] in (signs.offset, signs.both) else sign
    step = (height - 1) // (top - bottom)
    names = {k * step: f"{10.0 ** (top - k):g}" for k in range(top - bottom + 1)}
    margin = max(map(len, names.values()))
    for y, cells in enumerate(grid):
        yield f"{names.get(y, ''):>{margin}} {signs.side}{''.join(cells)}".rstrip()
    yield " " * (margin + 1) + signs.corner + signs.rule * WIDTH
    first, last = f"{betas[0].beta:g}", f"{betas[-1].beta:g}"
    middle = f"{signs.beta}   {signs.offset} max |offset|   {signs.gradient} gradient"
    middle += f"   {signs.level} --tol {tolerance:g}" if tolerance > 0 else ""
    yield " " * (margin + 2) + first + middle.center(WIDTH - len(first) - len(last)) + last


def _between(points: Sequence[tuple[float, float]], log_beta: float) -> float | None:
    """The value at a β on the straight lines between points, both logarithmic; None outside of them."""
    for (a, low), (b, high) in itertools.pairwise(points):
        if math.log10(a) - 1e-9 <= log_beta <= math.log10(b) + 1e-9:
            part = (log_beta - math.log10(a)) / (math.log10(b) - math.log10(a))
            return float(10 ** (math.log10(low) + part * (math.log10(high) - math.log10(low))))
    return None
