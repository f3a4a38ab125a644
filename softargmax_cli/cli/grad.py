"""`softargmax grad`: what of a gradient comes through the soft argmax."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softargmax_cli.cli import options
from softargmax_cli.cli.arguments import inverse_temperature
from softargmax_cli.cli.options import ReadingOptions, ReductionOptions, RunningOptions, grouped
from softargmax_cli.errors import OptionError, parameter

if TYPE_CHECKING:
    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.cli.answer import Writers
    from softargmax_cli.cli.destinations import Destination
    from softargmax_cli.cli.pipeline import Asked, Inputs
    from softargmax_cli.files.writers import Writer
    from softargmax_cli.files.writers.npy import BoxWriter
    from softargmax_cli.reduction.gradient import SlopeSummary
    from softargmax_cli.reduction.result import Slices

GRADIENT = "Gradient"


def _threshold(value: float) -> float:
    """Refuse NaN, which is not below the least."""
    if math.isnan(value):
        raise typer.BadParameter("nan is no norm")
    return value


Wrt = Annotated[
    Literal["x", "beta"],
    options.option(
        GRADIENT, "Differentiates soft with respect to the scores, x, or to beta. Default: x.", metavar="x|beta"
    ),
]
Vanished = Annotated[
    float,
    options.option(
        GRADIENT,
        "Sets the norm below which a gradient has vanished. Default: 1e-06.",
        metavar="N",
        min=0,
        callback=_threshold,
    ),
]
Output = Annotated[
    str | None,
    options.option(
        options.OUTPUT,
        "Writes the gradient here: .npy or .npz. DIR/ takes one file for each input.",
        "--output",
        "-o",
        metavar="FILE|DIR/|-",
    ),
]
Format = Annotated[
    Literal["table", "csv", "tsv", "json", "jsonl"] | None,
    options.option(
        options.OUTPUT,
        "Lists the slices as table, csv, tsv, json or jsonl. Default: table; nothing with -o.",
        metavar="FORMAT",
    ),
]


@dataclass(frozen=True)
class Shown:
    """Where results go, and how much of them."""

    output: Output = None
    format: Format = None
    rows: options.Rows = 20
    force: options.Force = False


@grouped
def grad(
    inputs: options.Inputs,
    *,
    wrt: Wrt = "x",
    vanished: Vanished = 1e-6,
    reduction: ReductionOptions,
    beta: options.Beta = None,
    temperature: options.Temperature = None,
    reading: ReadingOptions,
    shown: Shown,
    running: RunningOptions,
) -> int:
    """Show how large the gradient of the soft argmax is in each slice, or write it to a file.

    \b
    softargmax grad scores.npy
    softargmax grad heatmaps.npy --axis -2,-1 --beta 10 -o gradient.npy
    softargmax grad scores.csv --wrt beta --format csv
    softargmax guide beta
    """
    from softargmax_cli.cli.answer import Writers
    from softargmax_cli.cli.destinations import choose_destinations
    from softargmax_cli.cli.inputs import find_inputs
    from softargmax_cli.cli.pipeline import Asked, for_each
    from softargmax_cli.reduction.gradient import SlopeSummary

    if wrt == "beta" and reduction.kind == "probs":
        what = f"{parameter('wrt', wrt)}: {parameter('kind', reduction.kind)} takes weights as they are, without β"
        raise OptionError(what, f"use {parameter('wrt', 'x')}")

    asked = Asked.of(reduction, reading, running, inverse_temperature(beta, temperature, reduction.kind))
    found = find_inputs(inputs, shown.output, *asked.files)
    files = _files(found.names, shown.output, shown.format, several=found.several)
    places = iter(zip(files, choose_destinations(found.names, None, shown.format, several=found.several), strict=True))
    found.begin([file.path for file in files], shown.output, *asked.files, quiet=asked.quiet)
    tables = 0
    total = SlopeSummary()

    def work(opened: Inputs, name: str) -> int:
        from softargmax_cli.reduction.fields import FREE
        from softargmax_cli.reduction.gradient import GRADIENT

        nonlocal tables
        file, said = next(places)
        data = "-" in (file.path, said.path)
        tabled = said.table and (file.path is None or shown.format is not None)
        with opened.opened(name, FREE, bar=not (data and sys.stdout.isatty()), needs=GRADIENT) as reduction:
            reduction.run = replace(reduction.run, wrt=wrt, vanished=vanished)
            _show(reduction, file, said, asked, shown, writers, total, tabled=tabled, apart=tables > 0)
        sys.stdout.flush()
        tables += tabled
        return 0

    with Writers(force=False) as writers:
        code = for_each(found.names, asked, work)
        writers.commit(total, complete=code == 0)
    return code


def _files(names: Sequence[str], output: str | None, format: str | None, *, several: bool) -> list[Destination]:
    """Choose where each input's gradient goes. Raises OptionError where that cannot be."""
    from softargmax_cli.cli.destinations import choose_destinations

    if output == "-" and format is not None:
        both = f"-o - and {parameter('format', format)} both go to standard output"
        raise OptionError(both, "write the gradient to a file")
    data = "npy" if output == "-" else None
    return choose_destinations(names, output, data, several=several, usual="npy", formats=("npy", "npz"))


