"""From names and options to a stream of slices, the same for every command that reduces."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from softargmax_cli.cli.saying import FAILED, say_error, say_note
from softargmax_cli.errors import OptionError, SoftArgmaxError, naming
from softargmax_cli.report.progress import Progress
from softargmax_cli.tensorflow.choice import Loader

if TYPE_CHECKING:
    import numpy.typing as npt
    from distributed import Client

    from softargmax_cli.cluster.reduction import Workers
    from softargmax_cli.files.reading import Reading
    from softargmax_cli.files.replay import Replay
    from softargmax_cli.files.source import Source
    from softargmax_cli.reduction.fitting import Needs
    from softargmax_cli.reduction.layout import Kind
    from softargmax_cli.reduction.result import Slices
    from softargmax_cli.reduction.spec import Coords, NanPolicy, Precision, Problem, Spec
    from softargmax_cli.tensorflow.base import Runtime

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options ask for that every command which reduces has."""

    axes: tuple[int, ...]
    kind: Kind
    beta: float
    coords: Coords
    values: str | None
    """Names of files: see `files`."""
    window: int | None
    nan: NanPolicy
    precision: Precision
    reading: Reading
    device: str
    memory: int
    quiet: bool
    verbose: bool

    @property
    def files(self) -> tuple[str, ...]:
        """Those that hold `values`, one for each axis; with one axis there is one, whose name may hold a comma."""
        if self.values is None:
            return ()
        return tuple(self.values.split(",")) if len(self.axes) > 1 else (self.values,)


def for_each(
    names: Sequence[str],
    asked: Asked,
    work: Callable[[Inputs, str], int],
    refused: Callable[[str, SoftArgmaxError], None] = lambda name, error: None,
    client: Client | None = None,
) -> int:
    """Do `work` for one input after the other; the largest of its results, or 2 where an input cannot be used.

    What is wrong with one is said on standard error, and `refused` is told. client: of the cluster that computes, or
    None. Raises OptionError where options contradict each other.
    """
    code = 0
    with closing(Inputs(asked, client)) as inputs:
        for name in names:
            try:
                code = max(code, work(inputs, name))
            except SoftArgmaxError as error:
                inputs.release()
                say_error(error, verbose=asked.verbose)
                refused(name, error)
                code = FAILED
    return code


class Inputs:
    """Opens inputs, while TensorFlow is loaded beside, unless a cluster computes."""

    def __init__(self, asked: Asked, client: Client | None = None) -> None:
        self._asked, self._client = asked, client
        self._loader = Loader(asked.device, verbose=asked.verbose) if client is None else None
        try:
            self._spec = spec_of(asked)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def opened(
        self,
        name: str,
        fields: Collection[str],
        *,
        bar: bool = True,
        needs: Needs | None = None,
        replay: Replay | None = None,
        beta: float | None = None,
    ) -> Iterator[Reduction]:
        """An input whose slices will have `fields`; `bar` says whether a progress bar may be drawn.

        needs: those of what is done to it, where that is more than a reduction.
        replay: what opens it, where it is opened more than once; beta: another than the one asked for.
        """
        from softargmax_cli.files.registry import open_source
        from softargmax_cli.reduction.fitting import BOXES, REDUCTION

        asked, wanted = self._asked, frozenset(fields)
        needs = needs or (REDUCTION if self._client is None else BOXES)
        spec = self._spec if beta is None else replace(self._spec, beta=beta)
        stream = None if bar and not asked.quiet else io.StringIO()
        with ExitStack() as files:
            opening = open_source(name, asked.reading) if replay is None else replay.open()
            source = files.enter_context(closing(opening))
            with naming(source.name):
                problem = spec.resolve(source.shape, source.dtype, wanted)
                if self._client is not None and source.sequential:
                    what = "a cluster reads what can be read at any place: Zarr, HDF5, .npy and .safetensors"
                    raise OptionError(what, "run it on one machine, or convert it first")
                if source.sequential and needs.must_seek(source, problem, asked.memory):
                    from softargmax_cli.files.tempcopy import copied

                    with Progress(source.nbytes, stream) as progress:
                        source = files.enter_context(closing(copied(source, asked.memory, progress.advance)))
                    problem = spec.resolve(source.shape, source.dtype, wanted)
                count = needs.passes(source, problem, asked.memory)
            runtime: Runtime | Workers
            if self._loader is not None:
                runtime = self._loader.runtime(say_note if asked.verbose else _say_nothing)
            else:
                from softargmax_cli.cluster.reduction import Workers

                assert self._client is not None
                runtime = Workers(self._client, name, asked.reading, asked.device)
            reduction = Reduction(source, problem, runtime, asked.memory, stream, count)
            files.callback(reduction.close)
            yield reduction

    def replayed(self, name: str) -> Replay:
        """What opens an input as often as is wanted."""
        from softargmax_cli.files.replay import Replay

        return Replay(name, self._asked.reading)

    def release(self) -> None:
        """Stop holding standard error back, for something is to be said there."""
        self.close()

    def close(self) -> None:
        """Wait for what is being loaded."""
        if self._loader is not None:
            self._loader.close()


