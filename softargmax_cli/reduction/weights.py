"""The weights of all entries of an input, p = softmax(β·x) of each slice, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from softargmax_cli.reduction.arrays import ArrayStream, Write
from softargmax_cli.reduction.box_reducer import Derived
from softargmax_cli.reduction.budget import Needs
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.reducer import Array, BlockReducer, unfold
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.state import State

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Runtime


def weigh(source: Readable, problem: Problem, runtime: Runtime, *, write: Write, **given: Any) -> Iterator[Slices]:
    """Yield all slices, in row-major order; `write` gets the weights of boxes, in the order of the file.

    Weights sum to 1 over the entries of a slice that count; they are 0 outside a window and for NaN that is left out,
    NaN in slices without an answer. They have the shape of the boxes, and the problem's precision. The rest, and the
    errors, are those of `engine.reduce`. The source must not be `sequential` if `WEIGHTS` says `must_seek`.
    """
    reducer = _BlockWeigher(problem, runtime)
    stream = ArrayStream(source, problem, reducer, reducer.weights, write, needs=WEIGHTS, **given)
    reducer.share = [] if stream.budget.boxed else ["share"]
    for (slices,) in stream.slices():
        yield slices


WEIGHTS = Needs(arrays=lambda problem: 1)
"""The memory and passes that `weigh` needs."""


class _BlockWeigher(BlockReducer):
    """Reduce blocks, and weigh them: whole slices at once, others when their maximum and mass are known."""

    def weights(self, values: Array, start: Sequence[int], known: State, compiled: bool) -> Derived:
        """Return the weights of a block, in its shape, from the sums of its slices; see `box_reducer.Derive`."""
        problem = self._problem
        x, layout, inputs = self._prepared(["share"], values, start, values.shape, known, problem.precision)
        mass = np.where(known.mass > 0, known.mass, np.nan).astype(problem.precision)
        (found,) = self._run(layout, x, start, [self._beta], [*inputs, mass], compiled)
        return {}, unfold(found["share"], values, problem.axes)
