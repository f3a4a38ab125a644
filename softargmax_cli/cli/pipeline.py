"""Turn names and options into reductions, alike for every command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from softargmax_cli.api.arguments import beta_of, device_of, size_of
from softargmax_cli.cli.messages import FAILED, say, say_error, say_note
from softargmax_cli.cli.options import ReadingOptions, ReductionOptions, axes_of, refuse, values_of
from softargmax_cli.cli.paths import find_inputs, make_directory, spare_inputs
from softargmax_cli.errors import OptionError, SoftArgmaxError
from softargmax_cli.files.reading import Reading

if TYPE_CHECKING:
    from distributed import Client

    from softargmax_cli.api.pipeline import Reduction
    from softargmax_cli.cli.options import CommonOptions, MessageOptions
    from softargmax_cli.files.registry import Replay
    from softargmax_cli.reduction.budget import Needs
    from softargmax_cli.reduction.problem import Spec
    from softargmax_cli.reduction.result import Run, Summary
    from softargmax_cli.tensorflow.choice import Loader


class Batch:
    """The inputs of a command, one after the other: an error in one does not stop the others."""

    def __init__(self, inputs: Sequence[str], shown: MessageOptions, *others: str | None) -> None:
        """others: files that are left out of folders and patterns. Raises InputError if inputs cannot be found."""
        self.quiet, self.verbose = shown.quiet, shown.verbose
        self.names, self.several, self.left_out = find_inputs(inputs, *others)
        """The inputs, True if they count as several, and notes on the files that are no inputs."""
        self.code = 0
        """The exit code so far."""
        self.tables = 0

    @contextmanager
    def trying(self, name: str, refused: Callable[[str, SoftArgmaxError], None] | None = None) -> Iterator[None]:
        """Print the error of an input, and go on with the next; the exit code is 2 then. refused: gets it, too."""
        try:
            yield
            sys.stdout.flush()
        except SoftArgmaxError as error:
            self.release()
            say_error(error, verbose=self.verbose)
            if refused is not None:
                refused(name, error)
            self.code = FAILED

    def release(self) -> None:
        """Stop holding standard error back, before an error is printed there."""

    def note(self, *texts: str) -> None:
        """Print notes, unless --quiet is given."""
        for text in () if self.quiet else texts:
            say_note(text)

    def begin_table(self) -> None:
        """Print an empty line before every table but the first."""
        sys.stdout.write("\n" * (self.tables > 0))
        self.tables += 1


class Job(Batch):
    """The inputs of a command that reduces, and the request for each of them:

    with job.begun(results):
        for name in job.names:
            with job.trying(name), job.opened(name, fields) as reduction:
                for slices in reduction: ...
    return job.code
    """

    def __init__(self, inputs: Sequence[str], asked: CommonOptions, *others: str | None) -> None:
        """others: as for `Batch`. Raises OptionError or InputError for options without meaning and missing inputs."""
        self.asked, self.axes = asked, axes_of(asked.axis)
        beta, temperature = getattr(asked, "beta", None), getattr(asked, "temperature", None)
        what = "--kind probs takes weights as they are: they have no --beta and no --temperature"
        refuse(asked.kind == "probs" and not beta is temperature is None, what, "leave them out")
        self.beta = beta_of(100.0 if beta == "auto" else beta, temperature)
        self.reading = Reading(**values_of(asked, ReadingOptions))
        self.device, self.memory = device_of(asked.device), size_of(asked.memory)
        self.values = () if asked.values is None else tuple(asked.values.split(","))
        """The files or ranges of `--values`, one for each axis."""
        super().__init__(inputs, asked, *others, *self.values)
        self._bar = True
        self._loader: Loader | None = None
        self._client: Client | None = None
        self._spec: Spec

    @contextmanager
    def begun(
        self,
        results: Sequence[str | None],
        *folders: str | None,
        reads: Sequence[str | None] = (),
        cluster: tuple[str | None, int] | None = None,
    ) -> Iterator[None]:
        """Check that no result replaces a file that is read, make folders for results, and begin to load TensorFlow.

        reads: files that are read beside the inputs. cluster: the address and the size of one that computes.
        Raises OutputError, and OptionError if options contradict each other.
        """
        spare_inputs(results, self.names, *reads, *self.values)
        for folder in folders:
            make_directory(folder)
        self.note(*self.left_out)
        self._bar = not ("-" in results and sys.stdout.isatty())  # else it would be drawn into data
        with ExitStack() as stack:
            stack.callback(self.release)
            if cluster is not None:
                from softargmax_cli.cluster.connection import connected, described

                self._client = stack.enter_context(connected(*cluster))
                if self.verbose:
                    say_note(described(self._client))
            else:
                from softargmax_cli.tensorflow.choice import Loader

                self._loader = Loader(self.device, verbose=self.verbose)
            from softargmax_cli.reduction.problem import Spec

            asked = values_of(self.asked, ReductionOptions)
            del asked["axis"]
            if self.values:
                from softargmax_cli.files.values import read_values

                asked["values"] = tuple(map(read_values, self.values))
            self._spec = Spec(self.axes, beta=self.beta, files=self.values, **asked)
            yield

    def release(self) -> None:
        """Wait for TensorFlow to be loaded, and stop holding standard error back."""
        if self._loader is not None:
            self._loader.close()

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
        """Open an input whose slices will have the fields `names`, and print its notes at the end.

        needs: the requirements of the work, if it is more than a reduction. replay: opens the input, if it is opened
        more than once. beta: replaces the one asked for.
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
            what = "a cluster reads in any order, and this input can only be read from start to end"
            raise OptionError(what, "run it on one machine, or convert it to .npy first", source.name)
        needs = needs or (REDUCTION if self._client is None else BOXES)
        computer = partial(self._computer, name)
        with reduction_of(source, spec, names, self.memory, computer, needs=needs, progress=bar) as reduction:
            if self._client is not None:
                from softargmax_cli.cluster.reduction import reduce

                reduction.reduce, reduction.on_cluster = reduce, True
            yield reduction
            if notes:
                self.note(*(f"{reduction.run.input}: {note}" for note in reduction.notes))

    def _computer(self, name: str) -> Any:
        """Return the runtime of this process, or the workers of a cluster."""
        if self._client is None:
            assert self._loader is not None
            return self._loader.runtime(say_note if self.verbose else lambda text: None)
        from softargmax_cli.cluster.reduction import Workers

        return Workers(self._client, name, self.reading, self.device)

    def say_summary(self, summary: Summary, run: Run) -> None:
        """Print the summary of a written result on standard error."""
        if not self.quiet:
            from softargmax_cli.report.summary import summary_line

            say(summary_line(summary, run, named=self.several))
