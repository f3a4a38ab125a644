"""`softargmax weights`: the weights themselves, in the shape of the input."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from softargmax_cli.cli.options import REQUIRED, BetaOptions, ForceOptions, Inputs, grouped, output_option
from softargmax_cli.cli.paths import choose_destinations, names_store
from softargmax_cli.cli.pipeline import Job

if TYPE_CHECKING:
    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.files.source import Source
    from softargmax_cli.reduction.problem import Problem


@dataclass(frozen=True, kw_only=True)
class OutputOptions(ForceOptions):
    """Where weights go."""

    output: str = output_option(
        "FILE|DIR/|-", "Writes the weights here: .npy, .npz or .zarr; - writes .npy to a pipe.", REQUIRED
    )


@grouped
def weights(inputs: Inputs, *, asked: BetaOptions, written: OutputOptions) -> int:
    """Write the weights p = softmax(beta x) of every slice, in the shape of the input.

    \b
    softargmax weights scores.npy --beta 10 -o weights.npy
    softargmax weights heatmaps.npy --axis -2,-1 --beta 10 --window 4 -o weights.npz
    softargmax guide output
    """
    output = written.output
    job, formats = Job(inputs, asked, [output]), ("npy", "npz", "zarr")
    format = "npy" if output == "-" else None
    places = choose_destinations(job.names, output, format, several=job.several, usual="npy", formats=formats)
    paths = [place.path or "-" for place in places]
    with job.begun(paths, [output]):
        from softargmax_cli.reduction.fields import FREE
        from softargmax_cli.reduction.weights import WEIGHTS

        for name, path in zip(job.names, paths, strict=True):
            with job.trying(name), job.opened(name, FREE, needs=WEIGHTS) as opened:
                _write(job, opened, path, force=written.force)
    return job.code


def _write(job: Job, reduction: Reduction, path: str, *, force: bool) -> None:
    """Write the weights of one input, and say what its slices are like."""
    from softargmax_cli.files.writers.atomic import scratch
    from softargmax_cli.files.writers.npy import BoxWriter
    from softargmax_cli.files.writers.zarr import ZarrBoxWriter
    from softargmax_cli.reduction.result import Summary
    from softargmax_cli.reduction.weights import weigh

    source, problem, summary = reduction.source, reduction.problem, Summary()
    boxes: BoxWriter | ZarrBoxWriter
    if names_store(path):
        chunks = _chunks(source, problem, job.memory)
        boxes = ZarrBoxWriter(path, "weights", problem.precision, source.shape, chunks, force=force)
    else:
        boxes = BoxWriter(path, "weights", problem.precision, source.shape, source.order, force=force)
    with boxes:
        for slices in reduction.through(partial(weigh, write=boxes.write, scratch=scratch)):
            summary.add(slices)
        boxes.commit(reduction.run.known_shape)
    if path != "-":
        job.say_summary(summary, reduction.run)


def _chunks(source: Source, problem: Problem, memory: int) -> list[int]:
    """Return the lengths of the chunks of a store: those of the input, else of the blocks that are written."""
    from softargmax_cli.reduction.budget import Budget
    from softargmax_cli.reduction.weights import WEIGHTS

    if source.chunks is not None:
        lengths = source.chunks
    elif source.shape[0] is None:
        columns = source.shape[1] or 1
        lengths = (Budget(WEIGHTS, source, problem, memory).elements // columns, columns)
    else:
        lengths = Budget(WEIGHTS, source, problem, memory).plan.extent
    return [max(1, n) for n in lengths]
