"""`softargmax run` from names to results: shows or writes the slices of each input."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from softargmax_cli.arrays.formats import STORE
from softargmax_cli.cli.asking import Asked, Inputs, Reduction, for_each
from softargmax_cli.cli.destinations import Destination, choose_destinations, make_directory
from softargmax_cli.cli.distributing import Cluster, distribute
from softargmax_cli.cli.storing import keep
from softargmax_cli.errors import OptionError


@dataclass(frozen=True, slots=True)
class Shown:
    """Where results go, and how much of them."""

    output: str | None
    format: str | None
    rows: int
    force: bool
    resume: bool


def run_all(names: Sequence[str], asked: Asked, shown: Shown, cluster: Cluster) -> int:
    """Run each input; 0, or 2 where one of them failed. Raises OptionError where options contradict each other."""
    chosen = choose_destinations(names, shown.output, shown.format)
    if shown.resume and any(destination.format != STORE for destination in chosen):
        raise OptionError("--resume: only a Zarr store can be gone on with", "write -o NAME.zarr")
    make_directory(shown.output)
    if cluster.wanted:
        return distribute(names, chosen, asked, cluster, force=shown.force, resume=shown.resume)
    destinations = iter(chosen)
    tables = 0

    def work(inputs: Inputs, name: str) -> int:
        nonlocal tables
        destination = next(destinations)
        # A bar would be drawn into data that goes to the same terminal.
        bar = not (destination.path == "-" and sys.stdout.isatty())
        store = destination.path if destination.format == STORE else None
        with inputs.opened(name, _fields(destination), bar=bar, boxes=store is not None) as reduction:
            if store is not None:
                keep(reduction, store, asked, force=shown.force, resume=shown.resume, several=len(names) > 1)
                return 0
            _show(reduction, destination, asked, shown, several=len(names) > 1, apart=tables > 0)
        sys.stdout.flush()
        tables += destination.table
        return 0

    return for_each(names, asked, work)


def _fields(destination: Destination) -> set[str]:
    """What a destination shows or holds."""
    from softargmax_cli.arrays.sinks import fields_of
    from softargmax_cli.reduction.result import FIELDS

    if destination.format == STORE:
        return set(FIELDS)
    fields = set(fields_of(destination.format)) if destination.path else set()
    if destination.table:
        from softargmax_cli.report.table import TABLE_FIELDS

        fields.update(TABLE_FIELDS)
    return fields


def _show(
    reduction: Reduction, destination: Destination, asked: Asked, shown: Shown, *, several: bool, apart: bool
) -> None:
    """The slices of one input to their destination; `apart` sets its table apart from the one before."""
    from softargmax_cli.arrays.sinks import open_sink
    from softargmax_cli.reduction.result import Summary

    summary, table, sink = Summary(), None, None
    with ExitStack() as stack:
        if destination.table:
            from softargmax_cli.report.table import Table

            table = Table(shown.rows)
        if destination.path:
            sink = open_sink(
                destination.path,
                destination.format,
                reduction.run,
                _fields(destination),
                force=shown.force,
                name_inputs=several and destination.path == "-",
            )
            stack.enter_context(sink)
        for slices in reduction:
            summary.add(slices)
            if table:
                table.add(slices)
            if sink:
                sink.write(slices)
        if not asked.quiet:
            reduction.say_notes()
        run = reduction.run
        if sink:
            sink.commit(summary, run.known_shape)
    if table:
        if apart:
            print()
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        table.render(run, run.known_shape, summary, sys.stdout, color=colour)
    elif destination.path != "-" and not asked.quiet:
        from softargmax_cli.report.summary import summary_line
        from softargmax_cli.report.text import signs_of

        print(summary_line(summary, run, named=several, signs=signs_of(sys.stderr)), file=sys.stderr)
