"""`softargmax sweep`: what each β does to a file, and which is the smallest that is good enough."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softargmax_cli.cli import options
from softargmax_cli.cli.arguments import allowance, tolerance
from softargmax_cli.cli.arguments import windows as window_radii
from softargmax_cli.cli.options import ReadingOptions, ReductionOptions, RunningOptions, grouped
from softargmax_cli.errors import OptionError, parameter
from softargmax_cli.files.writers import format_of

if TYPE_CHECKING:
    from softargmax_cli.cli.pipeline import Asked, Inputs
    from softargmax_cli.report.sweep import Sweep, TrialsReport

SWEEP = "Sweep"
DELIMITERS = {"csv": ",", "tsv": "\t"}
NUMBERS = ("json", *DELIMITERS)
"""Formats that hold numbers, not a table for people."""
WIDEST = (1e-30, 1e30)
"""Outside of these single precision cannot hold β times a difference of scores."""
MOST = 1000
"""How many β may be asked for."""

Betas = Annotated[
    str | None,
    options.option(SWEEP, "Lists the β to try: 1,10,100, or LOW:HIGH:COUNT. Default: 0.1:1e5:13.", metavar="LIST"),
]
Tolerance = Annotated[
    float | None,
    options.option(
        SWEEP,
        "Limits |soft - hard| for the recommended β. Default: 0.01.",
        "--tol",
        metavar="T",
        min=0,
        callback=tolerance,
    ),
]
Allow = Annotated[
    str | None,
    options.option(SWEEP, "Allows N slices, or P percent, beyond --tol. Default: 0.", metavar="N|P%"),
]
Truth = Annotated[
    str | None,
    options.option(
        options.TRUTH,
        "Gives the true positions; sweep then recommends the β that comes closest to them.",
        metavar="FILE",
    ),
]
Windows = Annotated[
    str | None, options.option(options.TRUTH, "Tries every β with each of these windows.", metavar="R[,R...]")
]
Plot = Annotated[str | None, options.option(options.OUTPUT, "Draws both curves: .png, .svg or .pdf.", metavar="FILE")]
Format = Annotated[
    Literal["table", "json", "csv", "tsv"] | None,
    options.option(options.OUTPUT, "Chooses table, json, csv or tsv. Default: table.", metavar="FORMAT"),
]
Output = Annotated[
    str | None,
    options.option(options.OUTPUT, "Writes the numbers here: .json, .csv or .tsv.", "--output", "-o", metavar="FILE|-"),
]


def betas_of(text: str) -> list[float]:
    """The β that `--betas` names, ascending."""
    from softargmax_cli.reduction.sweep import spaced

    hint = "give some as 1,10,100, or so many in equal ratios as 0.1:1000:9"
    try:
        if ":" in text:
            low, high, count = text.split(":")
            first, last, number = float(low), float(high), int(count)
            betas = spaced(first, last, number) if 2 <= number <= MOST and 0 < first < last < math.inf else []
        else:
            betas = sorted(set(map(float, text.split(","))))
    except ValueError:
        raise typer.BadParameter(f"--betas {text!r}: {hint}") from None
    if not 0 < len(betas) <= MOST or not all(WIDEST[0] <= beta <= WIDEST[1] for beta in betas):
        raise typer.BadParameter(f"--betas {text!r}: {hint}; at most {MOST}, from 1e-30 to 1e30, from low to high")
    return betas


@dataclass(frozen=True)
class Shown:
    """Where results go."""

    plot: Plot = None
    output: Output = None
    format: Format = None
    force: options.Force = False

    @property
    def data_format(self) -> str:
        """The format of the numbers, or "table". Raises OptionError where the options contradict each other."""
        if self.output in (None, "-"):
            return self.format or "table"
        if self.format == "table":
            what = f"{parameter('format', 'table')} goes to standard output"
            raise OptionError(what, "leave out -o, or choose json, csv or tsv")
        return self.format or format_of(self.output or "", NUMBERS)


@grouped
def sweep(
    input: options.Input,
    *,
    betas: Betas = None,
    tol: Tolerance = None,
    allow: Allow = None,
    truth: Truth = None,
    windows: Windows = None,
    reduction: ReductionOptions,
    reading: ReadingOptions,
    shown: Shown,
    running: RunningOptions,
) -> int:
    """Compare many β: how far soft lies from hard, and how much gradient is left.

    \b
    softargmax sweep scores.npy --tol 0.05
    softargmax sweep scores.npy --betas 1:1000:7 --plot beta.svg
    softargmax sweep scores.npy --format json | jq .recommended_beta
    softargmax sweep heatmaps.npy --axis -2,-1 --truth keypoints.csv --windows 2,4,8
    softargmax guide beta
    """
    from softargmax_cli.cli.best_beta import sweep_input, try_input
    from softargmax_cli.cli.pipeline import Asked
    from softargmax_cli.cli.references import refuse_same

    if reduction.kind == "probs":
        raise typer.BadParameter("--kind probs takes weights as they are: they have no β to sweep over")
    asked, tried = Asked.of(reduction, reading, running), None if betas is None else betas_of(betas)
    if truth is None:
        if windows is not None:
            raise OptionError("--windows are compared by their error", "give --truth FILE, or --window for one of them")
        if allow is not None:
            allowance(allow)  # which refuses what is neither

        def smallest(inputs: Inputs, name: str) -> Sweep:
            with inputs.replayed(name) as replay:
                return sweep_input(inputs, name, replay, tried, 0.01 if tol is None else tol, allow=allow)

        return _sweep_file(input, asked, shown, smallest)
    _refuse_beside_truth(**{"--tol": tol, "--allow": allow, "--plot": shown.plot})
    if windows is not None and reduction.window is not None:
        raise OptionError("--window and --windows both say how far weights count", "give one of them")
    refuse_same("truth", truth, input)
    radii = (reduction.window,) if windows is None else window_radii(windows)
    closest = partial(try_input, betas=tried, windows=radii, truth=truth)
    return _sweep_file(input, replace(asked, window=radii[0]), shown, closest, truth)


def _refuse_beside_truth(**given: object) -> None:
    """Raise OptionError for options that speak of the distance from hard."""
    for option, value in given.items():
        if value is not None:
            what = f"{option} is about the distance from hard, and --truth about that from the truth"
            raise OptionError(what, f"leave out {option}, or --truth")


def _sweep_file(
    name: str,
    asked: Asked,
    shown: Shown,
    find: Callable[[Inputs, str], Sweep | TrialsReport],
    truth: str | None = None,
) -> int:
    """Find the β of one input and show it; 0, or 2 where it cannot be used.

    Raises OptionError where options contradict each other.
    """
    from softargmax_cli.cli.destinations import picture_format_of, spare_inputs
    from softargmax_cli.cli.pipeline import for_each

    format = shown.data_format
    if shown.plot is not None:
        picture_format_of(shown.plot)
    spare_inputs([shown.output, shown.plot], [name], truth, *asked.files)

    def work(inputs: Inputs, name: str) -> int:
        from softargmax_cli.cli.picture import Picture
        from softargmax_cli.files.writers.atomic import Document

        with ExitStack() as stack:
            # Before anything is read, so that what cannot be written is said at once.
            numbers = picture = None
            if format != "table":
                numbers = stack.enter_context(Document(shown.output or "-", force=shown.force))
            if shown.plot is not None:
                picture = stack.enter_context(Picture(shown.plot, force=shown.force))
            found = find(inputs, name)
            if picture is not None:
                from softargmax_cli.report.plots import draw_betas
                from softargmax_cli.report.sweep import Sweep

                assert isinstance(found, Sweep)  # beside --truth there is no --plot
                picture.draw(draw_betas(found.run, found.swept, found.tolerance, found.beta))
            if numbers is not None:
                numbers.write(_listed(found, format).encode())
                numbers.commit()
            if picture is not None:
                picture.commit()
        _say(name, found, asked, shown, format)
        return 0

    return for_each([name], asked, work)


def _say(name: str, found: Sweep | TrialsReport, asked: Asked, shown: Shown, format: str) -> None:
    """Print the table; where numbers have been written, its last line alone, to standard error."""
    from softargmax_cli.cli.advice import run_with
    from softargmax_cli.cli.messages import say_note
    from softargmax_cli.report.sweep import put_findings
    from softargmax_cli.report.text import legible

    if not asked.quiet:
        for note in dict.fromkeys(found.notes):
            say_note(f"{found.run.input}: {note}")
    command = [] if found.beta is None else [*run_with(name, replace(asked, window=found.window), found.beta)]
    if format == "table":
        put_findings(found, command, sys.stdout)
    elif shown.output not in (None, "-") and not asked.quiet:
        for line in found.verdict(command):
            print(legible(line, sys.stderr), file=sys.stderr)


def _listed(found: Sweep | TrialsReport, format: str) -> str:
    """Write a row for each β, in json with what is concluded from them."""
    from softargmax_cli.files.writers.json import json_text

    rows = found.rows
    if format != "json":
        cells = [list(rows[0]), *(["" if n is None else str(n) for n in row.values()] for row in rows)]
        return "".join(DELIMITERS[format].join(row) + "\n" for row in cells)
    objects = (", ".join(f'"{name}": {json_text(n)}' for name, n in row.items()) for row in rows)
    end = "".join(f',\n "{name}": {json_text(n)}' for name, n in found.conclusions.items())
    return '{"betas": [\n  ' + ",\n  ".join(f"{{{row}}}" for row in objects) + f"\n ]{end}}}\n"
