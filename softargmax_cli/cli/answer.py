"""The answer of `softargmax run`: slices of each input to a table, a picture, a file, a store, or all to one file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any

from softargmax_cli import __version__
from softargmax_cli.cli.messages import say_note
from softargmax_cli.cli.pipeline import Asked, say_notes, say_summary
from softargmax_cli.files.writers import fields_of, open_writer

if TYPE_CHECKING:
    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.cli.destinations import Destination
    from softargmax_cli.cli.run import Shown
    from softargmax_cli.files.writers import Writer
    from softargmax_cli.files.writers.zarr import ZarrWriter
    from softargmax_cli.reduction.excerpt import Excerpt
    from softargmax_cli.reduction.problem import Problem
    from softargmax_cli.reduction.result import Run, Slices, Summary


class Writers:
    """The writers of results: one for each input, or one that several inputs share."""

    def __init__(self, *, force: bool) -> None:
        self._force = force
        self._shared: Writer | None = None

    def __enter__(self) -> Writers:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._shared is not None:
            self._shared.abort()

    def opened(self, destination: Destination, run: Run, fields: Collection[str], stack: ExitStack) -> Writer:
        """Open a writer for an input, or let the one that inputs share go on with it. stack: closes the former."""
        if self._shared is not None:
            self._shared.start(run)
            return self._shared
        path, format = destination.path or "-", destination.format
        writer = open_writer(path, format, run, fields, force=self._force, several=destination.shared)
        if destination.shared:
            self._shared = writer
        else:
            stack.enter_context(writer)
        return writer

    def end(self, writer: Writer, summary: Summary, shape: tuple[int, ...]) -> None:
        """End an input, and put its results in place unless other inputs share them."""
        writer.end(summary, shape)
        if writer is not self._shared:
            writer.commit(summary)

    def commit(self, total: Summary, *, complete: bool) -> None:
        """Put what inputs share in place, if all of them are in it; a pipe has got all there is."""
        if self._shared is None:
            return
        name = self._shared.name
        if complete or name == "<stdout>":
            self._shared.commit(total)
        else:
            say_note(f"{name} is not written, since an input could not be used")


class Answer:
    """The results of a command's inputs, each shown or written in its place, or all in one file."""

    def __init__(self, shown: Shown, *, several: bool, quiet: bool) -> None:
        self._shown, self._several, self._quiet = shown, several, quiet
        self._writers = Writers(force=shown.force)
        self._total: Summary | None = None
        self._last: Run | None = None
        self._tables, self._piped = 0, False

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *raised: object) -> None:
        self._writers.__exit__(*raised)

    def put(
        self,
        reduction: Reduction,
        excerpt: Callable[[Sequence[int]], Excerpt | None],
        destination: Destination,
        plot: str | None,
    ) -> None:
        """Put the slices of one input to their destination. excerpt: reads the scores of some slices again."""
        from softargmax_cli.reduction.result import Summary
        from softargmax_cli.report.summary import First

        shown, summary, writer, drawing, choice = self._shown, Summary(), None, None, None
        if shown.chosen:
            from softargmax_cli.reduction.check import Choice

            choice = Choice(shown.only, shown.worst)
        takers: list[Callable[[Slices], None]] = []
        with ExitStack() as stack:
            if destination.table:
                first = First(shown.worst or shown.rows)
                takers.append(first.add)
                Thread(target=import_module, args=["softargmax_cli.report.slices"]).start()  # while TensorFlow computes
            if destination.path:
                fields = fields_of(destination.format, reduction.run.fields)
                writer = self._writers.opened(destination, reduction.run, fields, stack)
                takers.append(writer.write)
            if plot is not None:
                from softargmax_cli.cli.picture import Drawing

                drawing = stack.enter_context(Drawing(plot, shown.worst or shown.rows, force=shown.force))
                takers.append(drawing.add)
            for slices in reduction:
                summary.add(slices)
                if (chosen := slices if choice is None else choice.of(slices)) is not None:
                    for take in takers:
                        take(chosen)
            if choice is not None and (chosen := choice.last()) is not None:
                for take in takers:
                    take(chosen)
            if drawing:
                drawing.finish(reduction, summary.slices if choice is None else choice.count, excerpt)
            if not self._quiet:
                say_notes(reduction)
            run = reduction.run
            if writer:
                self._writers.end(writer, summary, run.known_shape)
            if drawing:
                drawing.commit()
        self._last, self._total = run, self._total or Summary()
        self._total.join(summary)
        if destination.table:
            from softargmax_cli.report.slices import put_table, sparkling

            scores = excerpt(first.numbers) if sparkling(run, first.count) else None
            if self._tables:
                print()
            best = scores.best(run.kind) if scores else None
            count = None if choice is None else choice.count
            put_table(first, run, summary, sys.stdout, best=best, count=count)
            self._tables += 1
        elif destination.path == "-":
            self._piped = True
        elif not self._quiet:
            say_summary(summary, run, sys.stderr, named=self._several)

    def end(self, *, complete: bool) -> None:
        """Sum up all inputs. complete: whether all could be used; else a file that they share is left as it was."""
        from softargmax_cli.reduction.result import Summary

        if self._last is not None and self._total is not None and self._several:
            whole = replace(self._last, input="all inputs" if complete else "all other inputs")
            if self._tables:
                print()
                say_summary(self._total, whole, sys.stdout, named=True)
            elif complete and not (self._piped or self._quiet):
                say_summary(self._total, whole, sys.stderr, named=True)
        self._writers.commit(self._total or Summary(), complete=complete)


def keep(reduction: Reduction, path: str, asked: Asked, *, force: bool, several: bool) -> None:
    """Reduce one input into a Zarr store, box by box as each is found, and print the summary."""
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
