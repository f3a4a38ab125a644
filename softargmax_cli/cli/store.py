"""`softargmax run -o NAME.zarr`: each box of slices goes to the store when it is found, by whoever has found it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from softargmax_cli import __version__
from softargmax_cli.cli.messages import say_note
from softargmax_cli.cli.pipeline import Asked, say_notes, say_summary

if TYPE_CHECKING:
    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.files.writers.zarr import ZarrWriter
    from softargmax_cli.reduction.problem import Problem
    from softargmax_cli.reduction.result import Run, Summary


def keep(reduction: Reduction, path: str, asked: Asked, *, force: bool, several: bool) -> None:
    """Reduce one input into a store, and print the summary."""
    from softargmax_cli.files.writers.zarr import ZarrWriter
    from softargmax_cli.reduction.budget import BOXES
    from softargmax_cli.reduction.result import Summary

    run, summary = reduction.run, Summary()
    plan = BOXES.plan(reduction.source, reduction.problem, asked.memory)
    extent = [plan.extent[k] for k in reduction.problem.kept]
    manifest = asked_of(run, reduction.problem, asked)
    with ZarrWriter(path, run, extent, manifest, force=force) as store:
        for one in _written(reduction, store):
            summary.join(one)
        store.commit(summary)
    if asked.quiet:
        return
    if asked.reading.id_column is not None and 0 in reduction.problem.kept:
        say_note(f"{run.input}: a Zarr store holds no names of slices; -o NAME.npz does")
    say_notes(reduction)
    say_summary(summary, run, sys.stderr, named=several)


def _written(reduction: Reduction, store: ZarrWriter) -> Iterator[Summary]:
    """Write all slices; yield summaries of them, one after the other."""
    from softargmax_cli.reduction.result import Summary

    if reduction.on_cluster:
        from softargmax_cli.cluster.reduction import write

        yield from reduction.through(partial(write, chunks=store.chunks))
        return
    from softargmax_cli.reduction.engine import reduce_boxes

    for block, slices in reduction.through(reduce_boxes):
        store.chunks.write(block, slices)
        summary = Summary()
        summary.add(slices)
        yield summary


def asked_of(run: Run, problem: Problem, asked: Asked) -> dict[str, Any]:
    """Describe a run for the attributes of its store."""
    return {
        "version": __version__,
        "input": run.input,
        "select": None if asked.reading.select is None else str(asked.reading.select),
        "shape": list(run.known_shape),
        "dtype": run.dtype,
        "axis": list(problem.axes),
        "kind": problem.kind,
        "beta": problem.beta,
        "coords": run.coords,
        "values": asked.values,
        "period": list(problem.periods),
        "window": problem.window,
        "nan": problem.nan,
        "precision": problem.precision.name,
    }
