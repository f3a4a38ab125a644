"""`softargmax grad`: the gradients of the soft argmax."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from softargmax_cli.cli.options import BetaOptions, ForceOptions, Inputs, grouped, option, output_option, refuse
from softargmax_cli.cli.outputs import Outputs
from softargmax_cli.cli.pipeline import Job

if TYPE_CHECKING:
    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.reduction.result import Summary


@dataclass(frozen=True)
class GradOptions(ForceOptions):
    """The variable by which soft is differentiated, and the places of results."""

    wrt: Literal["x", "beta"] = option(
        "x", "Gradient", "x|beta", "Differentiates soft with respect to the scores, x (default), or to beta."
    )
    vanished: float = option(1e-6, "Gradient", "N", "Counts norms below this as vanished. Default: 1e-06.", min=0)
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
    job = Job(inputs, asked, shown.output)
    data = "npy" if shown.output == "-" else None
    files = Outputs(job, shown.output, data, force=shown.force, usual="npy", formats=("npy", "npz"))
    lists = Outputs(job, None, shown.format)
    with job.begun([*files.paths, *lists.paths], shown.output), files, lists:
        from softargmax_cli.reduction.fields import FREE
        from softargmax_cli.reduction.gradient import GRADIENT
        from softargmax_cli.reduction.result import Summary

        total = Summary(vanished=0)
        for name, path in zip(job.names, files.paths, strict=True):
            with job.trying(name), job.opened(name, FREE, needs=GRADIENT) as reduction:
                total.join(_put(job, reduction, shown, path, files, lists))
        lists.commit(total, complete=job.code == 0)
    return job.code


def _put(
    job: Job, reduction: Reduction, shown: GradOptions, path: str | None, files: Outputs, lists: Outputs
) -> Summary:
    """Write the gradient of one input to a file, and list its slices, if either is wanted."""
    from softargmax_cli.files.writers.npy import BoxWriter
    from softargmax_cli.reduction.fields import OF_GRADIENT
    from softargmax_cli.reduction.gradient import BY_BETA, BY_SCORES, differentiate, saturation
    from softargmax_cli.reduction.result import Summary
    from softargmax_cli.report.slices import put_table
    from softargmax_cli.report.summary import First

    source, problem, by_scores = reduction.source, reduction.problem, shown.wrt == "x"
    coordinates = (len(problem.axes),) if len(problem.axes) > 1 else ()  # the last dimension of the gradient
    summary, first, boxes = Summary(vanished=0), First(shown.rows), None
    run = replace(reduction.run, wrt=shown.wrt, vanished=shown.vanished, fields=OF_GRADIENT, alone="gradient")
    reduction.run, listed = run, lists.paths[0]
    with ExitStack() as stack:
        if path is not None and by_scores:
            shape = (*source.shape, *coordinates)
            boxes = BoxWriter(path, "gradient", problem.precision, shape, source.order, force=shown.force)
            stack.enter_context(boxes)
        of_beta = stack.enter_context(files.opened(None if by_scores else path, run, {"gradient"}))
        of_slices = stack.enter_context(lists.opened(listed, run, BY_SCORES if by_scores else BY_BETA))
        writers = [(outputs, writer) for outputs, writer in ((files, of_beta), (lists, of_slices)) if writer]
        write = boxes.write if boxes else None
        work = partial(differentiate, by=shown.wrt, vanished=shown.vanished, write=write)
        for slices in reduction.through(work):
            summary.add(slices)
            first.add(slices)
            for _, writer in writers:
                writer.write(slices)
        if boxes is not None:
            boxes.commit((*reduction.run.known_shape, *coordinates))
        for outputs, writer in writers:
            outputs.end(writer, summary, reduction.run.known_shape)
    if by_scores and (hint := saturation(summary, problem)):
        reduction.notes.append(hint)
    if lists.table and (path is None or shown.format is not None):
        job.begin_table()
        put_table(first, reduction.run, summary, sys.stdout)
    elif "-" not in (path, listed):
        job.say_summary(summary, reduction.run)
    return summary
