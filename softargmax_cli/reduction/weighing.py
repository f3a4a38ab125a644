"""From the values of one block to its state for several β at once.

What does not depend on β is found once: the maximum, where it is, and how far each score lies below it. Then a product
of matrices for each stretch of a slice, its weights under every β times the powers of a distance, gives all sums.
Most weights are nothing where β is large, so that few scores of a slice are left to be weighed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.buffer import Buffer
from softargmax_cli.reduction.formulas import TILE
from softargmax_cli.reduction.kernel import block_gaps, weighed
from softargmax_cli.reduction.layout import F4, F8, Layout, exact_dtype
from softargmax_cli.reduction.mapping import Misfit, collapse, judged
from softargmax_cli.reduction.spec import FURTHEST, Problem
from softargmax_cli.reduction.state import State

if TYPE_CHECKING:
    from softargmax_cli.runtime.base import Function, Runtime

Array = npt.NDArray[Any]
Float = npt.NDArray[np.float64]

STRETCH = 4096
"""Positions that are weighed together in double precision, whose sums need no shorter ones."""
CHUNK = 1 << 20
"""Bytes of the weights of all β that are computed together: they stay in the cache until they are summed."""
FEW = 32
"""Scores of a slice that are so few that their distances from the maximum need no tiles: each is far from the mean,
in units of the spread, only as far as the square root of their number."""
ROOM = 3
"""How many times more scores a slice has than are picked out of it, or it would not be worth it."""
NOTHING = {F4: 40.0, F8: 60.0}
"""The negative logarithm of a weight, times the square of a slice's length, that no sum can show."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Stretches of slices: `s` slices of `t` stretches of `n` scores, reduced over `a` axes."""

    gap: Array
    """(s · t, n)"""
    inner: Sequence[Array | None]
    """For each axis, (1 or s · t, n): positions within a stretch; None where all of it lies at one."""
    center: Array
    """(a, s · t): the point of a stretch nearest to `hard`, about which is summed, counted as `inner` is."""
    shift: Float
    """(a, s, t): how far that is from `hard`."""
    values: Sequence[Array]
    """For each axis, (1 or s · t, n): distances of values from that at `hard`, where coordinates are values."""


