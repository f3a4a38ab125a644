"""Reduce the values of one block to its state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.blocks import Block, step_of
from softargmax_cli.reduction.fields import needed_sums
from softargmax_cli.reduction.formulas import Layout, exact_dtype
from softargmax_cli.reduction.kernel import block_sums
from softargmax_cli.reduction.problem import FURTHEST, NanPolicy, Problem
from softargmax_cli.reduction.state import State

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Function, Runtime

Array = npt.NDArray[Any]

NAN, NEGATIVE = "NaN", "negative weight"
HIGHEST_RANK = 5
"""The most axes that TensorFlow broadcasts."""
ADDED = 1 << 16
"""Entries that a block of a table may be padded by, or an eighth where that is more."""
PARTS = ("maximum", "hard", "mass", "moment")
"""The parts that every state has."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """Values that a block must not hold."""

    name: str
    """`NAN` or `NEGATIVE`."""
    count: int
    first: tuple[int, ...]
    """The index of the first in row-major order, counted within the block."""


class Reducer(Protocol):
    """A reducer as the engine sees it: see `BlockReducer`."""

    @property
    def betas(self) -> float | npt.NDArray[np.float64] | None: ...
    def whole(self, values: Array, *, compiled: bool) -> tuple[State, Misfit | None]: ...
    def part(self, values: Array, start: Sequence[int], *, compiled: bool) -> tuple[State, Misfit | None]: ...
    def about(self, values: Array, block: Block, known: State, *, compiled: bool) -> State: ...


class BlockReducer:
    """Reduce blocks of one problem. Called from several threads at once."""

    def __init__(self, problem: Problem, runtime: Runtime) -> None:
        self._problem, self._runtime = problem, runtime
        self._beta = np.asarray(problem.beta or 0, problem.precision)
        needed = needed_sums(problem.fields)
        self._sums = ["mass", "moment"]
        if problem.values is not None:
            self._sums += ["value_moment", "value_second"] if "second_moment" in needed else ["value_moment"]
        elif "second_moment" in needed:
            self._sums.append("second_moment")
        self._sums += ["log_moment"] if "log_moment" in needed else []
        self._ties = ["ties"] if "ties" in needed else []
        self._second = ["second"] if "second" in needed else []

    @property
    def betas(self) -> float | None:
        """The β by which its states merge; None for weights."""
        return self._problem.beta

    def whole(self, values: Array, *, compiled: bool) -> tuple[State, Misfit | None]:
        """Reduce a block that holds whole slices, which come in the memory order of `values`.

        values: in any memory order. `compiled`: whether blocks of this shape are many.
        """
        outputs = ["maximum", "hard", *self._sums, *self._ties, *self._second]
        return self._found(values, outputs, self._problem.window, self._problem.places, compiled)

    def part(self, values: Array, start: Sequence[int], *, compiled: bool) -> tuple[State, Misfit | None]:
        """Reduce a block that holds parts of slices, `hard` counted within it.

        start: of the block, along each of the array's axes.
        """
        if self._problem.window is not None:  # what a second pass needs
            return self._found(values, [*PARTS, *self._ties], None, (), compiled)
        outputs = ["maximum", "hard", *self._sums, *self._ties]
        return self._found(values, outputs, None, self._places(values.shape, start), compiled)

    def about(self, values: Array, block: Block, known: State, *, compiled: bool) -> State:
        """Sum over a block about a maximum and its place that are known, for all of the block's slices.

        values: those of `Problem.read_again(block)`; known: `hard` counted in the whole array.
        """
        problem, outer = self._problem, self._problem.read_again(block)
        x, axes = collapse(values, problem.axes)
        border = tuple((block.start[k] - outer.start[k], outer.stop[k] - block.stop[k]) for k in problem.ascending)
        margin = min(problem.radius, FURTHEST) + 1  # further away, all is as far
        lengths = np.array([block.shape[axis] for axis in problem.ascending])[:, None]
        hard = known.hard - np.array([block.start[axis] for axis in problem.ascending])[:, None]
        hard = np.clip(hard, -margin, lengths - 1 + margin).astype(problem.precision)
        sums, inputs = ["mass", "moment"], [known.maximum, *hard]
        if problem.window is not None:
            sums = self._sums
            inputs += [] if known.place is None else [*known.place]
        shape = list(x.shape)
        for axis, length in zip(axes, lengths[:, 0].tolist(), strict=True):
            shape[axis] = length
        layout = replace(
            self._layout(x, axes, [*sums, *self._second], problem.window),
            shape=tuple(shape),
            border=border,
            known=True,
            careful=needs_care(values, known),
        )
        places = self._places(block.shape, block.start)
        return State(known.maximum, known.hard, **self._run(layout, x, places, inputs, compiled))

    def _places(self, shape: Sequence[int], start: Sequence[int]) -> Sequence[Array]:
        """Return the coordinates of a block's indices along each reduced axis, where coordinates are values."""
        pairs = zip(self._problem.places, self._problem.ascending, strict=False)
        return [places[start[axis] : start[axis] + shape[axis]] for places, axis in pairs]

    def _found(
        self, values: Array, outputs: Sequence[str], window: int | None, places: Sequence[Array], compiled: bool
    ) -> tuple[State, Misfit | None]:
        """Search a block for its maximum and reduce it; return its state, and values that must not be there."""
        problem = self._problem
        x, axes = collapse(values, problem.axes)
        layout = self._layout(x, axes, [*outputs, *([] if window is None else ["total"])], window)
        state, total = self._state(layout, x, places, compiled)
        if not math.isnan(total.sum()):
            return state, None
        if problem.kind == "probs" and (negative := values < 0).any():
            return state, _misfit(NEGATIVE, negative)
        layout = replace(layout, outputs=(*outputs, "nans"), careful=True)
        state, nans = self._state(layout, x, places, compiled)
        spoilt, misfit = judged(nans > 0, values, problem.nan)
        return state if spoilt is None else replace(state, mass=np.where(spoilt, np.nan, state.mass)), misfit

    def _layout(self, x: Array, axes: tuple[int, ...], outputs: Sequence[str], window: int | None) -> Layout:
        problem = self._problem
        return Layout(x.shape, axes, x.dtype, problem.precision, tuple(outputs), problem.kind, window, problem.radius)

    def _state(self, layout: Layout, x: Array, places: Sequence[Array], compiled: bool) -> tuple[State, Array]:
        """Return the state of a block, and for each slice its NaNs, or without care the mass of all its weights."""
        sums = self._run(layout, x, places, (), compiled)
        beside = sums.pop("nans") if layout.careful else sums.pop("total", sums["mass"])
        state = State(sums.pop("maximum"), sums.pop("hard").astype(np.int64), **sums)
        return state.placed(places) if state.value_moment is not None else state, beside

    def _run(
        self, layout: Layout, x: Array, places: Sequence[Array], known: Sequence[Array], compiled: bool
    ) -> dict[str, Array]:
        """Run the kernel, and name its results as a state does."""
        places = places if "value_moment" in layout.outputs else ()
        results = self._function(layout, len(places), compiled)(x, self._beta, *places, *known)
        sums = {
            name: part if name in ("maximum", "hard") else part.astype(np.float64, copy=False)
            for name, part in zip(layout.outputs, results, strict=True)
        }
        if "value_second" in sums:
            sums["second_moment"] = sums.pop("value_second")
        return sums

    def _function(self, layout: Layout, places: int, compiled: bool) -> Function:
        lengths = [layout.shape[axis] for axis in layout.axes]
        slices = math.prod(layout.shape) // math.prod(lengths)
        inputs: list[tuple[tuple[int, ...], np.dtype[Any]]] = [(layout.bordered, layout.dtype), ((), layout.precision)]
        wide = np.dtype("float64")
        inputs += [((length,), wide) for length in lengths[:places]]
        if layout.known:
            inputs.append(((slices,), exact_dtype(layout.dtype, layout.precision)))
            inputs += [((slices,), layout.precision)] * len(lengths) + [((slices,), wide)] * places
        return self._runtime.function(
            lambda ops, x, beta, *more: block_sums(ops, x, beta, layout, more[:places], more[places:]),
            inputs,
            compiled=compiled,
            key=layout,
        )


