"""The way from an open source to its results, for all commands and for `reduce` in Python."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from softargmax_cli.errors import naming
from softargmax_cli.reduction.budget import REDUCTION, Budget, Needs
from softargmax_cli.reduction.engine import reduce
from softargmax_cli.reduction.hints import Lookalike, Uniformity
from softargmax_cli.reduction.result import Run

if TYPE_CHECKING:
    from softargmax_cli.files.source import Source
    from softargmax_cli.reduction.problem import Problem, Spec
    from softargmax_cli.reduction.result import Slices

Made = TypeVar("Made")
Progress = Callable[["int | None"], AbstractContextManager[Callable[[int], None]]]
"""Open a progress bar for a number of bytes, None if it is unknown; the context is a function that counts them."""


def silent(nbytes: int | None) -> AbstractContextManager[Callable[[int], None]]:
    """Show no progress."""
    return nullcontext(lambda nbytes: None)


@contextmanager
def reduction_of(
    source: Source,
    spec: Spec,
    fields: Collection[str],
    memory: int,
    computer: Callable[[], Any],
    *,
    needs: Needs = REDUCTION,
    progress: Progress = silent,
) -> Iterator[Reduction]:
    """Prepare an open source for a reduction; at the end, stop what still runs and close the source.

    fields: those wanted of each slice. memory: bytes that blocks may take. computer: makes a runtime or the workers of
    a cluster, once the input has been checked. needs: what the kind of reduction requires; a source in another order
    than it needs is copied first. Raises OptionError and InputError if the input does not fit the spec.
    """
    with ExitStack() as stack:
        stack.enter_context(closing(source))
        wanted, name = frozenset(fields), source.name
        with naming(name):
            problem = spec.resolve(source.shape, source.dtype, wanted)
            if source.sequential and Budget(needs, source, problem, memory).must_seek:
                from softargmax_cli.files.tempcopy import copied

                with progress(source.nbytes) as advance:
                    source = stack.enter_context(closing(copied(source, memory, advance)))
                problem = spec.resolve(source.shape, source.dtype, wanted)
            passes = Budget(needs, source, problem, memory).passes
        made = computer()  # its errors must not name the file
        stack.enter_context(naming(name))
        bar = progress(None if source.nbytes is None else passes * source.nbytes)
        run = described(source, problem, made.device)
        yield Reduction(source, problem, made, memory, bar, stack, run, [*source.notes])


@dataclass
class Reduction:
    """One input on its way through the reduction; iterate over it once."""

    source: Source
    problem: Problem
    computer: Any
    memory: int
    progress: AbstractContextManager[Callable[[int], None]]
    stack: ExitStack
    """Stops all threads and removes the progress bar, however far the reduction has come."""
    run: Run
    notes: list[str]
    """Notes for the user; there may be more at the end."""
    reduce: Callable[..., Iterator[Slices]] = field(default=reduce)
    """The engine of this process, or that of a cluster."""
    on_cluster: bool = False
    lookalike: Lookalike = field(default_factory=Lookalike)
    """Tells whether the scores look like probabilities."""

    def __iter__(self) -> Iterator[Slices]:
        uniformity = Uniformity(self.problem)
        for slices in self.through(self.reduce):
            uniformity.add(slices)
            yield slices
        if not self.lookalike.hint() and (hint := uniformity.hint()):
            self.notes.append(hint)

    def through(self, reduce: Callable[..., Iterator[Made]]) -> Iterator[Made]:
        """Run `reduce`, which takes the arguments of `engine.reduce`, over the input."""
        return self.stack.enter_context(closing(self._through(reduce)))

    def _through(self, reduce: Callable[..., Iterator[Made]]) -> Generator[Made, None, None]:
        source = self.source
        with self.progress as advance, naming(source.name):
            given = {"memory": self.memory, "advance": advance, "note": self.notes.append, "lookalike": self.lookalike}
            yield from reduce(source, self.problem, self.computer, **given)
            source.watch.check()
        if hint := self.lookalike.hint():
            self.notes.append(hint)
        self.notes += [note for note in source.notes if note not in self.notes]  # some come only at the end of a pipe
        self.run = replace(self.run, shape=tuple(source.rows if n is None else n for n in source.shape))


def described(source: Source, problem: Problem, device: str) -> Run:
    """Collect the facts of a run that are known before its first slice."""
    return Run(
        input=source.name,
        shape=source.shape,
        dtype=source.stored,
        axes=problem.axes,
        beta=problem.beta,
        device=device,
        kind=problem.kind,
        coords=problem.coords,
        window=problem.window,
        periods=problem.periods if any(problem.periods) else (),
        epsilon=problem.epsilon,
        steps=tuple(along.step for along in problem.coordinates),
        has_ids=(problem.keeps_rows and source.has_ids) or (problem.keeps_columns and source.labels is not None),
        labels=source.labels if problem.axes == (len(source.shape) - 1,) else None,
    )
