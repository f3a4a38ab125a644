"""`softargmax run -o NAME.zarr` on one machine: each box of slices to the store when it is found."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from softargmax_cli import __version__
from softargmax_cli.cli.asking import Asked, Reduction
from softargmax_cli.cli.destinations import Destination
from softargmax_cli.cli.saying import say_note
from softargmax_cli.errors import OptionError
from softargmax_cli.files.writers import STORE

if TYPE_CHECKING:
    from softargmax_cli.reduction.result import Run, Summary


def stored(destinations: Sequence[Destination], plot: str | None, *, resume: bool) -> bool:
    """Whether results go to stores. Raises OptionError for what only goes with them, or does not."""
    stores = all(destination.format == STORE for destination in destinations)
    if resume and not stores:
        raise OptionError("--resume: only a Zarr store can be gone on with", "write -o NAME.zarr")
    if stores and plot is not None:
        raise OptionError("--plot draws no run that writes a store", "draw a part of the input: --select, without -o")
    return stores


def keep(reduction: Reduction, path: str, asked: Asked, *, force: bool, resume: bool, several: bool) -> None:
    """Reduce one input into a store."""
    from softargmax_cli.api.describing import asked_of
    from softargmax_cli.files.writers.zarrstore import ZarrStore
    from softargmax_cli.reduction.engine import reduce_boxes
    from softargmax_cli.reduction.fitting import BOXES
    from softargmax_cli.reduction.result import Summary

    run, summary = reduction.run, Summary()
    plan = BOXES.plan(reduction.source, reduction.problem, asked.memory)
    extent = [plan.extent[k] for k in reduction.problem.kept]
    manifest = asked_of(run, reduction.problem, asked.reading, __version__)
    with ZarrStore(path, run, extent, manifest, force=force, resume=resume) as store:
        for column in range(plan.columns if store.resumed else 0):
            if store.done(block := plan.at(column, 0)):
                summary.add(store.chunks.read(block, 0))
        for block, slices in reduction.through(partial(reduce_boxes, done=store.done)):
            store.chunks.write(block, slices)
            summary.add(slices)
        store.commit(summary)
    if not asked.quiet:
        if asked.reading.id_column is not None and 0 in reduction.problem.kept:
            say_note(f"{run.input}: a Zarr store holds no names of slices; -o NAME.npz does")
        reduction.say_notes()
        say_stored(run, summary, store.resumed, several=several)


def say_stored(run: Run, summary: Summary, resumed: int, *, several: bool) -> None:
    """The summary, on standard error."""
    from softargmax_cli.report.summary import summary_line
    from softargmax_cli.report.text import signs_of

    if resumed:
        say_note(f"{run.input}: {resumed:,} chunks were there already")
    print(summary_line(summary, run, named=several, signs=signs_of(sys.stderr)), file=sys.stderr)
