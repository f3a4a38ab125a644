"""The gradients of all slices of an input, block by block, and how large each is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from softargmax_cli.reduction.arrays import ArrayStream, Write
from softargmax_cli.reduction.box_reducer import Derived
from softargmax_cli.reduction.budget import Needs, bytes_reduced
from softargmax_cli.reduction.fields import FREE
from softargmax_cli.reduction.gradient import BlockDifferentiator, By, Slope
from softargmax_cli.reduction.order import Scratch
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.reducer import Array
from softargmax_cli.reduction.result import Slices, Summary
from softargmax_cli.reduction.state import State

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

    def derive(values: Array, start: Sequence[int], known: State, compiled: bool) -> Derived:
        return reducer.slope(values, start, known, by, keep=write is not None, compiled=compiled)

    finish = partial(_with, vanished=vanished)
    stream = ArrayStream(source, problem, reducer, memory, advance, note, scratch, GRADIENT, derive, write, finish)
    for (slices,) in stream.slices():
        yield slices


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


def _with(slope: Slope | None, slices: Slices, vanished: float) -> Slices:
    """Add to slices, in the order of the file, what their gradients are like."""
    assert slope is not None
    if slope.by_beta is not None:
        norm = np.sqrt((slope.by_beta**2).sum(axis=0))
        least, largest = slope.by_beta.min(axis=0), slope.by_beta.max(axis=0)
    else:
        least, largest = slope.least, slope.largest
        norm = np.maximum(np.sqrt(slope.squares), np.maximum(-least, largest))  # whose square may be lost
    columns = {name: slices.columns[name] for name in FREE}
    columns |= {"norm": norm, "min": least, "max": largest, "vanished": norm < vanished}
    columns |= {} if slope.by_beta is None else {"gradient": slope.by_beta}
    return replace(slices, columns=columns)