def judged(spoilt: Array, values: Array, policy: NanPolicy) -> tuple[Array | None, Misfit | None]:
    """Judge NaNs by the policy: the slices without an answer for them, (s,), and the values that must not be there.

    spoilt: the slices that hold NaN.
    """
    if not spoilt.any() or policy == "omit":
        return None, None
    return (spoilt, None) if policy == "propagate" else (None, _misfit(NAN, np.isnan(values)))


def _misfit(name: str, where: npt.NDArray[np.bool_]) -> Misfit:
    places = np.argwhere(where)
    return Misfit(name, len(places), tuple(map(int, places[0])))


def needs_care(values: Array, known: State) -> bool:
    """Tell whether only a careful layout takes a block: beside NaN, or an infinite maximum of its slices."""
    infinite = known.maximum.dtype.kind == "f" and not np.isfinite(known.maximum).all()
    return infinite or (values.dtype.kind == "f" and bool(np.isnan(values).any()))


def collapse(values: Array, axes: Sequence[int]) -> tuple[Array, tuple[int, ...]]:
    """Put values into C order with neighbouring kept axes made one; return them, and where their reduced axes are.

    Copies only where the memory has gaps, or where reduced axes far apart make more axes than TensorFlow takes. Kept
    axes come in the order of the memory; the reduced axes are named in the order of the array, by which positions are
    compared.
    """
    memory = _order(values, axes)
    values = np.ascontiguousarray(values.transpose(memory))
    shape: list[int] = []
    place: dict[int, int] = {}
    for kept, group in groupby(range(values.ndim), key=lambda k: memory[k] not in axes):
        members = list(group)
        lengths = [values.shape[k] for k in members]
        if not kept:
            place.update({memory[k]: len(shape) + number for number, k in enumerate(members)})
            shape += lengths
        elif (length := math.prod(lengths)) != 1:
            shape.append(length)
    return values.reshape(shape), tuple(place[axis] for axis in sorted(place))


