"""From the values of one block to its state."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.kernel import Layout, block_sums
from softargmax_cli.reduction.spec import Problem
from softargmax_cli.reduction.state import State

if TYPE_CHECKING:
    from softargmax_cli.runtime.base import Function, Runtime

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class NansFound:
    """NaNs in a block where there may be none."""

    count: int
    first: tuple[int, ...]
    """Of the first in row-major order, counted within the block."""


class BlockReducer:
    """Reduces blocks of one problem. Called from several threads at once."""

    def __init__(self, problem: Problem, runtime: Runtime) -> None:
        self._problem, self._runtime = problem, runtime
        self._beta = np.asarray(problem.beta, problem.precision)

    def __call__(self, values: Array, *, compiled: bool) -> tuple[State, NansFound | None]:
        """The state of a block, `hard` counted within it, slices in the memory order of `values`.

        values: in any memory order. `compiled`: whether blocks of this shape are many.
        """
        x, axes = collapse(values, self._problem.axes)
        fields = self._problem.fields
        layout = Layout(
            x.shape,
            axes,
            x.dtype,
            self._problem.precision,
            second_moment="spread" in fields,
            log_moment="entropy" in fields,
            ties="ties" in fields,
        )
        state, _ = self._run(layout, x, compiled)
        if x.dtype.kind != "f" or not math.isnan(state.mass.sum()):
            return state, None
        state, nans = self._run(replace(layout, careful=True), x, compiled)
        spoilt = nans > 0
        if not spoilt.any() or self._problem.nan == "omit":
            return state, None
        if self._problem.nan == "propagate":
            return replace(state, mass=np.where(spoilt, np.nan, state.mass)), None
        where = np.argwhere(np.isnan(values))
        return state, NansFound(len(where), tuple(map(int, where[0])))

    def _run(self, layout: Layout, x: Array, compiled: bool) -> tuple[State, Array]:
        maximum, hard, *sums = self._function(layout, compiled)(x, self._beta)
        mass, moment, *rest = (part.astype(np.float64, copy=False) for part in sums)
        second, log, ties, nans = (
            rest.pop(0) if wanted else None
            for wanted in (layout.second_moment, layout.log_moment, layout.ties, layout.careful)
        )
        state = State(maximum, hard.astype(np.int64), mass, moment, second, log, ties)
        return state, np.zeros(0) if nans is None else nans

    def _function(self, layout: Layout, compiled: bool) -> Function:
        return self._runtime.function(
            lambda ops, x, beta: block_sums(ops, x, beta, layout),
            [(layout.shape, layout.dtype), ((), layout.precision)],
            compiled=compiled,
            key=layout,
        )


def collapse(values: Array, axes: tuple[int, ...]) -> tuple[Array, tuple[int, ...]]:
    """The same values in C order with neighbouring kept axes made one, and the reduced axes of that.

    Copies only where the memory has gaps. Kept axes come in the order of the memory.
    """
    memory = memory_order(values)
    values = np.ascontiguousarray(values.transpose(memory))
    shape: list[int] = []
    reduced: list[int] = []
    for kept, group in groupby(range(values.ndim), key=lambda k: memory[k] not in axes):
        lengths = [values.shape[k] for k in group]
        if not kept:
            reduced += range(len(shape), len(shape) + len(lengths))
            shape += lengths
        elif (length := int(np.prod(lengths))) != 1:
            shape.append(length)
    return values.reshape(shape), tuple(reduced)


def memory_order(values: Array) -> list[int]:
    """The axes of an array from the slowest to the fastest in memory: C order unless it is Fortran-ordered."""
    axes = list(range(values.ndim))
    return axes[::-1] if values.flags.f_contiguous and not values.flags.c_contiguous else axes


def padded(values: Array, axes: tuple[int, ...]) -> Array:
    """A block of a table, (rows, columns), with rows added that change no other slice and no maximum.

    Tables come in blocks of all lengths; so padded, they have few, and each is compiled but once.
    """
    rows, columns = values.shape
    step = 1 << max(8, (rows - 1).bit_length() - 3)
    roomy: Array = np.empty((columns, -(-rows // step) * step), values.dtype)
    roomy[:, :rows] = values.T
    roomy[:, rows:] = -np.inf if axes == (0,) else 0
    return np.transpose(roomy)
