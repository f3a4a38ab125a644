"""`softargmax grad` from names to gradients: says what they are like, and writes them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from softargmax_cli.cli.destinations import (
    Destination,
    choose_destinations,
    make_directory,
    names_store,
    spare_inputs,
)
from softargmax_cli.cli.pipeline import Asked, Inputs, for_each, say_notes
from softargmax_cli.errors import OptionError
from softargmax_cli.files.writers import array_format_of

if TYPE_CHECKING:
    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.files.writers.atomic import Writer
    from softargmax_cli.files.writers.npy import BoxWriter


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which gradient, and where it goes."""

    wrt: Literal["x", "beta"]
    vanished: float
    """The norm below which it has."""
    output: str | None
    format: str
    """Of what is said of each slice."""
    rows: int
    force: bool


def grad_all(names: Sequence[str], asked: Asked, wanted: Wanted) -> int:
    """Differentiate each input; 0, or 2 where one of them failed. Raises OptionError where options contradict."""
    if wanted.wrt == "beta" and asked.kind == "probs":
        raise OptionError("--wrt beta: --kind probs takes weights as they are, without β", "use --wrt x")
    files = _files(names, wanted)
    spare_inputs(files, names, *asked.files)
    shown = choose_destinations(names, None, wanted.format)
    make_directory(wanted.output)
    places = iter(zip(files, shown, strict=True))
    tables = 0

    def work(inputs: Inputs, name: str) -> int:
        from softargmax_cli.reduction.differentiating import GRADIENT
        from softargmax_cli.reduction.fields import FREE

        nonlocal tables
        file, said = next(places)
        data = file == "-" or said.path == "-"
        with inputs.opened(name, FREE, bar=not (data and sys.stdout.isatty()), needs=GRADIENT) as reduction:
            _show(reduction, file, said, asked, wanted, apart=tables > 0)
        sys.stdout.flush()
        tables += said.table
        return 0

    return for_each(names, asked, work)


def _files(names: Sequence[str], wanted: Wanted) -> list[str | None]:
    """Where each input's gradient goes; None for nowhere. Raises OptionError where that cannot be."""
    if wanted.output == "-":
        if len(names) > 1:
            raise OptionError("-o - holds one gradient only", "use -o DIR/ for one file each")
        if wanted.format != "table":
            raise OptionError(f"-o - and --format {wanted.format} both go to standard output", "write one to a file")
        return ["-"]
    if wanted.output is not None and names_store(wanted.output):
        array_format_of(wanted.output)  # which says that no gradient goes there
    paths = [destination.path for destination in choose_destinations(names, wanted.output, None, usual="npy")]
    for path in filter(None, paths):
        array_format_of(path)
    return paths


def _show(
    reduction: Reduction, file: str | None, said: Destination, asked: Asked, wanted: Wanted, *, apart: bool
) -> None:
    """The gradients of one input to their destinations; `apart` sets its table apart from the one before."""
    from softargmax_cli.files.temporary import scratch
    from softargmax_cli.files.writers import open_writer
    from softargmax_cli.reduction.differentiating import differentiate
    from softargmax_cli.reduction.fields import GRADIENT_FIELDS
    from softargmax_cli.reduction.slopes import BY_BETA, BY_SCORES, SlopeSummary
    from softargmax_cli.report.slopes import SlopeTable

    summary, table = SlopeSummary(), SlopeTable(wanted.rows)
    names = tuple(field.name for field in GRADIENT_FIELDS)
    run = replace(reduction.run, fields=names, alone="gradient", wrt=wanted.wrt, vanished=wanted.vanished)
    reduction.run = run
    boxes: BoxWriter | None = None
    sinks: list[Writer] = []
    with ExitStack() as stack:
        if file is not None and wanted.wrt == "x":
            boxes = stack.enter_context(_box_file(file, reduction, force=wanted.force))
        elif file is not None:
            opened = open_writer(file, array_format_of(file), run, {"gradient"}, force=wanted.force)
            sinks.append(stack.enter_context(opened))
        if said.path is not None:
            fields = BY_BETA if wanted.wrt == "beta" else BY_SCORES
            sinks.append(stack.enter_context(open_writer(said.path, said.format, run, fields, force=False)))
        write = None if boxes is None else boxes.write
        for slices in reduction.through(
            partial(differentiate, by=wanted.wrt, vanished=wanted.vanished, write=write, scratch=scratch)
        ):
            summary.add(slices)
            table.add(slices)
            for sink in sinks:
                sink.write(slices)
        if not asked.quiet:
            say_notes(reduction)
        shape = reduction.run.known_shape
        if boxes is not None:
            boxes.commit((*shape, *_coordinates(reduction)))
        for sink in sinks:
            sink.commit(summary, shape)
    if said.table and file != "-":
        if apart:
            print()
        table.render(reduction.run, shape, summary, sys.stdout)


def _box_file(path: str, reduction: Reduction, *, force: bool) -> BoxWriter:
    """A file for the gradient by the scores, shaped and ordered as the input."""
    from softargmax_cli.files.writers.npy import BoxWriter

    source, problem = reduction.source, reduction.problem
    shape = (*source.shape, *_coordinates(reduction))
    return BoxWriter(path, "gradient", problem.precision, shape, source.order, force=force)


def _coordinates(reduction: Reduction) -> tuple[int, ...]:
    """The last dimension of the gradient: none for a single coordinate."""
    axes = reduction.problem.axes
    return (len(axes),) if len(axes) > 1 else ()
