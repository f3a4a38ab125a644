"""From names and options to a stream of slices, the same for every command that reduces."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from softargmax_cli.cli.saying import FAILED, say_error, say_note
from softargmax_cli.errors import OutputError, SoftArgmaxError
from softargmax_cli.report.progress import Progress
from softargmax_cli.runtime.loading import Loading

if TYPE_CHECKING:
    from softargmax_cli.arrays.source import Source
    from softargmax_cli.reduction.blocks import Block, Plan
    from softargmax_cli.reduction.layout import Kind
    from softargmax_cli.reduction.result import Slices
    from softargmax_cli.reduction.spec import Coords, NanPolicy, Precision, Problem, Spec
    from softargmax_cli.runtime.base import Runtime


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options ask for that every command which reduces has."""

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
    device: str
    memory: int
    quiet: bool
    verbose: bool


def for_each(names: Sequence[str], asked: Asked, work: Callable[[Inputs, str], int]) -> int:
    """Do `work` for one input after the other; the largest of its results, or 2 where an input cannot be used.

    Raises OptionError where options contradict each other.
    """
    code = 0
    with closing(Inputs(asked)) as inputs:
        for name in names:
            try:
                code = max(code, work(inputs, name))
            except SoftArgmaxError as error:
                inputs.release()
                say_error(error, verbose=asked.verbose)
                code = FAILED
    return code


class Inputs:
    """Opens inputs, while TensorFlow is loaded beside."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._runtime: Runtime | None = None
        self._loading = Loading(verbose=asked.verbose)
        try:
            self._spec = spec_of(asked)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def opened(
        self, name: str, fields: Collection[str], *, bar: bool = True, boxes: bool = False
    ) -> Iterator[Reduction]:
        """An input whose slices will have `fields`; `bar` says whether a progress bar may be drawn.

        boxes: whether they may come box by box, for which the shape must be known.
        """
        from softargmax_cli.arrays.opening import TableOptions, open_source
        from softargmax_cli.reduction.engine import returns

        asked, wanted = self._asked, frozenset(fields)
        stream = None if bar and not asked.quiet else io.StringIO()
        with ExitStack() as files:
            source = files.enter_context(closing(open_source(name, TableOptions(*asked.table))))
            with naming(source.name):
                problem = self._spec.resolve(source.shape, source.dtype, wanted)
                if source.sequential and (boxes or returns(source, problem, asked.memory)):
                    from softargmax_cli.arrays.spooled import spooled

                    with Progress(source.nbytes, stream) as progress:
                        source = files.enter_context(closing(spooled(source, asked.memory, progress.advance)))
                    problem = self._spec.resolve(source.shape, source.dtype, wanted)
            if self._runtime is None:
                self._runtime = self._loading.runtime(asked.device, say_note if asked.verbose else _say_nothing)
            yield Reduction(source, problem, self._runtime, asked.memory, stream)

    def release(self) -> None:
        """Stop holding standard error back, for something is to be said there."""
        self._loading.close()

    def close(self) -> None:
        """Wait for what is being loaded."""
        self._loading.close()


class Reduction:
    """One input on its way through the reduction; iterate it once."""

    def __init__(
        self, source: Source, problem: Problem, runtime: Runtime, memory: int, stream: io.StringIO | None
    ) -> None:
        from softargmax_cli.api.describing import described

        self._source, self.problem, self._runtime = source, problem, runtime
        self._memory, self._stream = memory, stream
        self.run = described(source, problem, runtime.device)
        self.notes = [*source.notes]
        """What the user should know; there may be more at the end."""

    def __iter__(self) -> Iterator[Slices]:
        from softargmax_cli.reduction.engine import reduce, returns

        source, problem, memory = self._source, self.problem, self._memory
        passes = 2 if returns(source, problem, memory) else 1
        with self._watched(passes) as progress:
            yield from reduce(
                source, problem, self._runtime, memory=memory, advance=progress.advance, note=self.notes.append
            )
        self.run = replace(self.run, shape=tuple(source.rows if n is None else n for n in source.shape))

    @property
    def plan(self) -> Plan:
        """The boxes in which `boxes` reduces the input."""
        from softargmax_cli.reduction.engine import boxed

        with naming(self._source.name):
            return boxed(self._source, self.problem, self._memory).plan

    def boxes(self, done: Callable[[Block], bool]) -> Iterator[tuple[Block, Slices]]:
        """The slices as they are found, each with the block that completes them; but those that are `done`."""
        from softargmax_cli.reduction.engine import reduce_boxes

        source, problem, memory = self._source, self.problem, self._memory
        passes = 2 if problem.looks_back and self.plan.splits else 1
        with self._watched(passes) as bar:
            yield from reduce_boxes(
                *(source, problem, self._runtime),
                memory=memory,
                done=done,
                advance=bar.advance,
                note=self.notes.append,
            )

    @contextmanager
    def _watched(self, passes: int) -> Iterator[Progress]:
        nbytes = None if self._source.nbytes is None else passes * self._source.nbytes
        with Progress(nbytes, self._stream) as progress, naming(self._source.name):
            yield progress

    def say_notes(self) -> None:
        """Say them on standard error."""
        for note in self.notes:
            say_note(f"{self.run.input}: {note}")


def spec_of(asked: Asked) -> Spec:
    """What is asked of every input."""
    from softargmax_cli.reduction.spec import Spec

    values = None
    if asked.values is not None:
        from softargmax_cli.arrays.values import read_values

        # With one axis there is one file, whose name may hold a comma.
        names = asked.values.split(",") if len(asked.axes) > 1 else [asked.values]
        values = tuple(map(read_values, names))
    return Spec(asked.axes, asked.kind, asked.beta, asked.coords, values, asked.window, asked.nan, asked.precision)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put the input's name before errors that do not know it."""
    try:
        yield
    except SoftArgmaxError as error:
        if not isinstance(error, OutputError) and not error.what.startswith(f"{name}: "):
            error.what = f"{name}: {error.what}"
        raise


def _say_nothing(text: str) -> None:
    """What is noted only with --verbose."""
