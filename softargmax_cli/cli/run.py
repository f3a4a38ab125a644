"""`softargmax run`: soft and hard argmax of files, as tables or data."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING

from softargmax_cli.cli import options
from softargmax_cli.cli.groups import ReadingOptions, ReductionOptions, RunningOptions, grouped
from softargmax_cli.errors import OptionError, parameter

if TYPE_CHECKING:
    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.cli.destinations import Destination
    from softargmax_cli.cli.pipeline import Asked, Inputs
    from softargmax_cli.reduction.excerpt import Excerpt
    from softargmax_cli.reduction.result import Slices


@grouped
def run(
    inputs: options.Inputs,
    *,
    reduction: ReductionOptions,
    beta: options.BetaOrAuto = None,
    temperature: options.Temperature = None,
    tol: options.AutoTolerance = None,
    reading: ReadingOptions,
    output: options.Output = None,
    format: options.Format = None,
    rows: options.Rows = 20,
    plot: options.Plot = None,
    force: options.Force = False,
    resume: options.Resume = False,
    running: RunningOptions,
    scheduler: options.Scheduler = None,
    workers: options.Workers = None,
) -> int:
    """Show soft and hard argmax of files side by side, or write them.

    softargmax run data.npy --beta 100

    softargmax run scores.csv --id-column image -o result.csv

    softargmax run heatmaps.npy --axis -2,-1 --window 3 --coords corners

    cat data.npy | softargmax run - --format jsonl | jq .soft

    softargmax run s3://bucket/volume.zarr --axis 0 --workers 4 -o result.zarr
    """
    from softargmax_cli.cli.pipeline import Asked

    number, within = options.searched(beta, temperature, reduction.kind, tol)
    asked = Asked.of(reduction, reading, running, number)
    shown = Shown(output, format, rows, plot, force, resume, within)
    return run_all(inputs, asked, shown, Cluster(scheduler, workers))


@dataclass(frozen=True, slots=True)
class Shown:
    """Where results go, and how much of them."""

    output: str | None
    format: str | None
    rows: int
    plot: str | None
    force: bool
    resume: bool
    within: float | None
    """How close soft must come to hard, where β is to be found for that."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where workers compute."""

    scheduler: str | None
    """A scheduler's address, or the file that says it."""
    workers: int | None
    """So many processes of this machine instead."""

    @property
    def wanted(self) -> bool:
        """True where a cluster is asked for."""
        return self.scheduler is not None or self.workers is not None

    def check(self, shown: Shown) -> None:
        """Raise OptionError for options that have no meaning on a cluster."""
        if self.scheduler is not None and self.workers is not None:
            what = f"{parameter('scheduler')} and {parameter('workers')} both say where to run"
            raise OptionError(what, "give one of them")
        if self.wanted and shown.within is not None:
            what = f"{parameter('beta', 'auto')} is found on one machine"
            raise OptionError(what, f"find it there, and give {parameter('beta')} a number here")
        if self.wanted and shown.plot is not None:
            what = f"{parameter('plot')} draws scores, which a cluster leaves where they are"
            raise OptionError(what, "draw them on one machine")


