"""From names and options to reductions, the same for every command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from softargmax_cli.api.arguments import device_of, size_of
from softargmax_cli.cli.messages import FAILED, say_error, say_note
from softargmax_cli.cli.options import BetaOptions, CommonOptions, ReadingOptions, ReductionOptions, axes_of, beta_of
from softargmax_cli.cli.paths import Destination, Found, find_inputs, make_directory, spare_inputs
from softargmax_cli.errors import OptionError, SoftArgmaxError
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.writers import Writer, open_writer

if TYPE_CHECKING:
    from distributed import Client

    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.files.registry import Replay
    from softargmax_cli.reduction.budget import Needs
    from softargmax_cli.reduction.excerpt import Excerpt
    from softargmax_cli.reduction.problem import Spec
    from softargmax_cli.reduction.result import Run, Summary
    from softargmax_cli.tensorflow.choice import Loader


class Job:
    """The inputs of a command, and what is asked of each of them:

    with job.begun(results):
        for name in job.names:
            with job.trying(name), job.opened(name, fields) as reduction:
                for slices in reduction: ...
    return job.code
    """

    def __init__(
        self,
        inputs: Sequence[str],
        asked: CommonOptions,
        others: Sequence[str | None] = (),
        *,
        beta: float = 100.0,
        single: bool = False,
    ) -> None:
        """others: files that a folder or a pattern does not stand for; single: the name is one file's.

        Raises BadParameter or InputError where the inputs cannot be found.
        """
        self.asked, self.beta, self.axes = asked, beta, axes_of(asked.axis)
        if isinstance(asked, BetaOptions):
            self.beta = beta_of(asked.beta, asked.temperature, asked.kind)
        self.reading = Reading(**{each.name: getattr(asked, each.name) for each in fields(ReadingOptions)})
        self.device, self.memory = device_of(asked.device), size_of(asked.memory)
        self.quiet, self.verbose = asked.quiet, asked.verbose
        self.values = () if asked.values is None else tuple(asked.values.split(","))
        """The files or ranges of `--values`, one for each axis."""
        self.found = Found([*inputs], False) if single else find_inputs(inputs, *others, *self.values)
        self.names, self.several = self.found.names, self.found.several
        self.code = 0
        """The exit code, as far as it is known."""
        self._bar = True
        self._loader: Loader | None = None
        self._client: Client | None = None
        self._spec: Spec

    @contextmanager
    def begun(
        self,
        results: Sequence[str | None],
        folders: Sequence[str | None] = (),
        reads: Sequence[str | None] = (),
        connect: Callable[[], AbstractContextManager[Client]] | None = None,
    ) -> Iterator[None]:
        """Make sure that no result replaces what is read, make folders for results, and load TensorFlow beside.

        reads: files that are read beside the inputs. connect: connects with the cluster that computes, if any.
        Raises OutputError, and OptionError where options contradict each other.
        """
        spare_inputs(results, self.names, *reads, *self.values)
        for folder in folders:
            make_directory(folder)
        for note in [] if self.quiet else self.found.notes:
            say_note(note)
        self._bar = not ("-" in results and sys.stdout.isatty())  # else it would be drawn into data
        with ExitStack() as stack:
            stack.callback(self.release)
            if connect is not None:
                self._client = stack.enter_context(connect())
            else:
                from softargmax_cli.tensorflow.choice import Loader

                self._loader = Loader(self.device, verbose=self.verbose)
            self._spec = self._specified()
            yield

    def _specified(self) -> Spec:
        """Return the specification that holds for every input."""
        from softargmax_cli.reduction.problem import Spec

        asked: dict[str, Any] = {each.name: getattr(self.asked, each.name) for each in fields(ReductionOptions)}
        del asked["axis"]
        if self.values:
            from softargmax_cli.files.values import read_values

            asked["values"] = tuple(map(read_values, self.values))
        return Spec(self.axes, beta=self.beta, files=self.values, **asked)

    def release(self) -> None:
        """Wait for TensorFlow to be loaded, and stop holding standard error back."""
        if self._loader is not None:
            self._loader.close()

    @contextmanager
    def trying(self, name: str, refused: Callable[[str, SoftArgmaxError], None] | None = None) -> Iterator[None]:
        """Say what is wrong with an input, and go on with the next; the exit code is 2 then. refused: is told, too."""
        try:
            yield
            sys.stdout.flush()
        except SoftArgmaxError as error:
            self.release()  # for something is to be said on standard error
            say_error(error, verbose=self.verbose)
            if refused is not None:
                refused(name, error)
            self.code = FAILED

    @contextmanager
    def opened(
        self,
        name: str,
        names: Collection[str],
        *,
        needs: Needs | None = None,
        replay: Replay | None = None,
        beta: float | None = None,
        notes: bool = True,
    ) -> Iterator[Reduction]:
        """Open an input whose slices will have the fields of these `names`, and say its notes in the end.

        needs: what the work asks of its input, where it is more than a reduction.
        replay: opens the input, where it is opened more than once; beta: in place of the one asked for.
        """
        from softargmax_cli.api.pipeline import reduction_of, silent
        from softargmax_cli.files.registry import open_source
        from softargmax_cli.reduction.budget import BOXES, REDUCTION

        spec = self._spec if beta is None else replace(self._spec, beta=beta)
        bar: Callable[[int | None], Any] = silent
        if self._bar and not self.quiet and sys.stderr.isatty():
            from softargmax_cli.report.progress import progress as bar
        source = open_source(name, self.reading) if replay is None else replay.open()
        if self._client is not None and source.sequential:
            source.close()
            what = "a cluster reads what can be read at any place: Zarr, HDF5, .npy and .safetensors"
            raise OptionError(what, "run it on one machine, or convert it first", source.name)
        opened = reduction_of(
            source,
            spec,
            names,
            self.memory,
            partial(self._computer, name),
            needs=needs or (REDUCTION if self._client is None else BOXES),
            progress=bar,
        )
        with opened as reduction:
            if self._client is not None:
                from softargmax_cli.cluster.reduction import reduce

                reduction.reduce, reduction.on_cluster = reduce, True
            yield reduction
            for note in reduction.notes if notes and not self.quiet else []:
                say_note(f"{reduction.run.input}: {note}")

    def _computer(self, name: str) -> Any:
        """Return what computes: the runtime of this process, or the workers of a cluster."""
        if self._loader is not None:
            return self._loader.runtime(say_note if self.verbose else lambda text: None)
        from softargmax_cli.cluster.reduction import Workers

        assert self._client is not None
        return Workers(self._client, name, self.reading, self.device)

    def say_summary(self, summary: Summary, run: Run) -> None:
        """Print the summary of what was written on standard error."""
        if not self.quiet:
            from softargmax_cli.report.summary import summary_line
            from softargmax_cli.report.text import legible

            print(legible(summary_line(summary, run, named=self.several), sys.stderr), file=sys.stderr)


class Outputs:
    """The writers of results: one for each input, or one that several inputs share."""

    def __init__(self, *, force: bool) -> None:
        self._force = force
        self._shared: Writer | None = None

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._shared is not None:
            self._shared.abort()

    @contextmanager
    def opened(self, place: Destination, run: Run, fields: Collection[str]) -> Iterator[Writer | None]:
        """Open a writer for an input, or let the one that inputs share go on with it; None where nothing is written."""
        if place.path is None:
            yield None
        elif place.shared and self._shared is not None:
            self._shared.start(run)
            yield self._shared
        else:
            writer = open_writer(place.path, place.format, run, fields, force=self._force, several=place.shared)
            if place.shared:
                self._shared = writer
                yield writer
            else:
                with writer:
                    yield writer

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


def excerpt_of(reduction: Reduction, replay: Replay | None, numbers: Sequence[int]) -> Excerpt | None:
    """Read the scores of some slices again, by their row-major numbers; None where it would take too much reading.

    replay: opens the input once more, where that can be done.
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