class BetaReducer:
    """Reduces blocks of one problem for several β, in ascending order. Called from several threads at once.

    Its states have a β more for each slice: maximum (1, s), hard (a, 1, s), mass (b, s), moments (a, b, s), and merge
    with `betas` (b, 1). With `full`, a second half of the b holds the sums of squared weights, as those at 2β.
    """

    def __init__(self, problem: Problem, betas: Sequence[float], runtime: Runtime, *, full: bool) -> None:
        self._problem, self._runtime, self._full = problem, runtime, full
        self._betas = np.array(betas, np.float64)
        self.betas: Float = np.concatenate([self._betas, 2 * self._betas] if full else [self._betas])[:, None]
        # Values may lie however far apart, so that no narrower sum would hold the bound.
        self._precision = problem.precision if problem.values is None else F8
        self._compiled: set[object] = set()
        self.careful = False
        """Whether NaN, infinities or slices of nothing but −inf have been found so far."""

    def whole(self, values: Array, *, compiled: bool) -> tuple[State, Misfit | None]:
        """The state of a block that holds whole slices, which come in the memory order of `values`."""
        return self._found(values, [0] * values.ndim, self._problem.window, compiled, summed=True)

    def part(self, values: Array, start: Sequence[int], *, compiled: bool) -> tuple[State, Misfit | None]:
        """The state of a block that holds parts of slices, `hard` counted within it.

        start: of the block, along each of the array's axes. Without sums where a second pass must make them.
        """
        return self._found(values, start, None, compiled, summed=self._problem.window is None)

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
        return State(
            known.maximum, known.hard, **self._sums(layout, gap, hard, start, place, compiled), place=known.place
        )

    def _found(
        self, values: Array, start: Sequence[int], window: int | None, compiled: bool, *, summed: bool
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
            sums = self._sums(layout, gap[0], hard, start, place, compiled)
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
        self, layout: Layout, gap: Array, hard: Array, start: Sequence[int], place: Float | None, compiled: bool
    ) -> dict[str, Float]:
        """The sums of a state. gap: as the block lies; hard, place: (a, s), `hard` counted within the block."""
        last = range(gap.ndim - len(layout.axes), gap.ndim)
        rows = np.moveaxis(gap, layout.axes, last)
        lengths = rows.shape[gap.ndim - len(layout.axes) :]
        rows = np.ascontiguousarray(rows, self._precision).reshape(-1, *lengths)
        places = [
            values[start[axis] : start[axis] + length]
            for values, axis, length in zip(self._problem.places, self._problem.ascending, lengths, strict=False)
        ]
        few, heavy = self._sparse_from(rows.reshape(len(rows), -1))
        halves: list[list[Float]] = [[], []]
        if few:
            stretches = self._stretches(rows, hard, places, place)
            for half, part in zip(halves, self._weighed(stretches, self._betas[:few], compiled), strict=False):
                half.append(part)
        if heavy is not None:
            picked = self._picked(rows, heavy, hard, places, place)
            for half, part in zip(halves, self._weighed(picked, self._betas[few:], compiled), strict=False):
                half.append(part)
        sums = np.concatenate([part for half in halves for part in half], axis=1)
        a = len(lengths)
        named = {"mass": sums[0], "moment": sums[1 : 1 + a]}
        if place is not None:
            named["value_moment"] = sums[1 + a : 1 + 2 * a]
        if self._full:
            named["second_moment"] = sums[-a:]
        return named

    def _sparse_from(self, gap: Array) -> tuple[int, Array | None]:
        """The first β from which on few scores of each slice, (s, n), have any weight; and which these are."""
        n = gap.shape[1]
        room = min(FEW, n // ROOM)
        longest = math.prod(self._problem.shape[axis] or n for axis in self._problem.axes)
        reach = NOTHING[self._precision] + 2 * math.log(longest)

        def weighing(rows: Array, k: int) -> Array:
            heavy: Array = rows > -reach / self._betas[k]
            return heavy

        def fits(heavy: Array) -> bool:
            return bool(np.count_nonzero(heavy, axis=1).max(initial=0) <= room)

        low, high, sample = 0, len(self._betas) if room else 0, gap[:: max(1, len(gap) // 64)]
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if fits(weighing(sample, middle)) else (middle + 1, high)
        for k in range(low if room else len(self._betas), len(self._betas)):
            heavy = weighing(gap, k)
            if fits(heavy):
                return k, heavy
        return len(self._betas), None

    def _stretches(self, gap: Array, hard: Array, places: Sequence[Float], place: Float | None) -> _Rows:
        """All scores of (s, …), in stretches along the last axis where they are too many to be summed at once."""
        s, *lengths = gap.shape
        longest = TILE if self._precision == F4 else STRETCH
        if (n := math.prod(lengths)) <= longest:
            low: Array = np.zeros((len(lengths), 1), np.int64)
            inner: list[Array | None] = [along[None] for along in np.indices(lengths).reshape(len(lengths), n)]
            extent = lengths
        else:
            n = min(longest, lengths[-1])
            tiles = -(-lengths[-1] // n)
            if spare := tiles * n - lengths[-1]:
                gap = np.pad(gap, [(0, 0)] * len(lengths) + [(0, spare)], constant_values=-np.inf)
            low = np.indices([*lengths[:-1], tiles]).reshape(len(lengths), -1)
            low[-1] *= n
            inner = [None] * (len(lengths) - 1) + [np.arange(n)[None]]
            extent = [1] * (len(lengths) - 1) + [n]
        t = low.shape[1]
        nearest = np.clip(hard[:, :, None], low[:, None], low[:, None] + np.reshape(extent, (-1, 1, 1)) - 1)
        values = []
        if place is not None:
            for along, first, known, there in zip(inner, low, places, place, strict=True):
                at = np.minimum(first[:, None] + (0 if along is None else along), len(known) - 1)
                distance = known[at][None] - there[:, None, None]
                values.append(np.broadcast_to(distance, (s, t, n)).reshape(s * t, n))
        center = (nearest - low[:, None]).reshape(len(lengths), s * t)
        return _Rows(gap.reshape(s * t, n), inner, center, (nearest - hard[:, :, None]).astype(np.float64), values)

    def _picked(self, gap: Array, heavy: Array, hard: Array, places: Sequence[Float], place: Float | None) -> _Rows:
        """Those scores of (s, …) that are `heavy`, (s, n), side by side."""
        s, n = heavy.shape
        counts = np.count_nonzero(heavy, axis=1)
        width = 8 << max(0, int(counts.max(initial=1) - 1).bit_length() - 3)  # few shapes: each is compiled
        flat = np.flatnonzero(heavy)
        row = np.repeat(np.arange(s), counts)
        target = flat - row * n, row * width + np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
        some, position = np.full(s * width, -np.inf, gap.dtype), np.zeros(s * width, np.int64)
        some[target[1]], position[target[1]] = gap.reshape(-1)[flat], target[0]
        inner = [along.reshape(s, width) for along in np.unravel_index(position, gap.shape[1:])]
        values = []
        if place is not None:
            values = [known[at] - there[:, None] for known, at, there in zip(places, inner, place, strict=True)]
        return _Rows(some.reshape(s, width), inner, hard, np.zeros((len(hard), s, 1)), values)

    def _weighed(self, rows: _Rows, betas: Float, compiled: bool) -> list[Float]:
        """The sums over slices, (1 + …, b, s), of weights, and of squared weights where they are wanted.

        mass, the moment of each axis, that of its values, the second moment of each.
        """
        columns = self._columns(rows)
        total, n = rows.gap.shape
        dtype, b, c = self._precision, len(betas), len(columns)
        size = min(total, max(1, CHUNK // (b * n * dtype.itemsize)))
        function = self._function((size, n), c, b, compiled)
        halves = [np.empty((c, b, total)) for _ in range(1 + self._full)]
        basis = Buffer().array((size, c, n), dtype)
        basis[:, 0] = 1
        scaled = betas.astype(dtype)
        for start in range(0, total, size):
            part = slice(min(start, total - size), min(start, total - size) + size)  # the last overlaps
            for k, column in enumerate(columns[1:], 1):
                column(basis, k, part)
            for half, sums in zip(halves, function(rows.gap[part], basis, scaled), strict=True):
                half[..., part] = sums.transpose(2, 1, 0)
        return [self._joined(half, rows) for half in halves]

    def _columns(self, rows: _Rows) -> list[Any]:
        """How each column of the basis is filled: with ones, distances along each axis and their squares."""

        def distance(inner: Array, center: Array) -> Any:
            inner = inner.astype(self._precision)
            center = center.astype(self._precision)[:, None]

            def fill(basis: Array, k: int, part: slice) -> None:
                np.subtract(inner if len(inner) == 1 else inner[part], center[part], out=basis[:, k])

            return fill

        def value(distances: Array) -> Any:
            def fill(basis: Array, k: int, part: slice) -> None:
                basis[:, k] = distances[part]

            return fill

        def square(basis: Array, k: int, part: slice) -> None:
            np.multiply(basis[:, k - 1], basis[:, k - 1], out=basis[:, k])

        columns: list[Any] = [None]
        for inner, center in zip(rows.inner, rows.center, strict=True):
            if inner is not None:
                columns.append(distance(inner, center))
                columns += [square] if self._full and not rows.values else []
        for distances in rows.values:
            columns.append(value(distances))
            columns += [square] if self._full else []
        return columns

    def _joined(self, sums: Float, rows: _Rows) -> Float:
        """(1 + …, b, s): sums over stretches, (c, b, s · t), added up about `hard`."""
        s, t = rows.shift.shape[1:]
        sums = sums.reshape(*sums.shape[:2], s, t)
        mass, rest = sums[0], iter(sums[1:])
        first, second, values = [], [], []
        for inner, shift in zip(rows.inner, rows.shift, strict=True):
            moment = 0.0 if inner is None else next(rest)
            square = None
            if self._full and not rows.values:
                square = 0.0 if inner is None else next(rest)
            if t > 1 or shift.any():
                if square is not None:
                    square = square + shift * (2 * moment + shift * mass)
                moment = moment + shift * mass
            first.append(moment)
            second += [] if square is None else [square]
        for _ in rows.values:
            values.append(next(rest))
            second += [next(rest)] if self._full else []
        joined = [mass, *first, *values, *second]
        if t > 1:
            joined = [part.sum(axis=-1) for part in joined]
        return np.array([part.reshape(-1, s) for part in joined])

    def _function(self, shape: tuple[int, int], columns: int, betas: int, compiled: bool) -> Function:
        key = (shape, columns, betas, self._precision, self._full, "weighed")
        if compiled:
            self._compiled.add(key)
        rows, n = shape
        return self._runtime.function(
            lambda ops, gap, basis, betas: weighed(ops, gap, basis, betas, squares=self._full),
            [((rows, n), self._precision), ((rows, columns, n), self._precision), ((betas,), self._precision)],
            compiled=key in self._compiled,
            key=key,
        )
