"""`softargmax evaluate`: how far hard and soft lie from what is true."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from softargmax_cli.cli import options
from softargmax_cli.cli.arguments import distances, inverse_temperature
from softargmax_cli.cli.options import ReadingOptions, ReductionOptions, RunningOptions, grouped
from softargmax_cli.errors import OptionError, parameter
from softargmax_cli.files.writers import FORMATS

if TYPE_CHECKING:
    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.cli.answer import Writers
    from softargmax_cli.cli.destinations import Destination
    from softargmax_cli.cli.pipeline import Asked, Inputs
    from softargmax_cli.cli.references import References
    from softargmax_cli.reduction.result import Slices
    from softargmax_cli.reduction.truth import Evaluation

Truth = Annotated[
    str,
    options.option(
        options.TRUTH,
        "Gives the true positions: an array shaped like the results, or a table with a column for each axis.",
        metavar="FILE|DIR/",
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
        metavar="FILE|DIR/",
    ),
]
Format = Annotated[
    Literal["table", "json", "csv", "tsv"],
    options.option(options.OUTPUT, "Chooses table, json, csv or tsv. Default: table.", metavar="FORMAT"),
]


@dataclass(frozen=True)
class Shown:
    """Where results go."""

    output: Output = None
    format: Format = "table"
    worst: options.Worst = None
    force: options.Force = False


@grouped
def evaluate(
    inputs: options.Inputs,
    *,
    truth: Truth,
    within: Within = "1,2,4",
    reduction: ReductionOptions,
    beta: options.Beta = None,
    temperature: options.Temperature = None,
    reading: ReadingOptions,
    shown: Shown,
    running: RunningOptions,
) -> int:
    """Measure the errors of hard and soft against known positions: mean, median, maximum, PCK.

    \b
    softargmax evaluate heatmaps.npy --axis -2,-1 --beta 10 --truth keypoints.csv
    softargmax evaluate scores.csv --truth classes.csv --within 0.5 --worst 10
    softargmax evaluate volume.npy --axis 0 --kind cost --truth disparity.npy -o errors.npz
    softargmax guide beta
    """
    from softargmax_cli.cli.pipeline import Asked

    asked = Asked.of(reduction, reading, running, inverse_temperature(beta, temperature, reduction.kind))
    return _evaluate_all(inputs, truth, distances(within), asked, shown)


def _evaluate_all(given: Sequence[str], truth: str, within: Sequence[float], asked: Asked, shown: Shown) -> int:
    """Evaluate each input, and all together; 0, or 2 where one cannot be used."""
    from softargmax_cli.cli.answer import Writers
    from softargmax_cli.cli.destinations import choose_destinations
    from softargmax_cli.cli.evaluations import EvaluationReport
    from softargmax_cli.cli.inputs import find_inputs
    from softargmax_cli.cli.pipeline import for_each, say_notes
    from softargmax_cli.cli.references import References
    from softargmax_cli.files.writers.atomic import ROOM, blaming

    found = find_inputs(given, shown.output, truth, *asked.files)
    if shown.output == "-":
        raise OptionError("-o -: the errors of slices go to a file", "name one, such as errors.csv")
    places = choose_destinations(found.names, shown.output, None, several=found.several, formats=FORMATS)
    truths = References("truth", truth, several=found.several)
    results = [place.path for place in places]
    found.begin(results, shown.output, *truths.files, *asked.files, quiet=asked.quiet)
    report = EvaluationReport(shown.format, several=found.several, listed=shown.worst is not None)
    next_place = iter(places)
    with ExitStack() as stack:
        total = _evaluator(within, stack) if found.several else None
        writers = stack.enter_context(Writers(force=shown.force))

        def work(inputs: Inputs, name: str) -> int:
            place = next(next_place)
            with inputs.opened(name, {"second", "spread"} if shown.worst else set()) as reduction, ExitStack() as files:
                with blaming("temporary file", ROOM):
                    one = _evaluator(within, files)
                    worst = _evaluated(reduction, name, truths, one, place, writers, shown, files)
                    if total is not None:
                        total.join(one)
                if not asked.quiet:
                    say_notes(reduction)
                report.add(reduction.run, one, worst)
            return 0

        code = for_each(found.names, asked, work)
        if not code:
            truths.end()
        report.end(total)
        if total is not None:
            writers.commit(total, complete=code == 0)
    return code


def _evaluator(within: Sequence[float], stack: ExitStack) -> Evaluation:
    """Return an evaluator whose errors wait in files that `stack` closes."""
    from softargmax_cli.files.writers.atomic import discard, temporary_file
    from softargmax_cli.reduction.truth import ESTIMATES, Evaluation

    waiting = [temporary_file() for _ in ESTIMATES]
    for file in waiting:
        stack.callback(discard, file)
    return Evaluation(within, waiting)


def _evaluated(
    reduction: Reduction,
    name: str,
    truths: References,
    one: Evaluation,
    place: Destination,
    writers: Writers,
    shown: Shown,
    files: ExitStack,
) -> Slices | None:
    """Compare all slices of an input with the truth, and write their errors; return the worst of them."""
    import numpy as np

    from softargmax_cli.files.expected import truth
    from softargmax_cli.reduction.check import Worst
    from softargmax_cli.reduction.fields import TRUTH_FIELDS
    from softargmax_cli.reduction.truth import compared_with_truth

    run, source, problem = reduction.run, reduction.source, reduction.problem
    stored = files.enter_context(truths.opened(name, run, truth, run.kept, run.axes, source.facts.id_column))
    if stored.note:
        reduction.notes.append(f"{parameter('truth')}: {stored.note}")
    writer = None
    if place.path is not None:
        fields = ("hard_error", "soft_error")
        writer = writers.opened(place, replace(run, fields=fields, alone="soft_error"), fields, files)
    worst = Worst(shown.worst or 1)
    for slices in reduction:
        compared = compared_with_truth(slices, stored(len(slices), slices.ids), problem, source.rows)
        one.add(compared)
        if shown.worst is not None:
            worst.add(compared, compared.soft_error, np.flatnonzero(~np.isnan(compared.soft_error)))
        if writer is not None:
            writer.write(compared)
    stored.end()
    if writer is not None:
        writers.end(writer, one, reduction.run.known_shape)
    reduction.run = replace(reduction.run, fields=tuple(field.name for field in TRUTH_FIELDS))
    return worst.found()
