"""`softargmax evaluate`: how far hard and soft lie from what is true."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from softargmax_cli.cli import options
from softargmax_cli.cli.arguments import distances, inverse_temperature
from softargmax_cli.cli.groups import ReadingOptions, ReductionOptions, RunningOptions, grouped
from softargmax_cli.errors import OptionError, parameter

if TYPE_CHECKING:
    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.cli.pipeline import Asked, Inputs
    from softargmax_cli.reduction.result import Run, Slices
    from softargmax_cli.reduction.truth import Evaluation

DELIMITERS = {"csv": ",", "tsv": "\t"}

Truth = Annotated[
    str,
    options.option(
        options.TRUTH,
        "Holds the truth: an array shaped as the results, or a table with a column for each axis.",
        metavar="FILE",
    ),
]
Within = Annotated[
    str,
    options.option(options.TRUTH, "Counts the slices whose error is at most D. Default: 1,2,4.", metavar="D[,D...]"),
]
Output = Annotated[
    str | None,
    options.option(
        options.OUTPUT,
        "Writes the errors of each slice: .npy (of soft alone), .npz, .csv, .tsv, .json, .jsonl or .parquet.",
        "--output",
        "-o",
        metavar="FILE",
    ),
]
Format = Annotated[
    Literal["table", "json", "csv", "tsv"],
    options.option(options.OUTPUT, "Chooses the format: table, json, csv or tsv. Default: table.", metavar="FORMAT"),
]


@grouped
def evaluate(
    input: options.Input,
    *,
    truth: Truth,
    within: Within = "1,2,4",
    reduction: ReductionOptions,
    beta: options.Beta = None,
    temperature: options.Temperature = None,
    reading: ReadingOptions,
    output: Output = None,
    format: Format = "table",
    worst: options.Worst = None,
    force: options.Force = False,
    running: RunningOptions,
) -> int:
    """Show how far hard and soft lie from what is true: mean, median and largest errors, and how many are near.

    \b
    softargmax evaluate heatmaps.npy --axis -2,-1 --beta 10 --truth keypoints.csv
    softargmax evaluate scores.csv --truth classes.csv --within 0.5 --worst 10
    softargmax evaluate volume.npy --axis 0 --kind cost --truth disparity.npy -o errors.npz
    softargmax guide beta
    """
    from softargmax_cli.cli.destinations import spare_inputs
    from softargmax_cli.cli.pipeline import Asked, for_each
    from softargmax_cli.files.writers import FORMATS, format_of

    asked = Asked.of(reduction, reading, running, inverse_temperature(beta, temperature, reduction.kind))
    limits = distances(within)
    if output == "-":
        raise OptionError("-o -: the errors of slices go to a file", "name one, such as errors.csv")
    if output is not None:
        format_of(output, FORMATS)
    refuse_same(truth, input)
    spare_inputs([output], [input], truth, *asked.files)
    shown = Shown(output, format, worst, force)
    return for_each([input], asked, lambda inputs, name: _show(inputs, name, truth, limits, asked, shown))


@dataclass(frozen=True, slots=True)
class Shown:
    """Options that say where results go."""

    output: str | None
    format: str
    worst: int | None
    force: bool


def refuse_same(truth: str, input: str) -> None:
    """Raise OptionError where one file is to be the input and the truth."""
    from softargmax_cli.cli.destinations import same_file

    if same_file(truth, input):
        what = f"{parameter('truth', truth)} is the input itself"
        raise OptionError(what, "name the file that holds what is true of each slice")


def _show(inputs: Inputs, name: str, truth: str, within: Sequence[float], asked: Asked, shown: Shown) -> int:
    """Evaluate one input and show it."""
    from softargmax_cli.cli.pipeline import say_notes
    from softargmax_cli.report.evaluation import put_evaluation

    with inputs.opened(name, {"second", "spread"} if shown.worst else set()) as reduction:
        evaluation, worst = _evaluated(reduction, truth, within, shown)
    if not asked.quiet:
        say_notes(reduction)
    if shown.format == "table":
        put_evaluation(evaluation, worst, reduction.run, sys.stdout)
    elif shown.format == "json":
        sys.stdout.write(_json(evaluation, worst, reduction.run, listed=shown.worst is not None))
    else:
        sys.stdout.write(_text(evaluation, DELIMITERS[shown.format]))
    return 0


def _evaluated(
    reduction: Reduction, truth: str, within: Sequence[float], shown: Shown
) -> tuple[Evaluation, Slices | None]:
    """Compare all slices of an input with the truth, and write their errors; return the worst of them, too."""
    import numpy as np

    from softargmax_cli.files.expected import truth as opened_truth
    from softargmax_cli.files.temporary import Scratch
    from softargmax_cli.files.writers import format_of, open_writer
    from softargmax_cli.reduction.check import Worst
    from softargmax_cli.reduction.fields import TRUTH_FIELDS
    from softargmax_cli.reduction.truth import ESTIMATES, Evaluator, compared_with_truth

    run, source, problem = reduction.run, reduction.source, reduction.problem
    with ExitStack() as stack:
        stored = stack.enter_context(opened_truth(truth, run.kept, run.axes, source.facts.id_column))
        if stored.note:
            reduction.notes.append(f"{parameter('truth')}: {stored.note}")
        waiting = [Scratch() for _ in ESTIMATES]
        for scratch in waiting:
            stack.callback(scratch.close)
        writer = None
        if shown.output is not None:
            fields = ("hard_error", "soft_error")
            written = replace(run, fields=fields, alone="soft_error")
            opened = open_writer(shown.output, format_of(shown.output), written, fields, force=shown.force)
            writer = stack.enter_context(opened)
        evaluator, worst = Evaluator(within, waiting), Worst(shown.worst or 1)
        for slices in reduction:
            lengths = [source.rows if (n := source.shape[axis]) is None else n for axis in run.axes]
            compared = compared_with_truth(slices, stored(len(slices), slices.ids), problem, lengths)
            evaluator.add(compared)
            if shown.worst is not None:
                worst.add(compared, compared.soft_error, np.flatnonzero(~np.isnan(compared.soft_error)))
            if writer is not None:
                writer.write(compared)
        stored.end()
        evaluation = evaluator.evaluation()
        if writer is not None:
            writer.end(evaluator, reduction.run.known_shape)
            writer.commit(evaluator)
        reduction.run = replace(reduction.run, fields=tuple(field.name for field in TRUTH_FIELDS))
        return evaluation, worst.found()[0]


def _json(evaluation: Evaluation, worst: Slices | None, run: Run, *, listed: bool) -> str:
    """Write one document; listed: whether the worst slices are part of it."""
    from softargmax_cli.files.writers.json import JsonObjects, json_value
    from softargmax_cli.reduction.truth import NUMBERS

    estimates = []
    for errors in evaluation.estimates:
        numbers = [f'"{name}": {json_value(getattr(errors, name))}' for name in NUMBERS]
        within = ", ".join(f'"{limit:.10g}": {json_value(share)}' for limit, share in errors.within.items())
        estimates.append(f'{{"name": "{errors.name}", {", ".join(numbers)}, "within": {{{within}}}}}')
    counts = ", ".join(f'"{name}": {getattr(evaluation, name)}' for name in ("slices", "missing", "undefined"))
    text = f'{{{counts},\n "estimates": [\n  ' + ",\n  ".join(estimates) + "\n ]"
    if listed:
        objects = [] if worst is None else [each for batch in JsonObjects(run, run.fields).of(worst) for each in batch]
        text += ',\n "worst": [' + ",\n  ".join(objects) + "]"
    return text + "}\n"


def _text(evaluation: Evaluation, delimiter: str) -> str:
    """Write a header, and a row for each estimate."""
    from softargmax_cli.reduction.truth import NUMBERS

    rows = [["name", *NUMBERS, *(f"within_{limit:.10g}" for limit in evaluation.estimates[0].within)]]
    for errors in evaluation.estimates:
        numbers = [*(getattr(errors, name) for name in NUMBERS), *errors.within.values()]
        rows.append([errors.name, *map(str, numbers)])
    return "".join(delimiter.join(row) + "\n" for row in rows)
