"""`softargmax weights`: the weights themselves, in the shape of the input."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Annotated

from softargmax_cli.cli import options
from softargmax_cli.cli.arguments import inverse_temperature
from softargmax_cli.cli.groups import ReadingOptions, ReductionOptions, RunningOptions, grouped

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
        "Writes the weights here: .npy, .npz or .zarr; - for .npy in a pipe.",
        "--output",
        "-o",
        metavar="FILE|-",
    ),
]


@grouped
def weights(
    input: options.Input,
    *,
    output: Output,
    reduction: ReductionOptions,
    beta: options.Beta = None,
    temperature: options.Temperature = None,
    reading: ReadingOptions,
    force: options.Force = False,
    running: RunningOptions,
) -> int:
    """Write the weight of every entry, p = softmax(β x) of its slice, in the shape of the input.

    \b
    softargmax weights scores.npy --beta 10 -o weights.npy
    softargmax weights heatmaps.npy --axis -2,-1 --beta 10 --window 4 -o weights.npz
    softargmax guide output
    """
    from softargmax_cli.cli.destinations import spare_inputs
    from softargmax_cli.cli.pipeline import Asked, for_each
    from softargmax_cli.files.writers import format_of

    asked = Asked.of(reduction, reading, running, inverse_temperature(beta, temperature, reduction.kind))
    format = "npy" if output == "-" else format_of(output, FORMATS)
    spare_inputs([output], [input], *asked.files)

    def work(inputs: Inputs, name: str) -> int:
        from softargmax_cli.reduction.fields import FREE
        from softargmax_cli.reduction.weights import WEIGHTS

        bar = not (output == "-" and sys.stdout.isatty())
        with inputs.opened(name, FREE, bar=bar, needs=WEIGHTS) as opened:
            _write(opened, output, format, asked, force=force)
        sys.stdout.flush()
        return 0

    return for_each([input], asked, work)


def _write(reduction: Reduction, output: str, format: str, asked: Asked, *, force: bool) -> None:
    """Write the weights of one input, and say what its slices are like."""
    from softargmax_cli.cli.pipeline import say_notes
    from softargmax_cli.files.temporary import scratch
    from softargmax_cli.files.writers.npy import BoxWriter
    from softargmax_cli.files.writers.zarr import ZarrBoxWriter
    from softargmax_cli.reduction.result import Summary
    from softargmax_cli.reduction.weights import weigh
    from softargmax_cli.report.summary import summary_line
    from softargmax_cli.report.text import signs_of

    source, problem, summary = reduction.source, reduction.problem, Summary()
    boxes: BoxWriter | ZarrBoxWriter
    with ExitStack() as stack:
        if format == "zarr":
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
        print(summary_line(summary, reduction.run, signs=signs_of(sys.stderr)), file=sys.stderr)


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
