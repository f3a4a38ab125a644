"""The gradients of all slices of an input, block by block, and how large each is.

Where a block holds whole slices it is reduced and differentiated while it is in the cache. Where it does not, the
blocks of a slice are read once for its maximum, mass and moments, a second time for these where a window depends on
the maximum, and once more for the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from softargmax_cli.reduction.blocks import Block, Plan
from softargmax_cli.reduction.budget import Needs, bytes_reduced
from softargmax_cli.reduction.engine import SliceStream
from softargmax_cli.reduction.fields import FREE
from softargmax_cli.reduction.gradient import BlockDifferentiator, BoxDifferentiator, By, Slope, joined
from softargmax_cli.reduction.order import Scratch
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.reducer import Array
from softargmax_cli.reduction.result import Slices, Summary
from softargmax_cli.reduction.state import State
from softargmax_cli.reduction.stream import Part, Task

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Runtime

VANISHED = 1e-6
"""The norm below which a gradient is said to have vanished, in the unit of soft for 1 in the scores, or in β.

To first order, a step of length 1 then moves soft by less than a result in single precision may be off: nothing that a
training does to the scores can be seen in it.
"""

BY_SCORES = ("hard", "soft", "norm", "min", "max", "vanished")
BY_BETA = ("hard", "soft", "gradient", "vanished")
"""The fields of slices whose soft argmax is differentiated by its scores, and by β."""


@dataclass(slots=True)
class SlopeSummary(Summary):
    """Sum up the gradients of all slices."""

    max_norm: float = math.nan
    total_norm: float = 0.0
    vanished: int = 0

    def add(self, slices: Slices) -> None:
        """Take a run of slices into account, which must have gradients."""
        Summary.add(self, slices)
        norm, vanished = slices.column("norm"), slices.column("vanished")
        norm = norm[~np.isnan(norm)]
        if norm.size:
            self.max_norm = float(np.fmax(self.max_norm, norm.max()))
            self.total_norm += float(norm.sum())
        self.vanished += int(np.count_nonzero(vanished))

    @property
    def mean_norm(self) -> float:
        """Return the mean over the slices that have an answer; NaN when none has."""
        defined = self.slices - self.undefined
        return self.total_norm / defined if defined else math.nan

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the summary under its public names, what is no finite number as None."""
        norms = {"max_norm": self.max_norm, "mean_norm": self.mean_norm}
        finite = {name: n if math.isfinite(n) else None for name, n in norms.items()}
        return {"slices": self.slices, **finite, "vanished": self.vanished, "undefined": self.undefined}


Write = Callable[[Sequence[int], Array], None]
"""Takes the gradient by the scores of a box of the input that begins at a position."""


def differentiate(
    source: Readable,
    problem: Problem,
    runtime: Runtime,
    *,
    by: By,
    memory: int,
    write: Write | None = None,
    vanished: float = VANISHED,
    advance: Callable[[int], None] = lambda nbytes: None,
    note: Callable[[str], None] = lambda text: None,
    scratch: Scratch | None = None,
) -> Iterator[Slices]:
    """Yield what the gradients of all slices are like, in row-major order; `write` is given the gradients by x.

    Boxes come in the order of the file, from the caller's thread, as arrays of their shape, with one more last axis
    where there are several coordinates. `vanished`: the norm below which a gradient has. The rest, and the errors, are
    those of `engine.reduce`. The source must not be `sequential` where `GRADIENT` says `must_seek`.
    """
    reducer = BlockDifferentiator(problem, runtime)
    stream = _SlopeStream(
        source, problem, reducer, memory, advance, note, scratch, by=by, write=write, vanished=vanished
    )
    return stream.slices()


def _bytes_differentiated(source: Readable, problem: Problem) -> int:
    """Return the bytes that an element takes while its block is differentiated."""
    # The way back takes as many arrays as the way there; the gradient itself is there twice, and waits to be written.
    return 2 * bytes_reduced(source, problem) + 4 * len(problem.axes) * problem.precision.itemsize


