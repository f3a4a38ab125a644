"""From the values of one block to its state for several β at once.

What does not depend on β is found once: the maximum, where it is, and how far each score lies below it. Weights under
every β are then made of a stretch of many slices, and summed while the cache holds them. Most weights are nothing where
β is large, so that few scores of a slice are left to be weighed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.kernel import block_gaps, weighed
from softargmax_cli.reduction.layout import F4, F8, Layout, Measure, exact_dtype
from softargmax_cli.reduction.mapping import Misfit, collapse, judged
from softargmax_cli.reduction.spec import FURTHEST, Problem
from softargmax_cli.reduction.state import State
from softargmax_cli.reduction.stretches import Stretches, longest_of, picked, stretches

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Function, Runtime

Array = npt.NDArray[Any]
Float = npt.NDArray[np.float64]

CHUNK = 1 << 20
"""Bytes of the weights of all β that are computed together: they stay in the cache until they are summed."""
LANES = 16
"""Stretches that the widest registers hold: programs for multiples of them are the quickest."""
FEW = 32
"""Scores of a slice that are so few that their distances from the maximum need no tiles: each is far from the mean,
in units of the spread, only as far as the square root of their number."""
SELDOM = 2
"""How often stretches so short are weighed without compiling for them: what is picked is not always as long."""
ROOM = 3
"""How many times more scores a slice has than are picked out of it, or it would not be worth it."""
SAMPLE = 128
"""Slices that are looked at first."""
NOTHING = {F4: 20.0, F8: 40.0}
"""The negative logarithm of a weight, times the third power of a slice's length, that no sum can show."""
LEFT_OUT = 1e-6
"""How large all that is left out may be, as a part of the offset that must be told from none."""
ROWS = 1 << 20
"""How long a slice is taken to be where only the end of a table tells."""


def finest_of(problem: Problem) -> float:
    """The smallest offset, in coordinate units, that sums of weights tell from none; those below all are flushed."""
    longest = math.prod(problem.shape[axis] or ROWS for axis in problem.axes)
    return float(np.finfo(_precision(problem)).tiny) / LEFT_OUT * _together(problem, longest)


def _precision(problem: Problem) -> np.dtype[Any]:
    # Values may lie however far apart, so that no narrower sum would hold the bound.
    return problem.precision if problem.values is None else F8


def _together(problem: Problem, longest: int) -> float:
    """How far all of so many scores may pull soft together, where each has a weight of 1, in coordinate units."""
    if problem.values is not None:
        return longest * (max(float(np.ptp(places)) for places in problem.values) or 1.0)
    return longest * float(longest if problem.coords == "index" else 2)


