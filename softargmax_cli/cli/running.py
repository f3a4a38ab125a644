"""A run from names to results: opens each input, streams it through the reduction, shows or writes it."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from softargmax_cli.cli.destinations import Destination, choose_destinations, make_directory
from softargmax_cli.cli.saying import say_error, say_note
from softargmax_cli.errors import OutputError, SoftArgmaxError
from softargmax_cli.runtime.loading import Loading

if TYPE_CHECKING:
    from softargmax_cli.arrays.source import Source
    from softargmax_cli.reduction.kernel import Kind
    from softargmax_cli.reduction.result import Run
    from softargmax_cli.reduction.spec import Coords, NanPolicy, Precision, Problem, Spec
    from softargmax_cli.runtime.base import Runtime


@dataclass(frozen=True, slots=True)
class Request:
    """What the options of `softargmax run` ask for."""

    axes: tuple[int, ...]
    kind: Kind
    beta: float
    coords: Coords
    values: str | None
    """Names of files."""
    window: int | None
    nan: NanPolicy
    precision: Precision
    table: tuple[str | None, bool | None, str | None]
    """Delimiter, header, id column of a CSV."""
    output: str | None
    format: str | None
    rows: int
    force: bool
    device: str
    memory: int
    quiet: bool
    verbose: bool


def run_all(inputs: Sequence[str], request: Request) -> int:
    """Run each input; 0, or 2 where one of them failed. Raises OptionError where options contradict each other."""
    destinations = choose_destinations(inputs, request.output, request.format)
    make_directory(request.output)
    runtime: Runtime | None = None
    code = tables = 0
    with closing(Loading(verbose=request.verbose)) as loading:
        spec = _asked(request)
        for name, destination in zip(inputs, destinations, strict=True):
            try:
                with ExitStack() as files:
                    source, problem = _opened(name, spec, request, destination, files)
                    if runtime is None:
                        runtime = loading.runtime(request.device, say_note if request.verbose else _say_nothing)
                    _stream(source, problem, request, destination, runtime, several=len(inputs) > 1, apart=tables > 0)
                    sys.stdout.flush()
                    tables += destination.table
            except SoftArgmaxError as error:
                loading.close()
                say_error(error, verbose=request.verbose)
                code = 2
    return code


def _asked(request: Request) -> Spec:
    """What is asked of every input."""
    from softargmax_cli.reduction.spec import Spec

    values = None
    if request.values is not None:
        from softargmax_cli.arrays.values import read_values

        # With one axis there is one file, whose name may hold a comma.
        names = request.values.split(",") if len(request.axes) > 1 else [request.values]
        values = tuple(map(read_values, names))
    return Spec(
        request.axes,
        request.kind,
        request.beta,
        request.coords,
        values,
        request.window,
        request.nan,
        request.precision,
    )


def _opened(
    name: str, spec: Spec, request: Request, destination: Destination, files: ExitStack
) -> tuple[Source, Problem]:
    """An input, and what is to be done with it."""
    from softargmax_cli.arrays.opening import TableOptions, open_source
    from softargmax_cli.arrays.sinks import fields_of
    from softargmax_cli.reduction.engine import returns

    fields = set(fields_of(destination.format)) if destination.path else set()
    if destination.table:
        from softargmax_cli.report.table import TABLE_FIELDS

        fields.update(TABLE_FIELDS)
    source = files.enter_context(closing(open_source(name, TableOptions(*request.table))))
    with _naming(source.name):
        problem = spec.resolve(source.shape, source.dtype, frozenset(fields))
        if source.sequential and returns(source, problem, request.memory):
            from softargmax_cli.arrays.spooled import spooled
            from softargmax_cli.report.progress import Progress

            with Progress(source.nbytes, io.StringIO() if request.quiet else None) as progress:
                source = files.enter_context(closing(spooled(source, request.memory, progress.advance)))
            problem = spec.resolve(source.shape, source.dtype, frozenset(fields))
        return source, problem


def _stream(
    source: Source,
    problem: Problem,
    request: Request,
    destination: Destination,
    runtime: Runtime,
    *,
    several: bool,
    apart: bool,
) -> None:
    """One input through the reduction to its destination; `apart` sets its table apart from the one before."""
    from softargmax_cli.arrays.sinks import open_sink
    from softargmax_cli.reduction.engine import reduce, returns
    from softargmax_cli.reduction.result import Summary
    from softargmax_cli.report.progress import Progress

    run, summary = _described(source, problem, runtime), Summary()
    notes = list(source.notes)
    table = sink = None
    with ExitStack() as stack:
        if destination.table:
            from softargmax_cli.report.table import Table

            table = Table(request.rows)
        if destination.path:
            sink = open_sink(
                destination.path,
                destination.format,
                run,
                tuple(problem.fields),
                force=request.force,
                name_inputs=several and destination.path == "-",
            )
            stack.enter_context(sink)
        # A bar would be drawn into data that goes to the same terminal.
        hidden = request.quiet or (destination.path == "-" and sys.stdout.isatty())
        passes = 2 if returns(source, problem, request.memory) else 1
        nbytes = None if source.nbytes is None else passes * source.nbytes
        progress = stack.enter_context(Progress(nbytes, io.StringIO() if hidden else None))
        advance = progress.advance
        with _naming(source.name):
            for slices in reduce(source, problem, runtime, memory=request.memory, advance=advance, note=notes.append):
                summary.add(slices)
                if table:
                    table.add(slices)
                if sink:
                    sink.write(slices)
        progress.close()
        for note in () if request.quiet else notes:
            say_note(f"{source.name}: {note}")
        shape = tuple(source.rows if n is None else n for n in source.shape)
        if sink:
            sink.commit(summary, shape)
    if table:
        if apart:
            print()
        table.render(run, shape, summary, sys.stdout, color=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    elif destination.path != "-" and not request.quiet:
        from softargmax_cli.report.summary import summary_line
        from softargmax_cli.report.text import signs_of

        print(summary_line(summary, run, named=several, signs=signs_of(sys.stderr)), file=sys.stderr)


def _described(source: Source, problem: Problem, runtime: Runtime) -> Run:
    from softargmax_cli.reduction.result import Run

    last = len(source.shape) - 1
    return Run(
        input=source.name,
        shape=source.shape,
        dtype=source.stored,
        axes=problem.axes,
        beta=problem.beta,
        device=runtime.device,
        kind=problem.kind,
        coords=problem.coords if problem.values is None else "values",
        window=problem.window,
        has_ids=source.labels is not None if problem.kept == (last,) else source.has_ids,
        labels=source.labels if problem.axes == (last,) else None,
    )


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Put the input's name before errors that do not know it."""
    try:
        yield
    except SoftArgmaxError as error:
        if not isinstance(error, OutputError) and not error.what.startswith(f"{name}: "):
            error.what = f"{name}: {error.what}"
        raise


def _say_nothing(text: str) -> None:
    """What is noted only with --verbose."""
