"""Print the results of several β as a table: the distance of soft from hard, with a plot, or from the truth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

import numpy as np

from softargmax_cli.reduction.result import Run
from softargmax_cli.reduction.sweep import Trial, Trials
from softargmax_cli.report.slices import put_heading
from softargmax_cli.report.summary import error_bound
from softargmax_cli.report.table import Column, numbers, put_columns
from softargmax_cli.report.text import legible, short, typed

WIDTH, TALLEST, DECADES = 61, 15, 6
"""Columns and rows of the plot, and the most powers of ten that it shows below the largest value."""
Row = dict[str, float | int | None]


@dataclass(frozen=True)
class SweepReport:
    """The results of several β and windows for one input, and the ones to take."""

    run: Run
    """It has no β, and no window if several were tried."""
    swept: Trials
    beta: float | None
    """The β to take, if any."""
    window: int | None

    def rows_of(self, *names: str) -> list[Row]:
        """Return the numbers of each trial by their JSON names."""
        return [{name: getattr(trial, name) for name in names} for trial in self.swept.trials]

    def offsets(self, *spares: int) -> Iterator[Column]:
        """Yield the columns that compare soft and hard, with the `Column.spare` of each."""
        trials, bound = self.swept.trials, error_bound(self.run)
        yield numbers("max |offset|", [trial.max_abs_offset for trial in trials], bounds=bound, spare=spares[0])
        yield numbers("mean |offset|", [trial.mean_abs_offset for trial in trials], bounds=bound, spare=spares[1])
        yield numbers("agreement", [100 * trial.agreement for trial in trials], "{:.1f} %".format, spare=spares[2])


@dataclass(frozen=True)
class AgainstHard(SweepReport):
    """A sweep over one input; the β to take is the smallest that keeps soft within a tolerance of hard."""

    tolerance: float
    unbounded: bool
    """True if β smaller than all that were tried might do, too."""
    allow: str | None
    """The number or share of slices that may lie further off, as it was typed."""

    @property
    def rows(self) -> list[Row]:
        names = ("beta", "max_abs_offset", "mean_abs_offset", "agreement", "mean_spread", "mean_gradient_norm")
        return self.rows_of(*names) if self.allow is None else self.rows_of(*names, "outside")

    @property
    def conclusions(self) -> Row:
        return {"recommended_beta": self.beta}

    @property
    def good(self) -> list[bool]:
        return [trial.max_abs_offset <= self.tolerance for trial in self.swept.trials]

    def verdict(self, command: Sequence[str]) -> Iterator[str]:
        """Name the β to take and the command to try, or say why there is none."""
        swept, trials = self.swept, self.swept.trials
        within = f"within {self.tolerance:g} of hard"
        if self.allow is not None:
            within += f" in all but {self.allow} of the slices"
        elif swept.undefined:
            yield left_out(swept.undefined, swept.slices, "answer")
        if self.beta is not None:
            smallest = "the smallest tried" if self.unbounded else "the smallest"
            yield f"β {self.beta:.10g} is {smallest} that keeps soft {within}: {typed(command)}"
        elif self.allow is not None and swept.slices:
            fewest, beta = min((at.outside, at.beta) for at in trials)
            yield f"no β tried keeps soft {within}: {fewest:,} of {swept.slices:,} lie further off at β {beta:g}"
        elif swept.slices == swept.undefined:
            yield "no slice has an answer, so any β does"
        else:
            best = min(trials, key=lambda at: at.max_abs_offset)
            yield f"no β tried keeps soft {within}: at best it is {short(best.max_abs_offset)} off, at β {best.beta:g}"

    def columns(self) -> Iterator[Column]:
        slices, betas = self.swept.slices, self.swept.trials
        yield numbers("β", [at.beta for at in betas], "{:.10g}".format)
        yield from self.offsets(0, 0, 0)
        yield numbers("spread", [at.mean_spread for at in betas], bounds=error_bound(self.run))
        yield numbers("gradient", [at.mean_gradient_norm for at in betas])
        if self.allow is not None:
            shares = [100 * at.outside / slices if slices else math.nan for at in betas]
            yield numbers(f"beyond {self.tolerance:g}", shares, "{:.2f} %".format)
        else:
            yield Column("", [f"within {self.tolerance:g}" if good else "" for good in self.good], "left")


@dataclass(frozen=True)
class AgainstTruth(SweepReport):
    """A sweep over one input with its truth; the β and the window to take come closest to it."""

    @property
    def rows(self) -> list[Row]:
        return self.rows_of("beta", "window", "mean_error", "max_abs_offset", "mean_abs_offset", "agreement")

    @property
    def conclusions(self) -> Row:
        return {"hard_error": self.swept.hard_error, "best_beta": self.beta, "best_window": self.window}

    @property
    def good(self) -> list[bool]:
        return [trial is self.swept.best for trial in self.swept.trials]

    def verdict(self, command: Sequence[str]) -> Iterator[str]:
        """Name the β and the window that come closest, the error of the hard argmax, and the command to try."""
        swept, best = self.swept, self.swept.best
        for count, what in ((swept.missing, "truth"), (swept.undefined, "answer")):
            if count:
                yield f"{left_out(count, swept.slices, what)} of the errors"
        if best is None:
            yield "no slice has both an answer and a truth"
            return
        window = "" if best.window is None else f" within a window of ±{best.window}"
        errors = f"mean error {short(best.mean_error)} (hard: {short(swept.hard_error)})"
        yield f"β {best.beta:.10g}{window} comes closest to the truth: {errors}"
        yield f"try: {typed(command)}"

    def columns(self) -> Iterator[Column]:
        tried = self.swept.trials
        if self.run.window is None and tried[0].window is not None:
            yield Column("window", [str(trial.window) for trial in tried])
        yield numbers("β", [trial.beta for trial in tried], "{:.10g}".format)
        yield numbers("mean error", [trial.mean_error for trial in tried], bounds=error_bound(self.run))
        yield from self.offsets(3, 2, 1)
        yield Column("", ["closest" if good else "" for good in self.good], "left")


def left_out(count: int, slices: int, what: str) -> str:
    """Say that some of the slices lack an answer or a truth, and are left out."""
    lack = f"has no {what} and is" if count == 1 else f"have no {what} and are"
    return f"{count:,} of {slices:,} slices {lack} left out"


def put_sweep(found: AgainstHard | AgainstTruth, command: Sequence[str], file: TextIO) -> None:
    """Print the heading, a row for each trial, a plot, and the verdict, which recommends `command`."""
    put_heading(found.run, file)
    put_columns(found.columns(), file, ["green" if good else "" for good in found.good])
    plot = plotted(found.swept.trials, found.tolerance) if isinstance(found, AgainstHard) else ()
    for line in ["", *plot, *found.verdict(command)]:
        print(legible(line, file), file=file)


def plotted(betas: Sequence[Trial], tolerance: float) -> Iterator[str]:
    """Plot the largest offset and the mean gradient over β on logarithmic axes, if there is a curve."""
    at = np.log10([each.beta for each in betas])
    values = np.array([[each.max_abs_offset, each.mean_gradient_norm] for each in betas]).T
    drawn = values[values > 0]
    if len(betas) < 2 or not drawn.size:
        return
    top = math.ceil(math.log10(drawn.max()))
    lowest = min(float(drawn.min()), tolerance or math.inf)
    bottom = max(min(math.floor(math.log10(lowest)), top - 1), top - DECADES)
    step = max(1, TALLEST // (top - bottom + 1))
    grid = [[" "] * WIDTH for _ in range(1 + (top - bottom) * step)]

    def row(log: float) -> int:
        return round((top - log) * step)

    if tolerance > 0 and 0 <= (level := row(math.log10(tolerance))) < len(grid):
        grid[level] = ["╌"] * WIDTH
    for sign, curve in zip("●○", values, strict=True):
        if not (known := curve > 0).any():
            continue
        logs = np.interp(np.linspace(at[0], at[-1], WIDTH), at[known], np.log10(curve[known]), math.nan, math.nan)
        for column, log in enumerate(logs.tolist()):
            if not math.isnan(log) and (y := row(log)) < len(grid):
                grid[y][column] = "◉" if grid[y][column] == "●" and sign == "○" else sign
    names = [f"{10.0 ** (top - y // step):g}" if y % step == 0 else "" for y in range(len(grid))]
    margin = max(map(len, names))
    for name, cells in zip(names, grid, strict=True):
        yield f"{name:>{margin}} │{''.join(cells)}".rstrip()
    yield " " * (margin + 1) + "└" + "─" * WIDTH
    first, last = f"{betas[0].beta:g}", f"{betas[-1].beta:g}"
    middle = "β   ● max |offset|   ○ gradient" + (f"   ╌ --tol {tolerance:g}" if tolerance > 0 else "")
    yield " " * (margin + 2) + first + middle.center(WIDTH - len(first) - len(last)) + last
    yield ""
