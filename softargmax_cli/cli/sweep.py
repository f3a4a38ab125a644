"""`softargmax sweep`: what each β does to a file, and which is the smallest that is good enough."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softargmax_cli.cli import options
from softargmax_cli.cli.arguments import allowance, tolerance
from softargmax_cli.cli.arguments import windows as window_radii
from softargmax_cli.cli.groups import ReadingOptions, ReductionOptions, RunningOptions, grouped
from softargmax_cli.errors import OptionError, parameter

if TYPE_CHECKING:
    from softargmax_cli.cli.best_beta import Found
    from softargmax_cli.cli.pipeline import Asked, Inputs
    from softargmax_cli.files.writers.atomic import Target

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
    from softargmax_cli.reduction.search import spaced

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
    plot: Plot = None,
    output: Output = None,
    format: Format = None,
    force: options.Force = False,
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
    from softargmax_cli.cli.pipeline import Asked

    if reduction.kind == "probs":
        raise typer.BadParameter("--kind probs takes weights as they are: they have no β to sweep over")
    asked = Asked.of(reduction, reading, running)
    tried, shown = None if betas is None else betas_of(betas), Shown(output, format, plot, force)
    if truth is None:
        if windows is not None:
            raise OptionError("--windows are compared by their error", "give --truth FILE, or --window for one of them")
        return sweep_file(input, asked, tried, 0.01 if tol is None else tol, shown, allow)
    _refuse_beside_truth(**{"--tol": tol, "--allow": allow, "--plot": plot})
    if windows is not None and reduction.window is not None:
        raise OptionError("--window and --windows both say how far weights count", "give one of them")
    from softargmax_cli.cli.trials import try_file

    return try_file(
        input, asked, tried, (reduction.window,) if windows is None else window_radii(windows), truth, shown
    )


def _refuse_beside_truth(**given: object) -> None:
    """Raise OptionError for options that speak of the distance from hard."""
    for option, value in given.items():
        if value is not None:
            what = f"{option} is about the distance from hard, and --truth about that from the truth"
            raise OptionError(what, f"leave out {option}, or --truth")


@dataclass(frozen=True, slots=True)
class Shown:
    """Options that say where results go."""

    output: str | None
    format: str | None
    plot: str | None
    force: bool


def sweep_file(
    name: str,
    asked: Asked,
    betas: Sequence[float] | None,
    tolerance: float,
    shown: Shown,
    allow: str | None,
) -> int:
    """Sweep over one input and show it; 0, or 2 where it cannot be used. allow: as it was typed.

    Raises OptionError where options contradict each other.
    """
    from softargmax_cli.cli.destinations import keep_apart, picture_format_of, spare_inputs
    from softargmax_cli.cli.pipeline import for_each

    format, allowed = format_of(shown), None if allow is None else allowance(allow)
    if shown.plot is not None:
        picture_format_of(shown.plot)
    keep_apart([shown.output], [shown.plot])
    spare_inputs([shown.output, shown.plot], [name], *asked.files)

    def work(inputs: Inputs, name: str) -> int:
        from softargmax_cli.cli.best_beta import sweep_input
        from softargmax_cli.cli.picture import Picture
        from softargmax_cli.files.writers.atomic import open_target
        from softargmax_cli.reduction.check import Allowance

        allowance = None if allowed is None else Allowance(*allowed)
        with ExitStack() as stack:
            # Before anything is read, so that what cannot be written is said at once.
            numbers = picture = None
            if format != "table":
                numbers = open_target(shown.output or "-", force=shown.force)
                stack.callback(numbers.abort)  # of no effect once it is committed
            if shown.plot is not None:
                picture = stack.enter_context(Picture(shown.plot, force=shown.force))
            replay = stack.enter_context(inputs.replayed(name))
            done = sweep_input(inputs, name, replay, betas, tolerance, allowance=allowance)
            if picture is not None:
                from softargmax_cli.report.plots import draw_betas

                picture.write(draw_betas(done.run, done.swept, tolerance, done.recommended))
            if numbers is not None:
                put(numbers, _text(done, format))
            if picture is not None:
                picture.commit()
        _say(name, done, tolerance, allow, asked, shown, format)
        return 0

    return for_each([name], asked, work)


def format_of(shown: Shown) -> str:
    """Return the format of the numbers, or "table". Raises OptionError where the options contradict each other."""
    if shown.output in (None, "-"):
        return shown.format or "table"
    if shown.format == "table":
        what = f"{parameter('format', 'table')} goes to standard output"
        raise OptionError(what, "leave out -o, or choose json, csv or tsv")
    suffix = os.path.splitext(shown.output or "")[1].lower()[1:]
    if shown.format is None and suffix not in NUMBERS:
        known = " ".join(f".{name}" for name in NUMBERS)
        raise OptionError(
            f"{shown.output}: its suffix names no output format",
            f"end the name in one of {known}, or choose {parameter('format')}",
        )
    return shown.format or suffix


def put(target: Target, text: str) -> None:
    """Write a whole text, and put it in place."""
    from softargmax_cli.files.temporary import blaming

    with blaming(target.name):
        target.stream.write(text.encode())
        target.commit()


def listed(rows: Sequence[dict[str, float | int | None]], format: str, **more: float | int | None) -> str:
    """Write a row for each β, in json with what is concluded from them."""
    from softargmax_cli.files.writers.json import json_value

    if format != "json":
        cells = [list(rows[0]), *(["" if n is None else str(n) for n in row.values()] for row in rows)]
        return "".join(DELIMITERS[format].join(row) + "\n" for row in cells)
    objects = (", ".join(f'"{name}": {json_value(n)}' for name, n in row.items()) for row in rows)
    end = "".join(f',\n "{name}": {json_value(n)}' for name, n in more.items())
    return '{"betas": [\n  ' + ",\n  ".join(f"{{{row}}}" for row in objects) + f"\n ]{end}}}\n"


def _text(done: Found, format: str) -> str:
    rows = [asdict(at) for at in done.swept.betas]
    for row, outside in zip(rows, done.swept.outside, strict=False):
        row["outside"] = outside
    return listed(rows, format, recommended_beta=done.recommended)


def _say(name: str, done: Found, tolerance: float, allow: str | None, asked: Asked, shown: Shown, format: str) -> None:
    """Print the table; where numbers have been written, its last line alone, to standard error."""
    from softargmax_cli.cli.advice import run_with
    from softargmax_cli.cli.messages import say_note
    from softargmax_cli.report.sweep import Advice, put_sweep, verdict

    if not asked.quiet:
        for note in dict.fromkeys(done.notes):
            say_note(f"{done.run.input}: {note}")
    command = [] if done.recommended is None else [*run_with(name, asked, done.recommended)]
    advice = Advice(tolerance, done.recommended, done.unbounded, command, allow)
    if format == "table":
        put_sweep(done.run, done.swept, advice, sys.stdout)
    elif shown.output not in (None, "-") and not asked.quiet:
        for line in verdict(done.swept, advice, sys.stderr):
            print(line, file=sys.stderr)