class BetaReducer:
    """Reduces blocks of one problem for several β, in ascending order. Called from several threads at once.

    Its states have a β more for each slice: maximum (1, s), hard (a, 1, s), mass (b, s), moments (a, b, s), and merge
    with `betas` (b, 1). With `full`, a second half of the b holds the sums of squared weights, as those at 2β; where
    slices are whole, the second moment alone has that, about soft instead of `hard`, and nothing is left to merge.
    finest: the smallest offset, in coordinate units, that must be told from none.
    """

    def __init__(
        self, problem: Problem, betas: Sequence[float], runtime: Runtime, *, full: bool, finest: float = math.inf
    ) -> None:
        self._problem, self._runtime, self._full, self._finest = problem, runtime, full, finest
        self.swept: Float = np.array(betas, np.float64)
        self.betas: Float = np.concatenate([self.swept, 2 * self.swept] if full else [self.swept])[:, None]
        self._precision = _precision(problem)
        self._uses: Counter[object] = Counter()
        self.careful = False
        """Whether NaN, infinities or slices of nothing but −inf have been found so far."""

    def whole(self, values: Array, *, compiled: bool) -> tuple[State, Misfit | None]:
        """The state of a block that holds whole slices, which come in the memory order of `values`."""
        return self._found(values, [0] * values.ndim, self._problem.window, compiled, summed=True, whole=True)

    def part(self, values: Array, start: Sequence[int], *, compiled: bool) -> tuple[State, Misfit | None]:
        """The state of a block that holds parts of slices, `hard` counted within it.

        start: of the block, along each of the array's axes. Without sums where a second pass must make them.
        """
        return self._found(values, start, None, compiled, summed=self._problem.window is None, whole=False)

    def about(self, values: Array, start: Sequence[int], known: State, *, careful: bool, compiled: bool) -> State:
        """The sums over a block about a maximum and its place that are known, as those of the block's slices.

        known: `hard` counted in the whole array. careful: whether NaN or infinities were found.
        """
        problem = self._problem
        x, axes = collapse(values, problem.axes)
        hard = known.hard[:, 0] - np.array([start[axis] for axis in problem.ascending])[:, None]
        margin = min(problem.radius, FURTHEST) + 1  # further away, all is as far
        lengths = np.array([values.shape[axis] for axis in problem.ascending])[:, None]
        near = np.clip(hard, -margin, lengths - 1 + margin).astype(problem.precision)
        layout = self._layout(x, axes, ("gap",), problem.window, known=True, careful=careful)
        (gap,) = self._run(layout, x, [known.maximum[0], *near], compiled)
        place = None if known.place is None else known.place[:, 0]
        sums = self._sums(layout, gap, hard, start, place, compiled, whole=False)
        return State(known.maximum, known.hard, **sums, place=known.place)

    def _found(
        self, values: Array, start: Sequence[int], window: int | None, compiled: bool, *, summed: bool, whole: bool
    ) -> tuple[State, Misfit | None]:
        """The state of a block that is searched for the maximum, and what may not be in it."""
        x, axes = collapse(values, self._problem.axes)
        gaps = ["gap"] if summed else []
        layout = self._layout(x, axes, ("maximum", "hard", "doubt", *gaps), window)
        maximum, hard, doubt, *gap = self._run(layout, x, (), compiled)
        spoilt, misfit = None, None
        if math.isnan(doubt.sum()):
            self.careful = True
            layout = replace(layout, outputs=("maximum", "hard", "nans", *gaps), careful=True)
            maximum, hard, nans, *gap = self._run(layout, x, (), compiled)
            spoilt, misfit = judged(nans > 0, values, self._problem.nan)
        hard = hard.astype(np.int64)
        state = State(maximum[None], hard[:, None], np.zeros((1, len(maximum))), np.zeros((len(hard), 1, len(maximum))))
        if summed:
            place = self._place(hard, start)
            sums = self._sums(layout, gap[0], hard, start, place, compiled, whole=whole)
            state = State(state.maximum, state.hard, **sums, place=None if place is None else place[:, None])
        if spoilt is not None:
            state = replace(state, mass=np.where(spoilt, np.nan, state.mass))
        return state, misfit

    def _place(self, hard: Array, start: Sequence[int]) -> Float | None:
        """(a, s): the value at `hard`, where coordinates are values."""
        if self._problem.values is None:
            return None
        pairs = zip(self._problem.places, self._problem.ascending, hard, strict=True)
        return np.array([places[np.minimum(at + start[axis], len(places) - 1)] for places, axis, at in pairs])

    def _layout(
        self, x: Array, axes: tuple[int, ...], outputs: tuple[str, ...], window: int | None, **more: bool
    ) -> Layout:
        problem = self._problem
        return Layout(x.shape, axes, x.dtype, problem.precision, outputs, problem.kind, window, problem.radius, **more)

    def _run(self, layout: Layout, x: Array, known: Sequence[Array], compiled: bool) -> list[Array]:
        inputs: list[tuple[tuple[int, ...], np.dtype[Any]]] = [(layout.shape, layout.dtype)]
        if layout.known:
            inputs.append((known[0].shape, exact_dtype(layout.dtype, layout.precision)))
            inputs += [(row.shape, layout.precision) for row in known[1:]]
        return self._runtime.function(
            lambda ops, x, *known: block_gaps(ops, x, layout, known), inputs, compiled=compiled, key=(layout, "gaps")
        )(x, *known)

    def _sums(
        self,
        layout: Layout,
        gap: Array,
        hard: Array,
        start: Sequence[int],
        place: Float | None,
        compiled: bool,
        *,
        whole: bool,
    ) -> dict[str, Float]:
        """The sums of a state. gap: as the block lies; hard, place: (a, s), `hard` counted within the block.

        whole: whether it holds whole slices.
        """
        a = len(layout.axes)
        gap = np.moveaxis(gap, layout.axes, range(a))
        lengths = gap.shape[:a]
        gap = np.ascontiguousarray(gap, self._precision).reshape(*lengths, -1)
        places = [
            values[start[axis] : start[axis] + length]
            for values, axis, length in zip(self._problem.places, self._problem.ascending, lengths, strict=False)
        ]
        few, heavy, counts = self._sparse_from(gap.reshape(math.prod(lengths), -1))
        made = [(stretches(gap, hard, places, place), self.swept[:few])] if few else []
        if few < len(self.swept):
            made.append((picked(gap, heavy, counts, hard, places, place), self.swept[few:]))
        whole = whole and math.prod(lengths) <= longest_of(self._precision)  # whatever the scores: states must be alike
        sums = [self._weighed(part, betas, compiled, whole=whole) for part, betas in made]
        named: dict[str, list[Float]] = {}
        for half in zip(*sums, strict=True):
            for part in half:
                for name, values in part.items():
                    named.setdefault(name, []).append(values)
        return {name: np.concatenate(parts, axis=-2) if len(parts) > 1 else parts[0] for name, parts in named.items()}

    def _sparse_from(self, gap: Array) -> tuple[int, Array, Array]:
        """The first β from which on few of (n, s) have any weight in each slice; which these are; how many, (s,)."""
        n, s = gap.shape
        room = min(FEW, n // ROOM)
        reach = self._reach(math.prod(self._problem.shape[axis] or n for axis in self._problem.axes))

        def weighing(scores: Array, k: int) -> tuple[Array, Array, bool]:
            heavy = scores > -reach / self.swept[k]
            counts = heavy.sum(axis=0, dtype=np.min_scalar_type(n))  # narrow numbers are added quickest
            return heavy, counts, bool(counts.max(initial=0) <= room)

        low, high, sample = 0 if room else len(self.swept), len(self.swept), gap[:, :: max(1, s // SAMPLE)]
        while low < high:  # what a sample says is nearly right
            middle = (low + high) // 2
            low, high = (low, middle) if weighing(sample, middle)[2] else (middle + 1, high)
        for k in range(low, len(self.swept)):
            heavy, counts, fits = weighing(gap, k)
            if fits:
                return k, heavy, counts.astype(np.intp)
        return len(self.swept), gap[:0], gap[:0]

    def _reach(self, longest: int) -> float:
        """The negative logarithm of the largest weight that need not be summed in slices of so many scores."""
        usual = NOTHING[self._precision] + 3 * math.log(longest)
        return max(usual, math.log(_together(self._problem, longest)) - math.log(LEFT_OUT) - math.log(self._finest))

    def _weighed(self, these: Stretches, betas: Float, compiled: bool, *, whole: bool) -> tuple[dict[str, Float], ...]:
        """The sums of slices under each β, mass (b, s), moments (a, b, s); where wanted, those of squared weights, too.

        whole: whether slices are; of squared weights there is then the second moment about soft alone.
        """
        n, total = these.gap.shape
        dtype, b = self._precision, len(betas)
        columns: list[tuple[Array, Array | None]] = [
            (inner.astype(dtype), center.astype(dtype))
            for inner, center in zip(these.inner, these.center, strict=True)
            if inner is not None
        ]
        columns += [(distances, None) for distances in these.values]
        spreads = (len(these.values) or len(columns)) if self._full else 0
        measure = Measure(spreads, whole)
        size = min(total, max(LANES, CHUNK // (b * n * dtype.itemsize) // LANES * LANES))
        function = self._function((n, size), b, [position.shape[1] > 1 for position, _ in columns], measure, compiled)
        # What is never merged needs no more digits than it has.
        sums = np.empty((1 + len(columns) + measure.sums, b, total), dtype if whole else F8)
        scaled = betas.astype(dtype)
        for start in range(0, total, size):
            part = slice(min(start, total - size), min(start, total - size) + size)  # the last overlaps
            inputs = [these.gap[:, part]]
            for position, origin in columns:
                inputs.append(position[:, part] if position.shape[1] > 1 else position)
                inputs += [] if origin is None else [origin[part]]
            (sums[:, :, part],) = function(scaled, *map(np.ascontiguousarray, inputs))
        return self._joined(sums, these, measure)

    def _joined(self, sums: Float, these: Stretches, measure: Measure) -> tuple[dict[str, Float], ...]:
        """The sums over stretches, each (b, s · t), added up about `hard`."""
        s, t = these.shift.shape[1:]
        rest = iter(sums.reshape(*sums.shape[:2], s, t))
        nothing = np.zeros((sums.shape[1], s, t))
        along, values = [inner is not None for inner in these.inner], [True] * len(these.values)

        def taken(present: Sequence[bool]) -> list[Float]:
            return [next(rest) if one else nothing for one in present]

        measured = (values or along) if measure.spreads else []
        halves = [self._moved(next(rest), taken(along), taken(values), taken(measured), these.shift)]
        if measure.whole and measured:
            halves.append({"second_moment": np.array(taken(measured))[..., 0]})
        elif measured:
            square, first, second = next(rest), taken(measured), taken(measured)
            moments, of_values = ([nothing] * len(along), first) if values else (first, [])
            halves.append(self._moved(square, moments, of_values, second, these.shift))
        return tuple(halves)

    def _moved(
        self, mass: Float, first: list[Float], values: list[Float], second: list[Float], shift: Float
    ) -> dict[str, Float]:
        """Sums over stretches, each (b, s, t), as sums about `hard`: `shift` (a, s, t) is how far each was away."""
        if shift.shape[2] > 1 or shift.any():
            if not values:
                moved = zip(second, first, shift, strict=False)
                second = [square + by * (2 * moment + by * mass) for square, moment, by in moved]
            first = [moment + by * mass for moment, by in zip(first, shift, strict=True)]

        def whole(parts: Sequence[Float]) -> Float:
            return np.array([part.sum(axis=-1) if part.shape[-1] > 1 else part[..., 0] for part in parts])

        named = {"mass": whole([mass])[0], "moment": whole(first)}
        named.update({"value_moment": whole(values)} if values else {})
        named.update({"second_moment": whole(second)} if second else {})
        return named

    def _function(
        self, shape: tuple[int, int], betas: int, columns: Sequence[bool], measure: Measure, compiled: bool
    ) -> Function:
        """columns: for each whether its positions differ from stretch to stretch."""
        places = len(columns) - (0 if self._problem.values is None else len(self._problem.axes))
        key = (shape, betas, tuple(columns), measure, self._precision, "weighed")
        if compiled:
            self._uses[key] += 1
        (n, r), dtype = shape, self._precision
        inputs: list[tuple[tuple[int, ...], np.dtype[Any]]] = [((betas,), dtype), ((n, r), dtype)]
        for k, apart in enumerate(columns):
            inputs.append(((n, r if apart else 1), dtype))
            inputs += [((r,), dtype)] if k < places else []

        def body(ops: Any, betas: Any, gap: Any, *given: Any) -> list[Any]:
            pairs = [*zip(given[: 2 * places : 2], given[1 : 2 * places : 2], strict=True)]
            columns = [*pairs, *((one, None) for one in given[2 * places :])]
            return [ops.Pack(values=weighed(ops, gap, betas, columns, dtype, measure), axis=0)]  # a handle costs time

        return self._runtime.function(
            body, inputs, compiled=self._uses[key] > (SELDOM if shape[0] <= FEW else 0), key=key
        )
