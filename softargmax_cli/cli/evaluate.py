"""`softargmax evaluate`: how far hard and soft lie from what is true."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from softargmax_cli.cli.options import (
    REQUIRED,
    BetaOptions,
    ForceOptions,
    Inputs,
    grouped,
    option,
    output_option,
    refuse,
    several,
)
from softargmax_cli.cli.paths import choose_destinations
from softargmax_cli.cli.pipeline import Job, Outputs
from softargmax_cli.cli.references import References
from softargmax_cli.files.writers import FORMATS, Writer
from softargmax_cli.files.writers.atomic import ROOM, TemporaryFile, blaming

if TYPE_CHECKING:
    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.files.expected import Expected
    from softargmax_cli.reduction.result import Run, Slices
    from softargmax_cli.reduction.truth import Evaluation

DELIMITERS = {"csv": ",", "tsv": "\t"}
ERRORS = ("hard_error", "soft_error")
"""The fields that are written of each slice."""


@dataclass(frozen=True)
class TruthOptions:
    """Options that say what is true, and how errors are counted."""

    truth: str = option(
        REQUIRED, "Truth", "FILE|DIR/", "Gives the true positions: an array like the results, or a table."
    )
    within: str = option("1,2,4", "Truth", "D[,D...]", "Counts the slices whose error is at most D. Default: 1,2,4.")


@dataclass(frozen=True)
class OutputOptions(ForceOptions):
    """Where results go."""

    output: str | None = output_option(
        "FILE|DIR/", "Writes the errors of each slice: .npy (soft alone), .npz, .csv, .tsv, .json, .jsonl, .parquet."
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
    limits = several("--within", truth.within, float, "give distances as 1,2,4", least=0)
    limits, job = sorted(set(limits)), Job(inputs, asked, [shown.output, truth.truth])
    refuse(shown.output == "-", "-o -: the errors of slices go to a file", "name one, such as errors.csv")
    places = choose_destinations(job.names, shown.output, None, several=job.several, formats=FORMATS)
    truths = References("truth", truth.truth, several=job.several)
    report = Report(shown, several=job.several)
    with ExitStack() as stack:
        stack.enter_context(job.begun([place.path for place in places], [shown.output], truths.files))
        outputs = stack.enter_context(Outputs(force=shown.force))
        total = _evaluation(limits, stack)
        for name, place in zip(job.names, places, strict=True):
            with job.trying(name), ExitStack() as files:
                opened = files.enter_context(job.opened(name, {"second", "spread"} if shown.worst else set()))
                stored = files.enter_context(truths.opened(name, opened.run, opened.source.facts.id_column))
                opened.notes += [stored.note] if stored.note else []
                facts = replace(opened.run, fields=ERRORS, alone="soft_error")
                writer = files.enter_context(outputs.opened(place, facts, ERRORS))
                with blaming("temporary file", ROOM):
                    one = _evaluation(limits, files)
                    worst = _compare(opened, stored, one, writer, shown.worst)
                    if job.several:
                        total.join(one)
                if writer:
                    outputs.end(writer, one, opened.run.known_shape)
                report.add(opened.run, one, worst)
        if job.code == 0:
            truths.end()
        report.end(total)
        outputs.commit(total, complete=job.code == 0)
    return job.code


def _evaluation(within: Sequence[float], stack: ExitStack) -> Evaluation:
    """Return an evaluation whose errors wait in files that `stack` closes."""
    from softargmax_cli.reduction.truth import ESTIMATES, Evaluation

    return Evaluation(within, [stack.enter_context(TemporaryFile()) for _ in ESTIMATES])


def _compare(
    reduction: Reduction, stored: Expected, one: Evaluation, writer: Writer | None, rows: int | None
) -> Slices | None:
    """Compare all slices of an input with the truth, and write their errors; return the `rows` worst of them."""
    import numpy as np

    from softargmax_cli.reduction.check import Worst
    from softargmax_cli.reduction.truth import compared_with_truth

    worst = Worst(rows or 1)
    for slices in reduction:
        true = stored(len(slices), slices.ids)
        compared = compared_with_truth(slices, true, reduction.problem, reduction.source.rows)
        one.add(compared)
        if rows is not None:
            worst.add(compared, compared.soft_error, np.flatnonzero(~np.isnan(compared.soft_error)))
        if writer is not None:
            writer.write(compared)
    stored.end()
    return worst.found()


class Report:
    """Evaluations of several inputs; tables are printed as they come, numbers in the end."""

    def __init__(self, shown: OutputOptions, *, several: bool) -> None:
        self._format, self._listed, self._several = shown.format, shown.worst is not None, several
        self._objects: list[dict[str, Any]] = []

    def add(self, run: Run, evaluation: Evaluation, worst: Slices | None) -> None:
        """Report on one input."""
        about: dict[str, Any] = {"input": run.input} if self._several else {}
        about |= _numbers(evaluation)
        if self._format == "table":
            from softargmax_cli.report.evaluation import put_evaluation

            sys.stdout.write("\n" * bool(self._objects))
            put_evaluation(evaluation, worst, run, sys.stdout)
        elif self._listed:
            from softargmax_cli.files.writers.json import objects
            from softargmax_cli.files.writers.text import Columns
            from softargmax_cli.reduction.fields import OF_TRUTH

            columns = Columns(replace(run, fields=OF_TRUTH), OF_TRUTH)
            about["worst"] = [] if worst is None else [*objects(columns, worst)]
        self._objects.append(about)

    def end(self, total: Evaluation) -> None:
        """Report on all inputs together, where there are several."""
        found = self._objects
        if found and self._format == "json":
            from softargmax_cli.files.writers.json import json_text

            document = {"inputs": found, "summary": _numbers(total)} if self._several else found[0]
            print(json_text(document, indent=1))
        elif found and self._format == "table" and self._several:
            from softargmax_cli.report.evaluation import put_total

            put_total(total, sys.stdout)
        elif found and self._format != "table":
            everything = [*found, *[{"input": "all inputs", **_numbers(total)}] * self._several]
            rows = [_row(about, each) for about in everything for each in about["estimates"]]
            table = csv.DictWriter(sys.stdout, rows[0], delimiter=DELIMITERS[self._format], lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
        sys.stdout.flush()


def _row(about: dict[str, Any], estimate: dict[str, Any]) -> dict[str, Any]:
    """Return one estimate, of the input that it is about, as a row of a table."""
    within = {f"within_{limit}": share for limit, share in estimate["within"].items()}
    numbers = {name: number for name, number in estimate.items() if name != "within"}
    return {**({"input": about["input"]} if "input" in about else {}), **numbers, **within}


def _numbers(evaluation: Evaluation) -> dict[str, Any]:
    """Return what an evaluation says, by its names in JSON."""
    estimates = []
    for errors in evaluation.estimates:
        within = {f"{limit:.10g}": share for limit, share in errors.within.items()}
        estimates.append({"name": errors.name, **errors.numbers(), "within": within})
    return {**evaluation.as_dict(), "estimates": estimates}