class Reduction:
    """One input on its way through the reduction; iterate it once. Closed, no thread works and no bar is shown."""

    def __init__(
        self,
        source: Source,
        problem: Problem,
        runtime: Runtime | Workers,
        memory: int,
        stream: io.StringIO | None,
        passes: int,
    ) -> None:
        from softargmax_cli.api.describing import described

        self.source, self.problem, self._runtime = source, problem, runtime
        self.memory, self._stream, self._passes = memory, stream, passes
        self.run = described(source, problem, runtime.device)
        self.notes = [*source.notes]
        """What the user should know; there may be more at the end."""
        self._running: list[Generator[Any, None, None]] = []

    def __iter__(self) -> Iterator[Slices]:
        from softargmax_cli.files.temporary import scratch

        if self.on_cluster:
            from softargmax_cli.cluster.reduction import reduce
        else:
            from softargmax_cli.reduction.engine import reduce  # type: ignore[assignment]
        return self.through(partial(reduce, scratch=scratch))

    @property
    def on_cluster(self) -> bool:
        """Whether workers compute, and not this process."""
        return hasattr(self._runtime, "client")

    def through(self, reduce: Callable[..., Iterator[Made]]) -> Iterator[Made]:
        """What `reduce`, called as the engine's, makes of the input."""
        slices = self._through(reduce)
        self._running.append(slices)
        return slices

    def of(self, slices: npt.NDArray[Any]) -> Reduction:
        """The same of some slices, (m, …), whose lengths are those of the reduced axes in the order of the array."""
        from softargmax_cli.files.memory import ArraySource

        problem = replace(self.problem, shape=slices.shape, axes=tuple(1 + place for place in self.problem.order))
        return Reduction(
            ArraySource(slices, self.source.name), problem, self._runtime, self.memory, io.StringIO(), passes=1
        )

    def close(self) -> None:
        """Stop, wherever it is. An error elsewhere must not be said beside a bar, nor wait for the collector."""
        for slices in self._running:
            slices.close()

    def _through(self, reduce: Callable[..., Iterator[Made]]) -> Generator[Made, None, None]:
        from softargmax_cli.files.watching import refusals, watching

        source, memory = self.source, self.memory
        nbytes = None if source.nbytes is None else self._passes * source.nbytes
        with (
            Progress(nbytes, self._stream) as progress,
            naming(source.name),
            watching(source.watch, self.notes),
            refusals(source.name),
        ):
            yield from reduce(
                source,
                self.problem,
                self._runtime,
                memory=memory,
                advance=progress.advance,
                note=self.notes.append,
            )
        self.run = replace(self.run, shape=tuple(source.rows if n is None else n for n in source.shape))

    def say_notes(self) -> None:
        """Say them on standard error."""
        for note in self.notes:
            say_note(f"{self.run.input}: {note}")


def spec_of(asked: Asked) -> Spec:
    """What is asked of every input."""
    from softargmax_cli.reduction.spec import Spec

    values = None
    if asked.files:
        from softargmax_cli.files.values import read_values

        values = tuple(map(read_values, asked.files))
    return Spec(
        asked.axes,
        asked.kind,
        asked.beta,
        asked.coords,
        values,
        asked.window,
        asked.nan,
        asked.precision,
        files=asked.files,
    )


def _say_nothing(text: str) -> None:
    """What is noted only with --verbose."""
