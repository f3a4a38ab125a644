"""From names and options to reductions, the same for every command."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TextIO

from softargmax_cli.cli.arguments import axes
from softargmax_cli.cli.messages import FAILED, say_error, say_note
from softargmax_cli.errors import OptionError, SoftArgmaxError
from softargmax_cli.files.reading import Reading
from softargmax_cli.report.progress import progress
from softargmax_cli.tensorflow.choice import Loader

if TYPE_CHECKING:
    from distributed import Client

    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.cli.options import ReadingOptions, ReductionOptions, RunningOptions
    from softargmax_cli.cluster.reduction import Workers
    from softargmax_cli.files.registry import Replay
    from softargmax_cli.reduction.budget import Needs
    from softargmax_cli.reduction.excerpt import Excerpt
    from softargmax_cli.reduction.layout import Kind
    from softargmax_cli.reduction.problem import Coords, NanPolicy, Precision, Spec
    from softargmax_cli.reduction.result import Run, Summary
    from softargmax_cli.tensorflow.base import Runtime


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of every command that reduces."""

    axes: tuple[int, ...]
    kind: Kind
    beta: float
    coords: Coords | tuple[Coords, ...]
    values: str | None
    """Names of files, or ranges: see `files`."""
    period: tuple[float, ...] | None
    window: int | None
    nan: NanPolicy
    precision: Precision
    reading: Reading
    device: str
    memory: int
    quiet: bool
    verbose: bool

    @classmethod
    def of(
        cls, reduction: ReductionOptions, reading: ReadingOptions, running: RunningOptions, beta: float = 100.0
    ) -> Asked:
        """Take the groups of options, and β, which commands have options of their own for."""
        asked = dict(vars(reduction))
        return cls(axes(asked.pop("axis")), beta=beta, reading=Reading(**vars(reading)), **asked, **vars(running))

    @property
    def files(self) -> tuple[str, ...]:
        """The files or ranges of `values`, one for each axis; of one axis it is a file, whose name may hold a comma."""
        from softargmax_cli.files.values import is_range

        if self.values is None:
            return ()
        several = tuple(self.values.split(","))
        return several if len(self.axes) > 1 or all(map(is_range, several)) else (self.values,)


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
                inputs.close()  # for something is to be said on standard error
                say_error(error, verbose=asked.verbose)
                refused(name, error)
                code = FAILED
    return code


class Inputs:
    """Open inputs, while TensorFlow is loaded beside, unless a cluster computes."""

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
        """Open an input whose slices will have `fields`; `bar` says whether a progress bar may be drawn.

        needs: the needs of the work, where it is more than a reduction.
        replay: opens the input, where it is opened more than once; beta: instead of the one asked for.
        """
        from softargmax_cli.api.pipeline import reduction_of
        from softargmax_cli.files.registry import open_source
        from softargmax_cli.reduction.budget import BOXES, REDUCTION

        asked = self._asked
        spec = self._spec if beta is None else replace(self._spec, beta=beta)
        stream = None if bar and not asked.quiet else io.StringIO()
        source = open_source(name, asked.reading) if replay is None else replay.open()
        if self._client is not None and source.sequential:
            source.close()
            what = "a cluster reads what can be read at any place: Zarr, HDF5, .npy and .safetensors"
            raise OptionError(what, "run it on one machine, or convert it first", source.name)
        opened = reduction_of(
            source,
            spec,
            fields,
            asked.memory,
            partial(self._computer, name),
            needs=needs or (REDUCTION if self._client is None else BOXES),
            progress=lambda nbytes: progress(nbytes, stream),
        )
        with opened as reduction:
            if self._client is not None:
                from softargmax_cli.cluster.reduction import reduce

                reduction.reduce, reduction.on_cluster = reduce, True
            yield reduction

    def _computer(self, name: str) -> Runtime | Workers:
        """Return what computes: the runtime of this process, or the workers of a cluster."""
        if self._loader is not None:
            return self._loader.runtime(say_note if self._asked.verbose else lambda text: None)
        from softargmax_cli.cluster.reduction import Workers

        assert self._client is not None
        return Workers(self._client, name, self._asked.reading, self._asked.device)

    def replayed(self, name: str) -> Replay:
        """Return a replay, which opens an input as often as is wanted."""
        from softargmax_cli.files.registry import Replay

        return Replay(name, self._asked.reading)

    def close(self) -> None:
        """Wait for TensorFlow to be loaded, and stop holding standard error back."""
        if self._loader is not None:
            self._loader.close()


def say_notes(reduction: Reduction) -> None:
    """Say on standard error what the user should know of an input."""
    for note in reduction.notes:
        say_note(f"{reduction.run.input}: {note}")


def say_summary(summary: Summary, run: Run, stream: TextIO, *, named: bool) -> None:
    """Print what is said of all slices of an input; named: after the input's name."""
    from softargmax_cli.report.summary import summary_line
    from softargmax_cli.report.text import legible

    print(legible(summary_line(summary, run, named=named), stream), file=stream)


def excerpt_of(reduction: Reduction, replay: Replay | None, numbers: Sequence[int]) -> Excerpt | None:
    """Read the scores of slices again; None where that cannot be done, or would take reading too much.

    numbers: those of the slices, in row-major order of the axes that stay.

    replay: opens the input once more, where it can be opened.
    """
    from softargmax_cli.reduction.excerpt import read_excerpt

    if reduction.on_cluster:
        return None
    if not reduction.source.sequential:
        return read_excerpt(reduction.source, reduction.problem, numbers)
    if replay is None:
        return None
    with closing(replay.open()) as source:
        return read_excerpt(source, reduction.problem, numbers)


def spec_of(asked: Asked) -> Spec:
    """Return the specification that holds for every input."""
    from softargmax_cli.reduction.problem import Spec

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
        period=asked.period,
    )