def _show(
    reduction: Reduction,
    file: Destination,
    said: Destination,
    asked: Asked,
    shown: Shown,
    writers: Writers,
    total: SlopeSummary,
    *,
    tabled: bool,
    apart: bool,
) -> None:
    """Write the gradients of one input to their destinations.

    total: takes the slices of all inputs; tabled: whether a table is shown, and apart: whether another came before.
    """
    from softargmax_cli.cli.pipeline import say_notes, say_summary
    from softargmax_cli.files.writers import open_writer
    from softargmax_cli.files.writers.atomic import scratch
    from softargmax_cli.files.writers.npy import BoxWriter
    from softargmax_cli.reduction.fields import GRADIENT_FIELDS
    from softargmax_cli.reduction.gradient import BY_BETA, BY_SCORES, SlopeSummary, differentiate
    from softargmax_cli.reduction.hints import saturation
    from softargmax_cli.report.slices import put_table
    from softargmax_cli.report.summary import First

    run = replace(reduction.run, fields=tuple(field.name for field in GRADIENT_FIELDS), alone="gradient")
    reduction.run = run
    source, problem = reduction.source, reduction.problem
    coordinates = (len(problem.axes),) if len(problem.axes) > 1 else ()  # the last dimension of the gradient
    by: Literal["x", "beta"] = "beta" if run.wrt == "beta" else "x"
    summary, first = SlopeSummary(), First(shown.rows)
    boxes: BoxWriter | None = None
    written: Writer | None = None
    listed: Writer | None = None
    with ExitStack() as stack:
        if file.path is not None and by == "x":
            shape = (*source.shape, *coordinates)
            boxes = BoxWriter(file.path, "gradient", problem.precision, shape, source.order, force=shown.force)
            stack.enter_context(boxes)
        elif file.path is not None:
            opened = open_writer(file.path, file.format, run, {"gradient"}, force=shown.force)
            written = stack.enter_context(opened)
        if said.path is not None:
            listed = writers.opened(said, run, BY_BETA if by == "beta" else BY_SCORES, stack)
        takers: list[Callable[[Slices], None]] = [summary.add, total.add]
        takers += [first.add] if tabled else []
        takers += [writer.write for writer in (written, listed) if writer is not None]
        write = None if boxes is None else boxes.write
        for slices in reduction.through(
            partial(differentiate, by=by, vanished=run.vanished, write=write, scratch=scratch)
        ):
            for take in takers:
                take(slices)
        if by == "x" and (hint := saturation(summary, summary.max_norm, problem)):
            reduction.notes.append(hint)
        if not asked.quiet:
            say_notes(reduction)
        known = reduction.run.known_shape
        if boxes is not None:
            boxes.commit((*known, *coordinates))
        if written is not None:
            written.end(summary, known)
            written.commit(summary)
        if listed is not None:
            writers.end(listed, summary, known)
    if tabled:
        if apart:
            print()
        put_table(first, reduction.run, summary, sys.stdout)
    elif "-" not in (file.path, said.path) and not asked.quiet:
        say_summary(summary, reduction.run, sys.stderr, named=said.shared)