def _times_differentiated(source: Readable, problem: Problem) -> int:
    """Return how many times as large as a box its gradient is, which waits to be written while the next is made."""
    return -(-2 * len(problem.axes) * problem.precision.itemsize // source.dtype.itemsize)


GRADIENT = Needs(
    _bytes_differentiated, lambda problem: 2 if problem.window is None else 3, of_results=_times_differentiated
)
"""The memory and passes that `differentiate` needs."""


@dataclass(frozen=True, slots=True)
class _SlopePart(Part[Slices]):
    """A block after it was differentiated."""

    slope: Slope | None = None
    """Where other blocks hold the rest of the slices."""
    gradient: Array | None = None
    """By the scores, where anybody wants it."""


class _SlopeStream(SliceStream):
    """A differentiation on its way through one input."""

    needs = GRADIENT
    batch = 1  # the gradients of a batch would all wait to be written

    def __init__(
        self,
        source: Readable,
        problem: Problem,
        differentiator: BlockDifferentiator,
        *streaming: Any,
        by: By,
        write: Write | None,
        vanished: float,
    ) -> None:
        super().__init__(source, problem, differentiator, *streaming)
        self.differentiator: BlockDifferentiator | BoxDifferentiator = differentiator
        if self.boxes is not None:
            self.differentiator = BoxDifferentiator(differentiator, problem, source.order, self.elements)
        self.by, self.write, self.vanished = by, write, vanished
        self.row = 0
        """The next row of a table to be written."""

    def _parts(self, plan: Iterable[tuple[Block, bool]], batch: int, **more: Any) -> Iterator[Part[Slices]]:
        for part in super()._parts(plan, batch, **more):
            if self.write is not None and isinstance(part, _SlopePart) and part.gradient is not None:
                self.write((self.row, 0) if self.problem.shape[0] is None else part.block.start, part.gradient)
                self.row += part.rows
            yield part

    def _answered(
        self, part: Part[Slices], task: Task, values: Array, state: State, ids: Sequence[str] | None
    ) -> Part[Slices]:
        slope, gradient = self._slope(values, task, state)
        if self.problem.shape[0] is None:
            slope, gradient = slope.first(part.rows), None if gradient is None else gradient[: part.rows]
            rows = self._of_table(state.first(part.rows), (part.rows, values.shape[1]), ids)
            slopes = self._with(rows, slope)
        else:
            slopes = self._turned(self._with(self._results(state, task.block, ids), slope), task.block)
        return _SlopePart(*(part.block, part.nbytes, part.rows, part.misfit, None, slopes), gradient=gradient)

    def _finished_twice(self, plan: Plan) -> Iterator[tuple[Block, Slices]]:
        worth = self._worth_compiling(plan)
        for box in plan.boxes():
            found, ids = self._found(box, worth)
            if self.problem.window is not None:
                found = self._completed(box, worth, found)
            slope: Slope | None = None
            blocks = ((block, worth[block.shape]) for block in box)
            for part in self._parts(blocks, 1, known=found, work=self._differentiated):
                assert isinstance(part, _SlopePart)
                assert part.slope is not None
                slope = joined(slope, part.slope)
            assert slope is not None
            yield box[-1], self._turned(self._with(self._results(found, box[-1], ids), slope), box[-1])

    def _differentiated(self, task: Task) -> Part[Slices]:
        """Differentiate a block whose slices' state is known."""
        values = self._loaded(task).values
        assert task.known is not None
        slope, gradient = self._slope(values, task, task.known)
        return _SlopePart(task.block, task.pending.nbytes, len(values), slope=slope, gradient=gradient)

    def _slope(self, values: Array, task: Task, state: State) -> tuple[Slope, Array | None]:
        """Return what the gradient over a block is like, and where anybody wants it the gradient by its scores."""
        keep = self.write is not None
        return self.differentiator.slope(values, task.block.start, state, self.by, keep=keep, compiled=task.compiled)

    def _with(self, slices: Slices, slope: Slope) -> Slices:
        """Return slices with what their gradients are like."""
        if slope.by_beta is not None:
            norm = np.sqrt((slope.by_beta**2).sum(axis=0))
            least, largest = slope.by_beta.min(axis=0), slope.by_beta.max(axis=0)
        else:
            least, largest = slope.least, slope.largest
            norm = np.maximum(np.sqrt(slope.squares), np.maximum(-least, largest))  # whose square may be lost
        columns = {name: slices.columns[name] for name in FREE}
        columns |= {"norm": norm, "min": least, "max": largest, "vanished": norm < self.vanished}
        columns |= {} if slope.by_beta is None else {"gradient": slope.by_beta}
        return Slices(slices.start, columns, slices.ids)
