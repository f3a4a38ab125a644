"""Reduce the values of one block to its state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.fields import needed_sums
from softargmax_cli.reduction.kernel import block_sums
from softargmax_cli.reduction.layout import F8, SHARED, Layout, exact_dtype, piece_length
from softargmax_cli.reduction.problem import FURTHEST, Problem
from softargmax_cli.reduction.state import State

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Function, Runtime

Array = npt.NDArray[Any]

NAN, NEGATIVE = "NaN", "negative weight"
HIGHEST_RANK = 5
"""The most axes that TensorFlow broadcasts."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """Values that are not allowed in a block."""

    name: str
    """`NAN` or `NEGATIVE`."""
    count: int
    first: tuple[int, ...]
    """The index of the first in row-major order, counted within the block."""

    def moved(self, start: Sequence[int]) -> Misfit:
        """Add `start` to the index."""
        return replace(self, first=tuple(a + b for a, b in zip(start, self.first, strict=True)))


class Found(NamedTuple):
    """The state of a block for each of several problems, and its misfits."""

    states: list[State]
    misfits: list[Misfit]
    share: Array | None = None
    """The weights, shaped as the block, if the kernel found them beside the sums."""


class BlockReducer:
    """Reduce blocks of one problem. Called from several threads at once."""

    def __init__(self, problem: Problem, runtime: Runtime) -> None:
        self._problem, self._runtime = problem, runtime
        self._beta = np.asarray(problem.beta or 0, problem.precision)
        needed = needed_sums(problem.fields)
        self._rows = problem.moments
        self._sums = ["mass", "moment"]
        self._sums += ["second_moment"] if any(row.squared for row in self._rows) else []
        self._sums += ["log_moment"] if "log_moment" in needed else []
        self._ties = ["ties"] if "ties" in needed else []
        self._second = ["second"] if "second" in needed else []
        self._slope = ["slope"] if "slope" in needed else []
        self.share: list[str] = []
        """["share"] if the weights of whole slices are wanted beside their sums; else empty."""

    def whole(self, values: Array, problems: Sequence[Problem], *, compiled: bool) -> Found:
        """Reduce a block that holds whole slices.

        values: in any memory order, in which the slices come, too; problems: those to solve, which differ only in β;
        compiled: True if there are many blocks of this shape.
        """
        outputs = ["maximum", "hard", *self._sums, *self._slope, *self._ties, *self._second, *self.share]
        betas = [np.asarray(problem.beta or 0, self._problem.precision) for problem in problems]
        return self._found(values, outputs, self._problem.window, [0] * values.ndim, betas, compiled)

    def part(self, values: Array, start: Sequence[int], *, compiled: bool) -> Found:
        """Reduce a block that holds parts of slices; `hard` is counted within the block.

        start: where the block begins along each of the array's axes.
        """
        sums = self._sums if self._problem.window is None else ["mass"]  # a second pass finds the rest
        outputs = ["maximum", "hard", *sums, *self._ties]
        return self._found(values, outputs, None, start, [self._beta], compiled)

    def about(self, values: Array, block: Block, known: State, *, compiled: bool) -> State:
        """Sum over a block, for all its slices, about a known maximum and its position.

        values: those of `Problem.read_again(block)`; known: the state, with `hard` counted in the whole array.
        """
        problem, outer = self._problem, self._problem.read_again(block)
        windowed = problem.window is not None and not len(known.moment)  # moments come first, slopes in another pass
        outputs = [*self._sums, *self._second] if windowed else ["mass", *self._slope]
        outputs += self._second if problem.window is None else []
        x, layout, inputs = self._prepared(outputs, values, block.start, block.shape, known, problem.precision)
        shape = list(x.shape)
        for axis, k in zip(layout.axes, problem.ascending, strict=True):
            shape[axis] = block.shape[k]
        border = tuple((block.start[k] - outer.start[k], outer.stop[k] - block.stop[k]) for k in problem.ascending)
        layout = replace(layout, shape=tuple(shape), border=border)
        inputs += self.centers(layout, known)
        inputs += self.means(layout, block.start, known) if "slope" in outputs else []
        (found,) = self._run(layout, x, block.start, [self._beta], inputs, compiled)
        return State(known.maximum, known.hard, **{**no_moments(layout), **found})

    def _prepared(
        self,
        outputs: Sequence[str],
        values: Array,
        start: Sequence[int],
        shape: Sequence[int],
        known: State,
        precision: np.dtype[Any],
    ) -> tuple[Array, Layout, list[Array]]:
        """Prepare a block of slices whose maximum and hard are known.

        values: the block, perhaps with a border; start, shape: those of the block without it. Return the values in C
        order, their layout for weights of a `precision`, and as inputs of the kernel the maximum and hard.
        """
        problem = self._problem
        x, axes = collapse(values, problem.axes)
        layout = self._layout(x, axes, outputs, problem.window)
        layout = replace(layout, precision=precision, known=True, careful=needs_care(values, known))
        maximum = known.maximum.astype(exact_dtype(layout.dtype, precision), copy=False)
        return x, layout, [maximum, *near(known.hard, start, shape, problem).astype(precision)]

    def coordinates(self, layout: Layout, start: Sequence[int]) -> list[Array]:
        """Return the coordinates of a block's indices, for each row of moments that is placed."""
        placed = []
        for row in layout.rows:
            if row.placed:
                first = start[self._problem.ascending[row.axis]]
                placed.append(row.along.at(np.arange(first, first + layout.shape[layout.axes[row.axis]])))
        return placed

    def centers(self, layout: Layout, known: State) -> list[Array]:
        """Return the coordinates of `hard`, (s,), for each row of moments that is placed."""
        return [row.along.at(known.hard[row.axis]) for row in layout.rows if row.placed]

    def means(self, layout: Layout, start: Sequence[int], known: State) -> list[Array]:
        """Return for each reduced axis the coordinate of hard and the mean, counted from it; see `Formulas.means`."""
        problem, means = self._problem, list[Array]()
        for k, row in enumerate(layout.rows[: len(layout.axes)]):
            second = None if known.second_moment is None else known.second_moment[k]
            at = row.along.at(known.hard[k]) if row.placed else known.hard[k] - float(start[problem.ascending[k]])
            with np.errstate(divide="ignore", invalid="ignore"):
                means += [at, row.geometry.mean(known.moment[k], second, known.mass, problem.epsilon)]
        return means

    def _found(
        self,
        values: Array,
        outputs: Sequence[str],
        window: int | None,
        start: Sequence[int],
        betas: Sequence[Array],
        compiled: bool,
    ) -> Found:
        """Search a block for its maximum, and reduce it; return its states and misfits."""
        problem = self._problem
        x, axes = collapse(values, problem.axes)
        layout = self._layout(x, axes, [*outputs, *([] if window is None else ["total"])], window)
        layout = replace(layout, betas=len(betas))
        states, total, share = self._states(layout, x, start, betas, compiled)
        if not math.isnan(total.sum()):  # NaN and negative weights would make it NaN
            return Found(states, [], None if share is None else unfold(share, values, problem.axes))
        if problem.kind == "probs" and (negative := values < 0).any():
            return Found(states, [_misfit(NEGATIVE, negative)])
        layout = replace(layout, outputs=(*(name for name in outputs if name != "share"), "nans"), careful=True)
        states, nans, _ = self._states(layout, x, start, betas, compiled)
        spoilt = nans > 0
        if problem.nan == "error" and spoilt.any():
            return Found(states, [_misfit(NAN, np.isnan(values))])
        if problem.nan == "propagate":
            states = [replace(state, mass=np.where(spoilt, np.nan, state.mass)) for state in states]
        return Found(states, [])

    def _layout(self, x: Array, axes: tuple[int, ...], outputs: Sequence[str], window: int | None) -> Layout:
        problem = self._problem
        return Layout(
            x.shape,
            axes,
            x.dtype,
            problem.precision,
            tuple(outputs),
            problem.kind,
            window,
            problem.radius,
            rows=self._rows if {"moment", "slope"} & {*outputs} else (),
            rounds=problem.rounds,
        )

    def _states(
        self, layout: Layout, x: Array, start: Sequence[int], betas: Sequence[Array], compiled: bool
    ) -> tuple[list[State], Array, Array | None]:
        """Return the states of a block; for each slice the number of its NaNs if the layout is careful, else the total
        of its weights; and the share, if it is wanted.
        """
        states, beside, share = [], None, None
        for sums in self._run(layout, x, start, betas, (), compiled):
            total = sums.pop("nans") if layout.careful else sums.pop("total", sums["mass"])
            beside, share = total if beside is None else beside, sums.pop("share", None)
            states.append(State(**{**no_moments(layout), **sums}))
        assert beside is not None
        return states, beside, share

    def _run(
        self,
        layout: Layout,
        x: Array,
        start: Sequence[int],
        betas: Sequence[Array],
        known: Sequence[Array],
        compiled: bool,
    ) -> list[dict[str, Array]]:
        """Run the kernel on a block that begins at `start`; return the parts of a state for each β by their names.

        known: inputs with a number for each slice. If the first axis is kept, the kernel takes pieces of one length,
        the last of which may overlap the one before.
        """
        results, count = [np.empty(*each) for each in layout.results], layout.shape[0]
        length = count
        if self._runtime.device == "CPU":
            length = piece_length(layout.shape, layout.axes, layout.dtype.itemsize)
        layout = replace(layout, shape=(length, *layout.shape[1:]))
        coordinates = self.coordinates(layout, start)
        per_row = math.prod(layout.kept) // max(1, length)  # slices
        function = self._function(layout, coordinates, compiled)
        for first in [*range(0, count - length, max(1, length)), count - length]:
            rows, slices = slice(first, first + length), slice(first * per_row, (first + length) * per_row)
            if length == count:
                rows = slices = slice(None)
            parts = [
                whole[rows if name == "share" else (..., slices)]
                for name, whole in zip(layout.names, results, strict=True)
            ]
            function(x[rows], *betas, *coordinates, *(row[slices] for row in known), into=parts)
        one = dict(zip(layout.outputs, results, strict=False))  # of the first β
        own = [name for name in layout.outputs if name not in SHARED]  # of each further β
        more = [results[k : k + len(own)] for k in range(len(one), len(results), len(own))]
        return [one, *({**one, **dict(zip(own, each, strict=True))} for each in more)]

    def _function(self, layout: Layout, coordinates: Sequence[Array], compiled: bool) -> Function:
        slices = math.prod(layout.kept)
        inputs: list[tuple[tuple[int, ...], np.dtype[Any]]] = [(layout.bordered, layout.dtype)]
        inputs += [((), layout.precision)] * layout.betas
        inputs += [(each.shape, each.dtype) for each in coordinates]
        if layout.known:
            inputs.append(((slices,), exact_dtype(layout.dtype, layout.precision)))
            inputs += [((slices,), layout.precision)] * len(layout.axes) + [((slices,), F8)] * len(coordinates)
            inputs += [((slices,), layout.precision)] if layout.outputs == ("share",) else []
            inputs += [((slices,), F8)] * (2 * len(layout.axes) if "slope" in layout.outputs else 0)
        betas, count = layout.betas, layout.betas + len(coordinates)
        return self._runtime.function(
            lambda ops, x, *more: block_sums(ops, x, more[:betas], layout, more[betas:count], more[count:]),
            inputs,
            compiled=compiled,
            key=layout,
        )


