"""`softargmax weights`: the weights of all slices, in the shape of the input."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from softargmax_cli.cli.options import BetaOptions, ForceOptions, Inputs, grouped, output_option
from softargmax_cli.cli.outputs import Outputs
from softargmax_cli.cli.paths import names_store
from softargmax_cli.cli.pipeline import Job

if TYPE_CHECKING:
    from softargmax_cli.api.pipeline import Reduction


@dataclass(frozen=True)
class OutputOptions(ForceOptions):
    """The place of the weights."""

    output: str = output_option(
        "FILE|DIR/|-", "Writes the weights here: .npy, .npz or .zarr; - writes .npy to a pipe.", ...
    )


@grouped
def weights(inputs: Inputs, *, asked: BetaOptions, written: OutputOptions) -> int:
    """Write the weights p = softmax(beta x) of every slice, in the shape of the input.

    \b
    softargmax weights scores.npy --beta 10 -o weights.npy
    softargmax weights heatmaps.npy --axis -2,-1 --beta 10 --window 4 -o weights.npz
    softargmax guide output
    """
    job, format = Job(inputs, asked, written.output), "npy" if written.output == "-" else None
    paths = Outputs(job, written.output, format, usual="npy", formats=("npy", "npz", "zarr")).paths
    with job.begun(paths, written.output):
        from softargmax_cli.files.writers.npy import BoxWriter
        from softargmax_cli.files.writers.zarr import ZarrBoxWriter
        from softargmax_cli.reduction.fields import FREE
        from softargmax_cli.reduction.result import Summary
        from softargmax_cli.reduction.weights import WEIGHTS, weigh

        for name, path in zip(job.names, map(str, paths), strict=True):
            with job.trying(name), job.opened(name, FREE, needs=WEIGHTS) as reduction:
                source, given, summary = reduction.source, (path, "weights", reduction.problem.precision), Summary()
                boxes: BoxWriter | ZarrBoxWriter
                if names_store(path):
                    boxes = ZarrBoxWriter(*given, source.shape, _chunks(reduction), force=written.force)
                else:
                    boxes = BoxWriter(*given, source.shape, source.order, force=written.force)
                with boxes:
                    for slices in reduction.through(partial(weigh, write=boxes.write)):
                        summary.add(slices)
                    boxes.commit(reduction.run.known_shape)
                if path != "-":
                    job.say_summary(summary, reduction.run)
    return job.code


def _chunks(reduction: Reduction) -> list[int]:
    """Return the lengths of the chunks of a store: those of the input, else of the blocks that are written."""
    from softargmax_cli.reduction.budget import Budget
    from softargmax_cli.reduction.weights import WEIGHTS

    plan = Budget(WEIGHTS, reduction.source, reduction.problem, reduction.memory).plan
    return [max(1, n) for n in reduction.source.chunks or plan.extent]