def unfold(part: Array, values: Array, axes: Sequence[int]) -> Array:
    """Put an array that is shaped as `collapse` shapes `values` into the shape of these."""
    memory = _order(values, axes)
    whole: Array = part.reshape([values.shape[k] for k in memory]).transpose(np.argsort(memory))
    return whole


def _order(values: Array, axes: Sequence[int]) -> list[int]:
    """Return the axes in the order in which `collapse` puts them."""
    memory = memory_order(values)
    if len(axes) + sum(1 for kept, _ in groupby(k not in axes for k in memory) if kept) > HIGHEST_RANK:
        memory = [k for k in memory if k not in axes] + [k for k in memory if k in axes]
    return memory


def memory_order(values: Array) -> list[int]:
    """Return the axes from the slowest to the fastest in memory: C order unless the array is Fortran-ordered."""
    axes = list(range(values.ndim))
    return axes[::-1] if values.flags.f_contiguous and not values.flags.c_contiguous else axes


def padded(values: Array, problem: Problem) -> Array:
    """Add rows to a block of a table, (rows, columns), that change no other slice and no maximum.

    Tables come in blocks of all lengths; so padded, they have few, and each is compiled but once.
    """
    rows, columns = values.shape
    step = step_of(rows, min(8, max(0, (ADDED // columns).bit_length() - 1)))
    if rows % step == 0 and values.flags.f_contiguous:
        return values
    roomy: Array = np.empty((columns, -(-rows // step) * step), values.dtype)
    roomy[:, :rows] = values.T
    absent = {"scores": -np.inf, "cost": np.inf, "probs": 0.0}[problem.kind]
    roomy[:, rows:] = absent if 0 in problem.axes else 0
    return np.transpose(roomy)


def located(found: State, problem: Problem) -> State:
    """Add to the state of a first pass what a second one needs: the value at `hard`, where a window is of values."""
    return found.placed(problem.places) if problem.window is not None and problem.values is not None else found
