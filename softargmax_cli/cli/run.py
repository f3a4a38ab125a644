"""`softargmax run`: soft and hard argmax of files, as tables or data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from softargmax_cli.cli import options
from softargmax_cli.cli.arguments import searched
from softargmax_cli.cli.options import ReadingOptions, ReductionOptions, RunningOptions, grouped
from softargmax_cli.errors import OptionError, parameter
from softargmax_cli.files.writers import STORE

if TYPE_CHECKING:
    from softargmax_cli.cli.destinations import Destination
    from softargmax_cli.cli.pipeline import Asked, Inputs


@dataclass(frozen=True)
class Shown:
    """Where results go, and how much of them."""

    output: options.Output = None
    format: options.Format = None
    rows: options.Rows = 20
    worst: options.WorstOffsets = None
    only: options.Only = None
    plot: options.Plot = None
    force: options.Force = False

    @property
    def chosen(self) -> bool:
        """True where only some slices are shown and written."""
        return self.worst is not None or self.only is not None

    def check(self, destinations: Sequence[Destination], axes: tuple[int, ...]) -> None:
        """Raise OptionError where slices are chosen that have no place or no offset, or cannot be drawn."""
        option = parameter("only", self.only) if self.only else parameter("worst", self.worst)
        if self.chosen and any(destination.format in ("npy", "npz", STORE) for destination in destinations):
            what = f"{option} chooses slices, and an array has a place for each"
            raise OptionError(what, "write .csv, .jsonl or .parquet instead")
        if self.only == "undefined" and self.worst is not None:
            what = f"{parameter('worst', self.worst)} goes by the offset, which undefined slices have not"
            raise OptionError(what, "leave it out")
        if self.plot is not None and len(axes) > 2:
            what = f"--plot draws slices along one axis or two, and --axis names {len(axes)}"
            raise OptionError(what, "leave it out, or reduce fewer axes")
        if self.plot is not None and any(destination.format == STORE for destination in destinations):
            what = f"{parameter('plot')} draws no run that writes a store"
            raise OptionError(what, f"draw a part of the input: {parameter('select')}, without -o")


@dataclass(frozen=True)
class Cluster:
    """Where workers compute."""

    scheduler: options.Scheduler = None
    workers: options.Workers = None

    @property
    def wanted(self) -> bool:
        """True where a cluster is asked for."""
        return self.scheduler is not None or self.workers is not None

    def check(self, shown: Shown, within: float | None) -> None:
        """Raise OptionError for options that have no meaning on a cluster."""
        if self.scheduler is not None and self.workers is not None:
            what = f"{parameter('scheduler')} and {parameter('workers')} both say where to run"
            raise OptionError(what, "give one of them")
        if self.wanted and within is not None:
            what = f"{parameter('beta', 'auto')} is found on one machine"
            raise OptionError(what, f"find it there, and give {parameter('beta')} a number here")
        if self.wanted and shown.plot is not None:
            what = f"{parameter('plot')} draws scores, which a cluster leaves where they are"
            raise OptionError(what, "draw them on one machine")


@grouped
def run(
    inputs: options.Inputs,
    *,
    reduction: ReductionOptions,
    beta: options.BetaOrAuto = None,
    temperature: options.Temperature = None,
    tol: options.AutoTolerance = None,
    reading: ReadingOptions,
    shown: Shown,
    running: RunningOptions,
    cluster: Cluster,
) -> int:
    """Show the soft and the hard argmax of every slice, or write them to a file.

    \b
    softargmax run data.npy --beta 100
    softargmax run scores.csv --id-column image -o result.csv
    softargmax run heatmaps.npy --axis -2,-1 --window 3 --coords corners
    cat data.npy | softargmax run - --format jsonl | jq .soft
    softargmax run s3://bucket/volume.zarr --axis 0 --workers 4 -o result.zarr
    softargmax guide fields
    """
    from softargmax_cli.cli.pipeline import Asked

    number, within = searched(beta, temperature, reduction.kind, tol)
    cluster.check(shown, within)
    return _run_all(inputs, Asked.of(reduction, reading, running, number), within, shown, cluster)


def _run_all(given: Sequence[str], asked: Asked, within: float | None, shown: Shown, cluster: Cluster) -> int:
    """Run each input; 0, or 2 where one of them failed. Raises OptionError where options contradict each other.

    within: how close soft must come to hard, where β is to be found for that.
    """
    from softargmax_cli.cli.answer import Answer, keep
    from softargmax_cli.cli.destinations import choose_destinations, choose_pictures, make_directory
    from softargmax_cli.cli.inputs import find_inputs
    from softargmax_cli.cli.messages import say_note
    from softargmax_cli.cli.pipeline import excerpt_of, for_each

    found = find_inputs(given, shown.output, shown.plot, *asked.files)
    names = found.names
    destinations = choose_destinations(names, shown.output, shown.format, several=found.several)
    shown.check(destinations, asked.axes)
    pictures = choose_pictures(names, shown.plot)
    results = [*(destination.path for destination in destinations), *pictures]
    found.begin(results, shown.output, *asked.files, quiet=asked.quiet)
    make_directory(shown.plot, "--plot")
    places = iter(zip(destinations, pictures, strict=True))
    answer = Answer(shown, several=found.several, quiet=asked.quiet)

    def work(inputs: Inputs, name: str) -> int:
        from softargmax_cli.reduction.budget import BOXES

        destination, picture = next(places)
        to_store = destination.format == STORE
        # A bar would be drawn into data that goes to the same terminal.
        bar = not (destination.path == "-" and sys.stdout.isatty())
        fields = _fields(destination, picture, shown)
        with ExitStack() as stack:
            replay, beta, why = stack.enter_context(inputs.replayed(name)), None, ""
            again = within is not None or picture is not None
            if within is not None:
                from softargmax_cli.cli.best_beta import found_beta

                beta, why = found_beta(inputs, name, replay, within, asked.beta, bar=bar)
            opened = inputs.opened(
                name, fields, bar=bar, needs=BOXES if to_store else None, replay=replay if again else None, beta=beta
            )
            reduction = stack.enter_context(opened)
            if why:
                reduction.notes.append(f"--beta auto: {why}")
            if to_store:
                keep(reduction, destination.path or "", asked, force=shown.force, several=found.several)
                return 0
            excerpt = partial(excerpt_of, reduction, replay if again or not replay.runs_dry else None)
            answer.put(reduction, excerpt, destination, picture)
        sys.stdout.flush()
        return 0

    with answer:
        if not cluster.wanted:
            code = for_each(names, asked, work)
        else:
            from softargmax_cli.cluster.connection import connected, described

            with connected(cluster.scheduler, cluster.workers or 1) as client:
                if asked.verbose:
                    say_note(described(client))
                code = for_each(names, asked, work, client=client)
        answer.end(complete=code == 0)
    return code


def _fields(destination: Destination, picture: str | None, shown: Shown) -> set[str]:
    """Return the fields that a destination shows or holds, a picture says, and a choice is made by."""
    from softargmax_cli.files.writers import fields_of
    from softargmax_cli.reduction.fields import NAMES

    if destination.format == STORE:
        return set(NAMES)
    fields = set(fields_of(destination.format, NAMES)) if destination.path else set()
    if destination.table or picture is not None:
        from softargmax_cli.report.summary import TABLE_FIELDS

        fields.update(TABLE_FIELDS)
    if shown.chosen:
        from softargmax_cli.reduction.check import Choice

        fields |= Choice(shown.only, shown.worst).fields
    return fields