def no_moments(layout: Layout) -> dict[str, Array]:
    """Return empty moments, for a state without any."""
    return {"moment": np.empty((0, math.prod(layout.kept)))}


def near(
    hard: npt.NDArray[np.int64], start: Sequence[int], shape: Sequence[int], problem: Problem
) -> npt.NDArray[np.int64]:
    """Count `hard`, (a, s), from the start of a block along its reduced axes.

    Distances beyond `radius` act alike, so they are clipped to be exact; circular axes need no clipping.
    """
    moved: npt.NDArray[np.int64] = hard.copy()
    for row, axis, whole in zip(moved, problem.ascending, problem.rounds, strict=True):
        row -= start[axis]
        if whole is None:
            margin = min(problem.radius, FURTHEST) + 1
            np.clip(row, -margin, shape[axis] - 1 + margin, out=row)
    return moved


def _misfit(name: str, where: npt.NDArray[np.bool_]) -> Misfit:
    indices = np.argwhere(where)
    return Misfit(name, len(indices), tuple(map(int, indices[0])))


def needs_care(values: Array, known: State) -> bool:
    """Tell whether a block needs a careful layout: it holds NaN, or a slice has an infinite maximum."""
    if known.maximum.dtype.kind == "f" and not np.isfinite(known.maximum).all():
        return True
    with np.errstate(invalid="ignore"):
        return values.dtype.kind == "f" and math.isnan(values.min())


def collapse(values: Array, axes: Sequence[int]) -> tuple[Array, tuple[int, ...]]:
    """Put values into C order with neighbouring kept axes joined; return them, and the numbers of their reduced axes.

    Copies only if the memory has gaps, or if there would be more axes than TensorFlow takes. Kept axes come in the
    order of the memory; the numbers of the reduced axes come in that of the array, in which positions are compared.
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
    """Shape an array like `values`, after `collapse` has shaped it."""
    memory = _order(values, axes)
    whole: Array = part.reshape([values.shape[k] for k in memory]).transpose(np.argsort(memory))
    return whole


def _order(values: Array, axes: Sequence[int]) -> list[int]:
    """Return the axes as `collapse` orders them: from the slowest to the fastest in memory if TensorFlow takes that."""
    memory = list(range(values.ndim))
    if values.flags.f_contiguous and not values.flags.c_contiguous:
        memory.reverse()
    if len(axes) + sum(1 for kept, _ in groupby(k not in axes for k in memory) if kept) > HIGHEST_RANK:
        memory = [k for k in memory if k not in axes] + [k for k in memory if k in axes]
    return memory
