"""The results of `softargmax run`: a table, a picture, a file or a store for each input, or a file for all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any

from softargmax_cli import __version__
from softargmax_cli.cli.options import ReductionOptions, values_of
from softargmax_cli.cli.outputs import Outputs
from softargmax_cli.cli.paths import PICTURES
from softargmax_cli.cli.pipeline import Job
from softargmax_cli.errors import OptionError
from softargmax_cli.files.registry import Replay
from softargmax_cli.files.writers import STORE, fields_of, format_of
from softargmax_cli.files.writers.atomic import Document
from softargmax_cli.reduction.budget import BOXES, Budget
from softargmax_cli.reduction.check import CONDITIONS, chosen
from softargmax_cli.reduction.excerpt import Excerpt, Read, read_excerpt
from softargmax_cli.reduction.fields import NAMES
from softargmax_cli.reduction.result import Run, Slices, Summary
from softargmax_cli.report.summary import TABLE_FIELDS, First, summary_line
from softargmax_cli.report.text import legible

if TYPE_CHECKING:
    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.cli.run import OutputOptions

MOST_PICTURED = 24
"""The most slices of a picture; more would be too small to read."""


class Answer:
    """The results of a command's inputs, each shown or written in its place, or all in one file."""

    def __init__(self, job: Job, shown: OutputOptions, outputs: Outputs, within: float | None) -> None:
        """within: the largest distance of soft from hard, if β is to be found for that."""
        self._job, self._shown, self._outputs, self._within = job, shown, outputs, within
        self._total = Summary()
        self._last: Run | None = None

    def put(self, name: str, path: str | None, plot: str | None) -> None:
        """Reduce an input, and show or write its slices."""
        names, only, format = set[str](), self._shown.only, self._outputs.format
        names.update(fields_of(format, NAMES) if path else (), [CONDITIONS[only][0]] if only else ())
        names.update(TABLE_FIELDS if self._outputs.table or plot is not None else ())
        with ExitStack() as stack:
            replay, beta, why = stack.enter_context(Replay(name, self._job.reading)), None, ""
            if self._within is not None:
                from softargmax_cli.cli.sweep import found_beta

                beta, why = found_beta(self._job, name, replay, self._within)
            twice = beta is not None or plot is not None
            opening = replay if twice else None  # it copies a pipe, which is not done for sparklines alone
            needs = BOXES if format == STORE else None
            reduction = stack.enter_context(self._job.opened(name, names, needs=needs, replay=opening, beta=beta))
            reduction.notes += [why] if why else []
            if format == STORE:
                summary = self._store(reduction, path or "")
            else:
                read = partial(_excerpt, reduction, replay if twice or not replay.read_once else None)
                summary = self._write(reduction, read, path, plot)
            self._total.join(summary)
            self._last = reduction.run
            if path != "-" and not self._outputs.table:
                self._job.say_summary(summary, reduction.run)

    def _write(self, reduction: Reduction, read: Read, path: str | None, plot: str | None) -> Summary:
        """Show and write the slices of one input."""
        shown, summary, count, picture = self._shown, Summary(), 0, None
        most, takers = shown.worst or shown.rows, list[Callable[[Slices], None]]()
        first = First(most if self._outputs.table else min(most or MOST_PICTURED, MOST_PICTURED))
        with ExitStack() as stack:
            if self._outputs.table:
                Thread(target=import_module, args=["softargmax_cli.report.slices"]).start()  # while TensorFlow computes
            if self._outputs.table or plot is not None:
                takers.append(first.add)
            names = fields_of(self._outputs.format, reduction.run.fields)
            if writer := stack.enter_context(self._outputs.opened(path, reduction.run, names)):
                takers.append(writer.write)
            if plot is not None:
                from softargmax_cli.report.plots import look

                stack.enter_context(look())
                picture = stack.enter_context(Document(plot, force=shown.force))
            for slices in chosen(_summed(reduction, summary), shown.only, shown.worst):
                count += len(slices)
                for take in takers:
                    take(slices)
            if picture:
                if min(most or count, count) > MOST_PICTURED:
                    reduction.notes.append(f"the picture shows the first {MOST_PICTURED} slices only")
                picture.write(_drawn(reduction, first, count, read, format_of(plot or "", PICTURES)))
            if writer:
                self._outputs.end(writer, summary, reduction.run.known_shape)
            if picture:
                picture.commit()
        if self._outputs.table:
            from softargmax_cli.report.slices import put_table

            self._job.begin_table()
            put_table(first, reduction.run, summary, sys.stdout, read=read, count=count)
        return summary

    def _store(self, reduction: Reduction, path: str) -> Summary:
        """Write the slices of one input to a Zarr store, box by box."""
        from softargmax_cli.files.writers.zarr import ZarrWriter
        from softargmax_cli.reduction.engine import reduce_boxes

        summary, problem = Summary(), reduction.problem
        plan = Budget(BOXES, reduction.source, problem, self._job.memory).plan
        extent = [plan.extent[k] for k in problem.kept]
        with ZarrWriter(path, reduction.run, extent, self._manifest(reduction), force=self._shown.force) as store:
            if reduction.on_cluster:
                from softargmax_cli.cluster.reduction import reduce_columns

                for one in reduction.through(partial(reduce_columns, chunks=store.chunks)):
                    summary.join(one)
            else:
                for block, slices in reduction.through(reduce_boxes):
                    store.chunks.write(block, slices)
                    summary.add(slices)
            store.commit(summary)
        if self._job.reading.id_column is not None and 0 in problem.kept:
            reduction.notes.append("a Zarr store holds no names of slices; -o NAME.npz does")
        return summary

    def _manifest(self, reduction: Reduction) -> dict[str, Any]:
        """Describe a run for the attributes of its store."""
        run, problem, select = reduction.run, reduction.problem, self._job.reading.select
        asked = values_of(self._job.asked, ReductionOptions)
        asked |= {"select": None if select is None else str(select), "axis": problem.axes, "beta": problem.beta}
        facts = {"input": run.input, "shape": run.known_shape, "dtype": run.dtype, "coords": run.coords}
        return {"version": __version__, **asked, **facts, "precision": problem.precision.name}

    def end(self) -> None:
        """Sum up all inputs; a file that they share is written only if all could be used."""
        complete = self._job.code == 0
        if self._last is not None and self._job.several:
            whole = replace(self._last, input="all inputs" if complete else "all other inputs")
            if self._job.tables:
                print("\n" + legible(summary_line(self._total, whole, named=True), sys.stdout))
            elif complete and "-" not in self._outputs.paths:
                self._job.say_summary(self._total, whole)
        self._outputs.commit(self._total, complete=complete)


