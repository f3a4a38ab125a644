"""`softargmax evaluate`: the errors of hard and soft against the truth."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from softargmax_cli.cli.options import (
    BetaOptions,
    ForceOptions,
    Inputs,
    grouped,
    option,
    output_option,
    refuse,
    several,
)
from softargmax_cli.cli.outputs import Outputs
from softargmax_cli.cli.pipeline import Job
from softargmax_cli.cli.references import References
from softargmax_cli.errors import ROOM, disk_errors
from softargmax_cli.files.writers import FORMATS
from softargmax_cli.files.writers.atomic import TemporaryFile

if TYPE_CHECKING:
    from softargmax_cli.reduction.truth import Evaluation

ERRORS = ("hard_error", "soft_error")


@dataclass(frozen=True)
class TruthOptions:
    """The truth, and the errors to count."""

    truth: str = option(..., "Truth", "FILE|DIR/", "Gives the true positions: an array like the results, or a table.")
    within: str = option("1,2,4", "Truth", "D[,D...]", "Counts the slices whose error is at most D. Default: 1,2,4.")


@dataclass(frozen=True)
class OutputOptions(ForceOptions):
    """The places of results."""

    output: str | None = output_option(
        "FILE|DIR/",
        f"Writes the errors of each slice: {', '.join(f'.{format}' for format in FORMATS)}; .npy holds those of soft.",
    )
    format: Literal["table", "json", "csv", "tsv"] = option(
        "table", "Output", "FORMAT", "Chooses table, json, csv or tsv. Default: table."
    )
    worst: int | None = option(None, "Output", "N", "Lists the N slices of largest soft error.", min=1)


@grouped
def evaluate(inputs: Inputs, *, truth: TruthOptions, asked: BetaOptions, shown: OutputOptions) -> int:
    """Measure the errors of hard and soft against known positions: mean, median, maximum, PCK.

    \b
    softargmax evaluate heatmaps.npy --axis -2,-1 --beta 10 --truth keypoints.csv
    softargmax evaluate scores.csv --truth classes.csv --within 0.5 --worst 10
    softargmax evaluate volume.npy --axis 0 --kind cost --truth disparity.npy -o errors.npz
    softargmax guide beta
    """
    limits = sorted({*several("--within", truth.within, float, "give distances as 1,2,4", least=0)})
    job = Job(inputs, asked, shown.output, truth.truth)
    refuse(shown.output == "-", "-o -: the errors of slices go to a file", "name one, such as errors.csv")
    outputs = Outputs(job, shown.output, force=shown.force, formats=FORMATS)
    truths = References("truth", truth.truth, several=job.several)
    with ExitStack() as stack:
        stack.enter_context(job.begun(outputs.paths, shown.output, reads=truths.files))
        import numpy as np

        from softargmax_cli.files.writers.json import objects
        from softargmax_cli.files.writers.text import FieldColumns
        from softargmax_cli.reduction.check import Worst
        from softargmax_cli.reduction.fields import OF_TRUTH
        from softargmax_cli.reduction.truth import with_truth
        from softargmax_cli.report.evaluation import put_evaluation, put_total

        stack.enter_context(outputs)
        total, found = _evaluation(limits, stack), list[dict[str, Any]]()
        for name, path in zip(job.names, outputs.paths, strict=True):
            with job.trying(name), ExitStack() as files:
                reduction = files.enter_context(job.opened(name, {"second", "spread"} if shown.worst else set()))
                stored = files.enter_context(truths.opened(name, reduction))
                run = replace(reduction.run, fields=ERRORS, alone="soft_error")
                writer = files.enter_context(outputs.opened(path, run, ERRORS))
                one, worst = _evaluation(limits, files), Worst(shown.worst or 1)
                with disk_errors("temporary file", ROOM):
                    for slices in reduction:
                        true = stored(len(slices), slices.ids)
                        compared = with_truth(slices, true, reduction.problem, reduction.source.rows)
                        one.add(compared)
                        if shown.worst:
                            worst.add(compared, compared.soft_error, np.flatnonzero(~np.isnan(compared.soft_error)))
                        if writer is not None:
                            writer.write(compared)
                    stored.end()
                    if job.several:
                        total.join(one)
                if writer:
                    outputs.end(writer, one, reduction.run.known_shape)
                run, kept = reduction.run, worst.found()
                about = _numbers(one, run.input if job.several else None)
                if shown.format == "table":
                    job.begin_table()
                    put_evaluation(about, kept, run, sys.stdout)
                elif shown.worst:
                    columns = FieldColumns(replace(run, fields=OF_TRUTH), OF_TRUTH)
                    about["worst"] = [] if kept is None else [*objects(columns, kept)]
                found.append(about)
        if job.code == 0:
            truths.end()
        whole = _numbers(total) if found and job.several else None
        if whole and shown.format == "table":
            put_total(whole, sys.stdout)
        elif found and shown.format != "table":
            sys.stdout.write(_document(shown.format, found, whole))
        sys.stdout.flush()
        outputs.commit(total, complete=job.code == 0)
    return job.code


def _evaluation(within: Sequence[float], stack: ExitStack) -> Evaluation:
    """Return an evaluation whose errors wait in files that `stack` closes."""
    from softargmax_cli.reduction.truth import ESTIMATES, Evaluation

    return Evaluation(within, [stack.enter_context(TemporaryFile()) for _ in ESTIMATES])


def _numbers(evaluation: Evaluation, name: str | None = None) -> dict[str, Any]:
    """Return the numbers of an evaluation by their JSON names. name: that of the input, if there are several."""
    estimates = []
    for errors, numbers in zip(evaluation.estimates, evaluation.numbers(), strict=True):
        within = {f"{limit:.10g}": share for limit, share in errors.within.items()}
        estimates.append({"name": errors.name, **numbers, "within": within})
    return {**({} if name is None else {"input": name}), **evaluation.as_dict(), "estimates": estimates}


def _document(format: str, found: Sequence[dict[str, Any]], total: dict[str, Any] | None) -> str:
    """Write the numbers of all inputs as json, or as a table with a row for each estimate."""
    from softargmax_cli.files.writers.json import json_text
    from softargmax_cli.files.writers.text import table_text

    if format == "json":
        document = found[0] if total is None else {"inputs": found, "summary": total}
        return json_text(document, indent=1) + "\n"
    rows = []
    for about in [*found, *([] if total is None else [{"input": "all inputs", **total}])]:
        for estimate in about["estimates"]:
            row = {"input": about["input"]} if "input" in about else {}
            row |= {name: number for name, number in estimate.items() if name != "within"}
            rows.append(row | {f"within_{limit}": share for limit, share in estimate["within"].items()})
    return table_text(rows, format)
