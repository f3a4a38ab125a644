"""`softargmax weights`: the weights themselves, in the shape of the input."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Annotated

from softargmax_cli.cli import options
from softargmax_cli.cli.arguments import inverse_temperature
from softargmax_cli.cli.options import ReadingOptions, ReductionOptions, RunningOptions, grouped

if TYPE_CHECKING:
    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.cli.pipeline import Asked, Inputs
    from softargmax_cli.files.source import Source
    from softargmax_cli.reduction.problem import Problem

FORMATS = ("npy", "npz", "zarr")

Output = Annotated[
    str,
    options.option(
        options.OUTPUT,
        "Writes the weights here: .npy, .npz or .zarr; - writes .npy to a pipe.",
        "--output",
        "-o",
        metavar="FILE|DIR/|-",
    ),
]


@grouped
def weights(
    inputs: options.Inputs,
    *,
    output: Output,
    reduction: ReductionOptions,
    beta: options.Beta = None,
    temperature: options.Temperature = None,
    reading: ReadingOptions,
    force: options.Force = False,
    running: RunningOptions,
) -> int:
    """Write the weights p = softmax(β x) of every slice, in the shape of the input.

    \b
    softargmax weights scores.npy --beta 10 -o weights.npy
    softargmax weights heatmaps.npy --axis -2,-1 --beta 10 --window 4 -o weights.npz
    softargmax guide output
    """
    from softargmax_cli.cli.destinations import choose_destinations
    from softargmax_cli.cli.inputs import find_inputs
    from softargmax_cli.cli.pipeline import Asked, for_each

    asked = Asked.of(reduction, reading, running, inverse_temperature(beta, temperature, reduction.kind))
    found = find_inputs(inputs, output, *asked.files)
    format = "npy" if output == "-" else None
    places = choose_destinations(found.names, output, format, several=found.several, usual="npy", formats=FORMATS)
    paths = [place.path or "-" for place in places]
    found.begin(paths, output, *asked.files, quiet=asked.quiet)
    next_path = iter(paths)

    def work(inputs: Inputs, name: str) -> int:
        from softargmax_cli.reduction.fields import FREE
        from softargmax_cli.reduction.weights import WEIGHTS

        path = next(next_path)
        bar = not (path == "-" and sys.stdout.isatty())
        with inputs.opened(name, FREE, bar=bar, needs=WEIGHTS) as opened:
            _write(opened, path, asked, force=force, named=found.several)
        sys.stdout.flush()
        return 0

    return for_each(found.names, asked, work)


def _write(reduction: Reduction, output: str, asked: Asked, *, force: bool, named: bool) -> None:
    """Write the weights of one input, and say what its slices are like. named: whether with its name."""
    from softargmax_cli.cli.destinations import names_store
    from softargmax_cli.cli.pipeline import say_notes, say_summary
    from softargmax_cli.files.writers.atomic import scratch
    from softargmax_cli.files.writers.npy import BoxWriter
    from softargmax_cli.files.writers.zarr import ZarrBoxWriter
    from softargmax_cli.reduction.result import Summary
    from softargmax_cli.reduction.weights import weigh

    source, problem, summary = reduction.source, reduction.problem, Summary()
    boxes: BoxWriter | ZarrBoxWriter
    with ExitStack() as stack:
        if names_store(output):
            chunks = _chunks(source, problem, asked.memory)
            boxes = ZarrBoxWriter(output, "weights", problem.precision, source.shape, chunks, force=force)
        else:
            boxes = BoxWriter(output, "weights", problem.precision, source.shape, source.order, force=force)
        stack.enter_context(boxes)
        for slices in reduction.through(partial(weigh, write=boxes.write, scratch=scratch)):
            summary.add(slices)
        if not asked.quiet:
            say_notes(reduction)
        boxes.commit(reduction.run.known_shape)
    if output != "-" and not asked.quiet:
        say_summary(summary, reduction.run, sys.stderr, named=named)


def _chunks(source: Source, problem: Problem, memory: int) -> list[int]:
    """Return the lengths of the chunks of a store: those of the input, else of the blocks that are written."""
    from softargmax_cli.reduction.weights import WEIGHTS

    if source.chunks is not None:
        lengths = source.chunks
    elif source.shape[0] is None:
        columns = source.shape[1] or 1
        lengths = (WEIGHTS.fit(source, problem, memory)[1] // columns, columns)
    else:
        lengths = WEIGHTS.plan(source, problem, memory).extent
    return [max(1, n) for n in lengths]