def _summed(reduction: Reduction, summary: Summary) -> Iterator[Slices]:
    """Sum up all slices of an input as they come."""
    for slices in reduction:
        summary.add(slices)
        yield slices


def _excerpt(reduction: Reduction, replay: Replay | None, numbers: Sequence[int]) -> Excerpt | None:
    """Read the scores of some slices again, by their row-major numbers; None if it would take too much reading.

    replay: opens the input once more, if that is possible.
    """
    if reduction.on_cluster or (reduction.source.sequential and replay is None):
        return None
    if replay is None or not reduction.source.sequential:
        return read_excerpt(reduction.source, reduction.problem, numbers)
    with closing(replay.open()) as source:
        return read_excerpt(source, reduction.problem, numbers)


def _drawn(reduction: Reduction, first: First, count: int, read: Read, format: str) -> bytes:
    """Draw the first of `count` slices. Raises OptionError if their scores cannot be read."""
    from softargmax_cli.report.plots import draw_slices, rendered

    slices = None if first.slices is None else first.slices.part(0, MOST_PICTURED)
    if (excerpt := read([] if slices is None else slices.places.tolist())) is None:
        what = f"{reduction.run.input}: --plot: its slices lie too far from the beginning of the file"
        raise OptionError(what, "convert it to .npy first, which can be read at any place")
    return rendered(draw_slices(reduction.run, reduction.problem, slices, count, excerpt), format)
