"""`softargmax grad`: what of a gradient comes through the soft argmax."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from softargmax_cli.cli.options import BetaOptions, ForceOptions, Inputs, grouped, number, option, output_option, refuse
from softargmax_cli.cli.paths import Destination, choose_destinations
from softargmax_cli.cli.pipeline import Job, Outputs

if TYPE_CHECKING:
    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.reduction.result import Slices


@dataclass(frozen=True)
class GradOptions(ForceOptions):
    """Options that say by what soft is differentiated, and where results go."""

    wrt: Literal["x", "beta"] = option(
        "x", "Gradient", "x|beta", "Differentiates soft with respect to the scores, x (default), or to beta."
    )
    vanished: float = option(
        1e-6, "Gradient", "N", "Sets the norm of a vanished gradient. Default: 1e-06.", min=0, callback=number
    )
    output: str | None = output_option(
        "FILE|DIR/|-", "Writes the gradient here: .npy or .npz. DIR/ takes one file for each input."
    )
    format: Literal["table", "csv", "tsv", "json", "jsonl"] | None = option(
        None, "Output", "FORMAT", "Lists the slices as table, csv, tsv, json or jsonl. Default: table; nothing with -o."
    )
    rows: int = option(20, "Output", "N", "Limits the table; 0 shows all. Default: 20.", min=0)


@grouped
def grad(inputs: Inputs, *, asked: BetaOptions, shown: GradOptions) -> int:
    """Show how large the gradient of the soft argmax is in each slice, or write it to a file.

    \b
    softargmax grad scores.npy
    softargmax grad heatmaps.npy --axis -2,-1 --beta 10 -o gradient.npy
    softargmax grad scores.csv --wrt beta --format csv
    softargmax guide beta
    """
    what = "--wrt beta: --kind probs takes weights as they are, without β"
    refuse(shown.wrt == "beta" and asked.kind == "probs", what, "use --wrt x")
    what = f"-o - and --format {shown.format} both go to standard output"
    refuse(shown.output == "-" and shown.format is not None, what, "write the gradient to a file")
    job, data = Job(inputs, asked, [shown.output]), "npy" if shown.output == "-" else None
    several, formats = job.several, ("npy", "npz")
    files = choose_destinations(job.names, shown.output, data, several=several, usual="npy", formats=formats)
    lists = choose_destinations(job.names, None, shown.format, several=several)
    results = [place.path for place in (*files, *lists)]
    with job.begun(results, [shown.output]), Outputs(force=shown.force) as outputs:
        from softargmax_cli.reduction.fields import FREE
        from softargmax_cli.reduction.gradient import GRADIENT

        gradients = Gradients(job, shown, outputs)
        for name, file, listed in zip(job.names, files, lists, strict=True):
            with job.trying(name), job.opened(name, FREE, needs=GRADIENT) as opened:
                gradients.put(opened, file, listed)
        outputs.commit(gradients.total, complete=job.code == 0)
    return job.code


class Gradients:
    """The gradients of a command's inputs, each written to its file and listed."""

    def __init__(self, job: Job, shown: GradOptions, outputs: Outputs) -> None:
        from softargmax_cli.reduction.result import Summary

        self._job, self._shown, self._outputs = job, shown, outputs
        self.total = Summary(vanished=0)
        self._tables = 0

    def put(self, reduction: Reduction, file: Destination, listed: Destination) -> None:
        """Write the gradient of one input to a file, and its slices to a list, where they are wanted."""
        from softargmax_cli.files.writers.atomic import scratch
        from softargmax_cli.files.writers.npy import BoxWriter
        from softargmax_cli.reduction.fields import OF_GRADIENT
        from softargmax_cli.reduction.gradient import BY_BETA, BY_SCORES, differentiate
        from softargmax_cli.reduction.hints import saturation
        from softargmax_cli.reduction.result import Summary
        from softargmax_cli.report.slices import put_table
        from softargmax_cli.report.summary import First

        shown, source, problem = self._shown, reduction.source, reduction.problem
        coordinates = (len(problem.axes),) if len(problem.axes) > 1 else ()  # the last dimension of the gradient
        summary, first, boxes, write = Summary(vanished=0), First(shown.rows), None, None
        takers: list[Callable[[Slices], None]] = [summary.add, self.total.add, first.add]
        run = replace(reduction.run, wrt=shown.wrt, vanished=shown.vanished, fields=OF_GRADIENT, alone="gradient")
        reduction.run = run
        with ExitStack() as stack:
            if file.path is not None and shown.wrt == "x":
                shape = (*source.shape, *coordinates)
                boxes = BoxWriter(file.path, "gradient", problem.precision, shape, source.order, force=shown.force)
                write = stack.enter_context(boxes).write
            by_beta = file if shown.wrt == "beta" else replace(file, path=None)
            opened = self._outputs.opened(by_beta, run, {"gradient"})
            lists = self._outputs.opened(listed, run, BY_BETA if shown.wrt == "beta" else BY_SCORES)
            writers = [writer for each in (opened, lists) if (writer := stack.enter_context(each)) is not None]
            takers += [writer.write for writer in writers]
            work = partial(differentiate, by=shown.wrt, vanished=shown.vanished, write=write, scratch=scratch)
            for slices in reduction.through(work):
                for take in takers:
                    take(slices)
            if boxes is not None:
                boxes.commit((*reduction.run.known_shape, *coordinates))
            for writer in writers:
                self._outputs.end(writer, summary, reduction.run.known_shape)
        if shown.wrt == "x" and (hint := saturation(summary, summary.max_norm, problem)):
            reduction.notes.append(hint)
        if listed.table and (file.path is None or shown.format is not None):
            sys.stdout.write("\n" * (self._tables > 0))
            put_table(first, reduction.run, summary, sys.stdout)
            self._tables += 1
        elif "-" not in (file.path, listed.path):
            self._job.say_summary(summary, reduction.run)