def run_all(names: Sequence[str], asked: Asked, shown: Shown, cluster: Cluster) -> int:
    """Run each input; 0, or 2 where one of them failed. Raises OptionError where options contradict each other."""
    from softargmax_cli.cli.destinations import (
        choose_destinations,
        choose_pictures,
        keep_apart,
        make_directory,
        spare_inputs,
    )
    from softargmax_cli.cli.messages import say_note
    from softargmax_cli.cli.pipeline import excerpt_of, for_each
    from softargmax_cli.cli.store import keep, stored

    cluster.check(shown)
    destinations = choose_destinations(names, shown.output, shown.format)
    pictures = choose_pictures(names, shown.plot)
    to_stores = stored(destinations, shown.plot, resume=shown.resume)
    results = [destination.path for destination in destinations]
    keep_apart(results, pictures)
    spare_inputs([*results, *pictures], names, *asked.files)
    if shown.plot is not None:
        from softargmax_cli.cli.picture import check_axes

        check_axes(asked.axes)
    make_directory(shown.output)
    make_directory(shown.plot, "--plot")
    places = iter(zip(destinations, pictures, strict=True))
    tables = 0

    def work(inputs: Inputs, name: str) -> int:
        nonlocal tables
        destination, picture = next(places)
        # A bar would be drawn into data that goes to the same terminal.
        bar = not (destination.path == "-" and sys.stdout.isatty())
        fields = _fields(destination, picture)
        needs = None
        if to_stores:
            from softargmax_cli.reduction.budget import BOXES

            needs = BOXES
        with ExitStack() as stack:
            replay, beta, why = stack.enter_context(inputs.replayed(name)), None, ""
            again = shown.within is not None or picture is not None
            if shown.within is not None:
                from softargmax_cli.cli.best_beta import found_beta

                beta, why = found_beta(inputs, name, replay, shown.within, asked.beta, bar=bar)
            opened = inputs.opened(name, fields, bar=bar, needs=needs, replay=replay if again else None, beta=beta)
            reduction = stack.enter_context(opened)
            if why:
                reduction.notes.append(f"--beta auto: {why}")
            if destination.path and to_stores:
                keep(reduction, destination.path, asked, force=shown.force, resume=shown.resume, several=len(names) > 1)
                return 0
            excerpt = partial(excerpt_of, reduction, replay if again or not replay.runs_dry else None)
            _show(reduction, excerpt, destination, picture, asked, shown, several=len(names) > 1, apart=tables > 0)
        sys.stdout.flush()
        tables += destination.table
        return 0

    if not cluster.wanted:
        return for_each(names, asked, work)
    from softargmax_cli.cluster.connection import compare_versions, connected, described

    with connected(cluster.scheduler, cluster.workers or 1) as client:
        notes = compare_versions(client)
        for note in [*notes * (not asked.quiet), *[described(client)] * asked.verbose]:
            say_note(note)
        return for_each(names, asked, work, client=client)


def _fields(destination: Destination, picture: str | None) -> set[str]:
    """Return the fields that a destination shows or holds, and a picture says."""
    from softargmax_cli.files.writers import STORE, fields_of
    from softargmax_cli.reduction.fields import NAMES

    if destination.format == STORE:
        return set(NAMES)
    fields = set(fields_of(destination.format, NAMES)) if destination.path else set()
    if destination.table or picture is not None:
        from softargmax_cli.report.summary import TABLE_FIELDS

        fields.update(TABLE_FIELDS)
    return fields


def _show(
    reduction: Reduction,
    excerpt: Callable[[int], Excerpt | None],
    destination: Destination,
    plot: str | None,
    asked: Asked,
    shown: Shown,
    *,
    several: bool,
    apart: bool,
) -> None:
    """Put the slices of one input to their destination.

    excerpt: reads the scores of so many first slices again; apart: whether a table came before.
    """
    from softargmax_cli.cli.pipeline import say_notes
    from softargmax_cli.files.writers import fields_of, open_writer
    from softargmax_cli.reduction.result import Summary
    from softargmax_cli.report.summary import First

    summary, sink, drawing = Summary(), None, None
    takers: list[Callable[[Slices], None]] = [summary.add]
    with ExitStack() as stack:
        if destination.table:
            first = First(shown.rows)
            takers.append(first.add)
            Thread(target=import_module, args=["softargmax_cli.report.table"]).start()  # while TensorFlow computes
        if destination.path:
            sink = open_writer(
                destination.path,
                destination.format,
                reduction.run,
                fields_of(destination.format, reduction.run.fields),
                force=shown.force,
                name_inputs=several and destination.path == "-",
            )
            stack.enter_context(sink)
            takers.append(sink.write)
        if plot is not None:
            from softargmax_cli.cli.picture import Drawing

            drawing = stack.enter_context(Drawing(plot, shown.rows, force=shown.force))
            takers.append(drawing.add)
        for slices in reduction:
            for take in takers:
                take(slices)
        if drawing:
            drawing.finish(reduction, summary, excerpt)
        if not asked.quiet:
            say_notes(reduction)
        run = reduction.run
        if sink:
            sink.commit(summary, run.known_shape)
        if drawing:
            drawing.commit()
    if destination.table:
        from softargmax_cli.report.sparkline import sparkling
        from softargmax_cli.report.table import Table

        lines = sparkling(run.known_shape, run.axes, shown.rows)
        scores = excerpt(lines) if lines else None
        if apart:
            print()
        Table(first).render(run, run.known_shape, summary, sys.stdout, best=scores.best(run.kind) if scores else None)
    elif destination.path != "-" and not asked.quiet:
        from softargmax_cli.report.summary import summary_line
        from softargmax_cli.report.text import signs_of

        print(summary_line(summary, run, named=several, signs=signs_of(sys.stderr)), file=sys.stderr)
