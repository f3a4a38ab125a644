"""`softargmax sweep`: what each β does to a file, and which is the smallest that is good enough."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softargmax_cli.cli import options
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

Input = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="A file: .npy, .npz, .safetensors, HDF5, Parquet, CSV (also .gz); - for standard input.",
        show_default=False,
    ),
]
Betas = Annotated[
    str | None,
    typer.Option(
        metavar="LIST|LOW:HIGH:COUNT",
        help="The β to try: some numbers, or so many in equal ratios. Default: 0.1:1e5:13, two for each power of ten.",
        show_default=False,
        rich_help_panel=SWEEP,
    ),
]
Tolerance = Annotated[
    float,
    typer.Option(
        "--tol",
        min=0,
        callback=options.tolerance,
        help="How far soft may lie from hard, in the unit of soft, under the β that is named.",
        rich_help_panel=SWEEP,
    ),
]
Plot = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Draw both curves here: .png, .svg or .pdf.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]
Format = Annotated[
    Literal["table", "json", "csv", "tsv"] | None,
    typer.Option(
        help="What goes to standard output; with -o FILE, the file's format. Default: table.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|-",
        help="Write the numbers here instead: .json .csv .tsv by suffix.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
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
    input: Input,
    *,
    betas: Betas = None,
    tol: Tolerance = 0.01,
    reduction: ReductionOptions,
    reading: ReadingOptions,
    plot: Plot = None,
    output: Output = None,
    format: Format = None,
    force: options.Force = False,
    running: RunningOptions,
) -> int:
    """Show what each β does to a file: how far soft lies from hard, and how much gradient is left.

    softargmax sweep scores.npy --tol 0.05

    softargmax sweep scores.npy --betas 1:1000:7 --plot beta.svg

    softargmax sweep scores.npy --format json | jq .recommended_beta
    """
    from softargmax_cli.cli.pipeline import Asked

    if reduction.kind == "probs":
        raise typer.BadParameter("--kind probs takes weights as they are: they have no β to sweep over")
    asked = Asked.of(reduction, reading, running)
    return sweep_file(input, asked, None if betas is None else betas_of(betas), tol, Shown(output, format, plot, force))


@dataclass(frozen=True, slots=True)
class Shown:
    """Options that say where results go."""

    output: str | None
    format: str | None
    plot: str | None
    force: bool


def sweep_file(name: str, asked: Asked, betas: Sequence[float] | None, tolerance: float, shown: Shown) -> int:
    """Sweep over one input and show it; 0, or 2 where it cannot be used.

    Raises OptionError where options contradict each other.
    """
    from softargmax_cli.cli.destinations import keep_apart, picture_format_of, spare_inputs
    from softargmax_cli.cli.pipeline import for_each

    format = _format(shown)
    if shown.plot is not None:
        picture_format_of(shown.plot)
    keep_apart([shown.output], [shown.plot])
    spare_inputs([shown.output, shown.plot], [name], *asked.files)

    def work(inputs: Inputs, name: str) -> int:
        from softargmax_cli.cli.best_beta import sweep_input
        from softargmax_cli.cli.picture import Picture
        from softargmax_cli.files.writers.atomic import open_target

        with ExitStack() as stack:
            # Before anything is read, so that what cannot be written is said at once.
            numbers = picture = None
            if format != "table":
                numbers = open_target(shown.output or "-", force=shown.force)
                stack.callback(numbers.abort)  # of no effect once it is committed
            if shown.plot is not None:
                picture = stack.enter_context(Picture(shown.plot, force=shown.force))
            done = sweep_input(inputs, name, stack.enter_context(inputs.replayed(name)), betas, tolerance)
            if picture is not None:
                from softargmax_cli.report.plots import draw_betas

                picture.write(draw_betas(done.run, done.swept, tolerance, done.recommended))
            if numbers is not None:
                _put(numbers, _text(done, format).encode())
            if picture is not None:
                picture.commit()
        _say(name, done, tolerance, asked, shown, format)
        return 0

    return for_each([name], asked, work)


def _format(shown: Shown) -> str:
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


def _put(target: Target, data: bytes) -> None:
    from softargmax_cli.files.temporary import blaming

    with blaming(target.name):
        target.stream.write(data)
        target.commit()


def _text(done: Found, format: str) -> str:
    from softargmax_cli.files.writers.json import json_value
    from softargmax_cli.reduction.sweep import AtBeta

    names = [field.name for field in fields(AtBeta)]
    rows = [astuple(at) for at in done.swept.betas]
    if format == "json":
        cells = (", ".join(f'"{name}": {json_value(n)}' for name, n in zip(names, row, strict=True)) for row in rows)
        listed = ",\n  ".join(f"{{{row}}}" for row in cells)
        return f'{{"betas": [\n  {listed}\n ],\n "recommended_beta": {json_value(done.recommended)}}}\n'
    delimiter = DELIMITERS[format]
    return "".join(delimiter.join(map(str, row)) + "\n" for row in [names, *rows])


def _say(name: str, done: Found, tolerance: float, asked: Asked, shown: Shown, format: str) -> None:
    """Print the table; where numbers have been written, its last line alone, to standard error."""
    from softargmax_cli.cli.advice import run_with
    from softargmax_cli.cli.messages import say_note
    from softargmax_cli.report.sweep import Advice, put_sweep, verdict

    if not asked.quiet:
        for note in dict.fromkeys(done.notes):
            say_note(f"{done.run.input}: {note}")
    command = [] if done.recommended is None else [*run_with(name, asked, done.recommended)]
    advice = Advice(tolerance, done.recommended, done.unbounded, command)
    if format == "table":
        put_sweep(done.run, done.swept, advice, sys.stdout)
    elif shown.output not in (None, "-") and not asked.quiet:
        for line in verdict(done.swept, advice, sys.stderr):
            print(line, file=sys.stderr)
