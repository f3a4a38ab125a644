"""`softargmax run` from names to results: shows or writes the slices of each input."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from softargmax_cli.cli.asking import Asked, Inputs, Reduction, for_each
from softargmax_cli.cli.destinations import Destination, choose_destinations, make_directory


@dataclass(frozen=True, slots=True)
class Shown:
    """Where results go, and how much of them."""

    output: str | None
    format: str | None
    rows: int
    force: bool
    within: float | None = None
    """How close soft must come to hard, where β is to be found for that."""


def run_all(names: Sequence[str], asked: Asked, shown: Shown) -> int:
    """Run each input; 0, or 2 where one of them failed. Raises OptionError where options contradict each other."""
    destinations = iter(choose_destinations(names, shown.output, shown.format))
    make_directory(shown.output)
    tables = 0

    def work(inputs: Inputs, name: str) -> int:
        nonlocal tables
        destination = next(destinations)
        # A bar would be drawn into data that goes to the same terminal.
        bar = not (destination.path == "-" and sys.stdout.isatty())
        with ExitStack() as stack:
            replay, beta = None, None
            if shown.within is not None:
                from softargmax_cli.cli.searching import found_beta

                replay = stack.enter_context(inputs.replayed(name))
                beta = found_beta(inputs, name, replay, shown.within, bar=bar)
            opened = inputs.opened(name, _fields(destination), bar=bar, replay=replay, beta=beta)
            reduction = stack.enter_context(opened)
            if beta is not None:
                reduction.notes.append(f"--beta auto: β {beta:.10g} keeps soft within {shown.within:g} of hard")
            _show(reduction, destination, asked, shown, several=len(names) > 1, apart=tables > 0)
        sys.stdout.flush()
        tables += destination.table
        return 0

    return for_each(names, asked, work)


def _fields(destination: Destination) -> set[str]:
    """What a destination shows or holds."""
    from softargmax_cli.arrays.sinks import fields_of

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
