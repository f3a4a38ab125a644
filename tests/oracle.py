"""What the answers must be, from NumPy's widest float and mpmath. Shares nothing with the product."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Wide = np.longdouble

FIELDS = ("hard", "soft", "offset", "peak", "second", "spread", "entropy", "ties", "agree", "multimodal")
PER_AXIS = ("hard", "soft", "offset", "spread")


@dataclass(frozen=True)
class Answer:
    """Every field, shaped as the axes that stay; those of `PER_AXIS` with the reduced axes, as given, before them."""

    hard: Array
    soft: Array
    offset: Array
    peak: Array
    second: Array
    spread: Array
    entropy: Array
    ties: Array
    agree: Array
    multimodal: Array
    margin: Array
    """How far the largest offset is from where `agree` turns, in units of 1 + spread, counted in indices."""
    resultant: Array
    """Of the circular mean along each axis, as given; 1 for axes that do not go round."""
    periods: Sequence[float | None]
    """Of each axis, as given."""

    def flat(self) -> Answer:
        """The same in row-major order: (a, m) and (m,)."""
        a, m = len(self.hard), self.peak.size
        fields = {name: getattr(self, name).reshape((a, m) if name in PER_AXIS else m) for name in FIELDS}
        resultant = self.resultant.reshape(a, m)
        return Answer(**fields, margin=self.margin.reshape(m), resultant=resultant, periods=self.periods)


def softargmax(
    values: Array,
    axis: int | Sequence[int] = -1,
    beta: float = 100.0,
    *,
    kind: str = "scores",
    coords: str = "index",
    values_of: Sequence[Array] | None = None,
    window: int | None = None,
    omit: bool = False,
    periods: Sequence[float | None] | None = None,
    least: float = 0.0,
) -> Answer:
    """Reduce one axis, or several as one. NaNs are left out with `omit`; without it they undo their slice.

    values_of: the coordinate of each index, one array for each axis in the order given, instead of `coords`.
    periods: of each axis that goes round; least: the resultant of the shortest mean on it.
    """
    given = [k % values.ndim for k in ([axis] if isinstance(axis, int) else axis)]
    axes = sorted(given)
    kept = [k for k in range(values.ndim) if k not in axes]
    lengths = [values.shape[k] for k in axes]
    x = values.transpose(kept + axes).reshape([values.shape[k] for k in kept] + [math.prod(lengths)])
    index = dict(zip(axes, np.indices(lengths).reshape(len(axes), -1), strict=True))  # of each entry, by axis

    nan = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
    is_best, weight = _weights(x, nan, kind, beta)
    first = np.argmax(is_best, axis=-1)
    hard = {k: index[k][first] for k in axes}
    away = {k: index[k] - hard[k][..., None] for k in axes}
    rounds = dict(zip(given, periods or [None] * len(given), strict=True))
    for k, n in zip(axes, lengths, strict=True):
        if rounds[k]:
            away[k] = (away[k] + n // 2) % n - n // 2

    mass = weight.sum(-1, keepdims=True)
    defined = mass[..., 0] > 0
    if not omit:
        defined &= ~nan.any(-1)
    with np.errstate(all="ignore"):
        p = weight / mass
        distance = np.max([abs(away[k]) for k in axes], axis=0)
        beyond = distance > (1 if window is None else window)
        beyond &= _modes(x, nan, kind, [*index.values()], [*away.values()], lengths, [bool(rounds[k]) for k in axes])
        beyond = np.where(beyond, p, 0).max(-1)
        inside = np.where(distance <= window, p, 0) if window is not None else p
        second = beyond / inside.sum(-1)  # in the unit of the peak
        p = inside / inside.sum(-1, keepdims=True)
        peak = np.take_along_axis(p, first[..., None], -1)[..., 0]
        entropy = -np.where(p > 0, p * np.log(p), 0).sum(-1)

        soft, offset, spread, index_offset, index_spread, resultant = [], [], [], [], [], []
        for place, k in enumerate(given):
            c = _coordinates(coords, values.shape[k]) if values_of is None else values_of[place].astype(Wide)
            from_hard = c[index[k]] - c[hard[k]][..., None]
            if (period := rounds[k]) is not None:
                mean, wide, length = _circular(p, from_hard, period, least)
                offset.append(mean)
                soft.append((c[hard[k]] + mean) % period)
                spread.append(wide)
                resultant.append(length)
                mean, wide, _ = _circular(p, away[k], values.shape[k], least)
                index_offset.append(np.where(np.isnan(offset[-1]), np.nan, mean))
                index_spread.append(wide)
                continue
            resultant.append(np.ones(mass.shape[:-1]))
            offset.append((p * from_hard).sum(-1))
            soft.append(c[hard[k]] + offset[-1])
            spread.append(np.sqrt((p * (from_hard - offset[-1][..., None]) ** 2).sum(-1)))
            index_offset.append((p * away[k]).sum(-1))
            index_spread.append(np.sqrt((p * (away[k] - index_offset[-1][..., None]) ** 2).sum(-1)))
        furthest = np.max(np.abs(index_offset), axis=0)
        margin = abs(furthest - 0.5) / (1 + np.max(index_spread, axis=0))

    def where_defined(number: Any) -> Array:
        return np.where(defined, number, np.nan).astype(float)

    return Answer(
        np.where(defined, [hard[k] for k in given], -1),
        where_defined(soft),
        where_defined(offset),
        where_defined(peak),
        where_defined(second),
        where_defined(spread),
        where_defined(entropy),
        np.where(defined, np.count_nonzero(is_best, axis=-1), 0),
        defined & (furthest < 0.5),
        defined & (second >= peak / 4),
        where_defined(margin),
        np.array(resultant),
        [*rounds.values()],
    )


def _circular(p: Array, distance: Array, period: float, least: float) -> tuple[Array, Array, Array]:
    """The circular mean of distances, their deviation, NaN where the resultant is below the least, and that."""
    mean = (p * np.exp(2j * np.pi * (distance / Wide(period)))).sum(-1)
    length, radian = abs(mean), period / (2 * Wide(np.pi))
    # 1 − R² as a sum over pairs, in which nothing cancels, is out of reach; 2 Σ p sin² less two squares is not.
    versine = (2 * p * np.sin(np.pi * (distance / Wide(period))) ** 2).sum(-1)
    lost = 2 * versine - versine**2 - mean.imag**2
    wide = np.sqrt(np.maximum(np.where(lost < 0.5, -np.log1p(-lost), -2 * np.log(length)), 0)) * radian
    certain = length >= least
    return np.where(certain, np.angle(mean) * radian, np.nan), np.where(certain, wide, np.nan), length


def answer_to(values: Array, spec: Any) -> Answer:
    """What is asked by `spec`, which has the names of these arguments and `axes`, `values`, `period` and `nan`."""
    kinds = [spec.coords] * len(spec.axes) if isinstance(spec.coords, str) else spec.coords
    turns, periods = [*(spec.period or [])], []
    for kind, axis in zip(kinds, spec.axes, strict=True):
        periods.append(None if kind != "circular" else float(values.shape[axis]) if not turns else turns[0])
        turns = turns[1:] if kind == "circular" and len(turns) > 1 else turns
    single = spec.precision == "single" or (
        spec.precision == "auto" and (values.dtype.itemsize <= 2 or values.dtype == np.float32)
    )
    return softargmax(
        values,
        spec.axes,
        spec.beta,
        kind=spec.kind,
        coords="index" if any(periods) else spec.coords,
        periods=periods,
        least=1e-6 if single else 1e-11,
        values_of=spec.values,
        window=spec.window,
        omit=spec.nan == "omit",
    )


def _weights(x: Array, nan: Array, kind: str, beta: float) -> tuple[Array, Array]:
    """Which entries of (…, n) are as good as the best, and the weight of each beside it; none for NaN."""
    if x.dtype.kind == "f":
        worst = {"scores": -np.inf, "cost": np.inf, "probs": 0.0}[kind]
        x = np.where(nan, worst, x.astype(Wide))
    best = x.min(-1, keepdims=True) if kind == "cost" else x.max(-1, keepdims=True)
    is_best = x == best
    if kind == "probs":
        assert not (x < 0).any()
        return is_best, np.where(best == np.inf, is_best, x.astype(Wide))
    with np.errstate(all="ignore"):
        if x.dtype.kind == "f":
            difference = abs(x - best)
        else:  # Python's integers have no largest one
            difference = abs(x.astype(object) - best.astype(object)).astype(float).astype(Wide)
        weight = np.where(is_best, Wide(1), np.exp(-Wide(beta) * difference))
    return is_best, np.where(x == worst, 0, weight) if x.dtype.kind == "f" else weight


def _modes(
    x: Array,
    nan: Array,
    kind: str,
    index: Sequence[Array],
    away: Sequence[Array],
    lengths: Sequence[int],
    rounds: Sequence[bool],
) -> Array:
    """Which entries of (…, n) no neighbour is better than, and are better than the one a step nearer to the best.

    index: along each axis, the place of each entry, (n,); away: how far it lies from the best, (…, n).
    """
    better = np.less if kind == "cost" else np.greater
    found = ~nan
    for step in itertools.product((-1, 0, 1), repeat=len(lengths)):
        beside = [along + d for along, d in zip(index, step, strict=True)]
        beside = [at % n if round else at for at, n, round in zip(beside, lengths, rounds, strict=True)]
        inside = np.all([(at >= 0) & (at < n) for at, n in zip(beside, lengths, strict=True)], axis=0)
        flat = np.ravel_multi_index(beside, lengths, mode="clip")
        neighbour, there = x[..., flat], inside & ~nan[..., flat]
        nearer = any(step) & np.all([np.sign(-along) == d for along, d in zip(away, step, strict=True)], axis=0)
        found &= ~there | ~better(neighbour, x)
        found &= ~there | ~nearer | better(x, neighbour)
    return found


def _coordinates(coords: str, n: int) -> Array:
    """The coordinate of each of n indices."""
    i = np.arange(n).astype(Wide)
    if coords == "index":
        return i
    if n == 1:
        return 0 * i
    return {"corners": 2 * i / (n - 1) - 1, "centers": (2 * i + 1) / n - 1}[coords]


def exact_soft(scores: Sequence[float], beta: float) -> float:
    """The soft argmax of finite scores in 60 digits."""
    with mpmath.workdps(60):
        top = max(scores)
        weights = [mpmath.exp(mpmath.mpf(beta) * (mpmath.mpf(score) - mpmath.mpf(top))) for score in scores]
        return float(mpmath.fsum(i * w for i, w in enumerate(weights)) / mpmath.fsum(weights))


def assert_answers(got: Any, want: Answer, *, single: bool, scale: float | Sequence[float] = 1.0) -> None:
    """`got` has `want`'s fields as attributes, (a, m) and (m,); None where nobody asked for one.

    scale: for each axis, the length in coordinate units that the bound is counted in where there is no spread.
    """
    want = want.flat()
    unit = 1e-6 if single else 1e-11
    relative = 4e-6 if single else 1e-11
    one = np.reshape(scale, (-1, 1))
    assert got.hard.dtype == np.int64
    assert got.hard.shape == want.hard.shape
    np.testing.assert_array_equal(got.hard, want.hard)
    bound = unit * (one + want.spread) / np.maximum(want.resultant, unit)
    soft = np.array(got.soft)
    for row, wanted, period in zip(soft, want.soft, want.periods, strict=True):
        if period is not None:  # 0 and the period are one place
            assert not ((row < 0) | (row >= period)).any()
            row += period * np.rint((wanted - row) / period)
    _assert_within(soft, want.soft, bound + 4e-16 * np.abs(want.soft))
    _assert_within(got.offset, want.offset, bound)
    _assert_within(got.peak, want.peak, relative * want.peak)
    assert got.agree.dtype == bool
    assert got.agree.shape == want.agree.shape
    clear = want.margin > unit
    np.testing.assert_array_equal(got.agree[clear], want.agree[clear])
    assert not got.agree[want.hard[0] < 0].any()
    if got.multimodal is not None:
        assert got.multimodal.dtype == bool
        assert got.multimodal.shape == want.multimodal.shape
        with np.errstate(invalid="ignore"):
            clear = ~(abs(want.second - want.peak / 4) < 10 * relative * want.peak)
        np.testing.assert_array_equal(got.multimodal[clear], want.multimodal[clear])
    if got.second is not None:
        # An exponent is rounded in proportion to its size; and what is too small for a float is zero.
        tiny = 1e-30 if single else 1e-300
        exponent = -np.log(np.maximum(want.second, tiny))
        _assert_within(got.second, want.second, relative * (1 + exponent / 16) * want.second + tiny)
        assert not (got.second < 0).any()
    if got.spread is not None:
        # A variance about the hard argmax less the square of the offset: that square bounds what is lost.
        about = relative * (one**2 + want.spread**2 + want.offset**2) / np.maximum(want.resultant, unit)
        _assert_within(got.spread**2, want.spread**2, about)
        assert not (got.spread < 0).any()
    if got.entropy is not None:
        _assert_within(got.entropy, want.entropy, relative * (1 + want.entropy))
        assert not (got.entropy < 0).any()
    if got.ties is not None:
        assert got.ties.dtype == np.int64
        assert got.ties.shape == want.ties.shape
        np.testing.assert_array_equal(got.ties, want.ties)


def _assert_within(got: Array, want: Array, bound: Array) -> None:
    assert got.dtype == np.float64
    assert got.shape == want.shape
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    far = np.abs(got - want) > bound
    assert not far.any(), (
        f"{np.count_nonzero(far)} of {far.size} beyond the bound, the first at {np.argmax(far)}: "
        f"{got[far][0]!r}, not {want[far][0]!r}, bound {bound[far][0]:.3g}"
    )


def gradients(
    values: Array,
    axis: int | Sequence[int] = -1,
    beta: float = 100.0,
    *,
    kind: str = "scores",
    coords: str = "index",
    values_of: Sequence[Array] | None = None,
    window: int | None = None,
    omit: bool = False,
) -> tuple[Array, Array]:
    """∂soft/∂x and ∂soft/∂β by their formulas, in NumPy's widest float; several axes are one more last dimension.

    β p (c − soft), negated for costs, (c − soft) / Σx for weights; and Σ p x (c − soft), likewise. NaN in slices that
    have no answer; 0 for what is left out and in slices whose maximum is infinite.
    """
    given = [k % values.ndim for k in ([axis] if isinstance(axis, int) else axis)]
    kept = [k for k in range(values.ndim) if k not in given]
    order = kept + given
    x = values.transpose(order).reshape(*(values.shape[k] for k in kept), -1)
    index = np.indices([values.shape[k] for k in given]).reshape(len(given), -1)
    nan = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
    # Positions compare in the order of the array, whatever the order of the coordinates.
    row_major = np.lexsort([index[given.index(k)] for k in sorted(given, reverse=True)])
    is_best, weight = _weights(x, nan, kind, beta)
    first = row_major[np.argmax(is_best[..., row_major], axis=-1)]
    mass = weight.sum(-1, keepdims=True)
    defined = mass[..., 0] > 0
    if not omit:
        defined &= ~nan.any(-1)
    inside = np.ones(x.shape, bool)
    if window is not None:
        inside = np.all([abs(along - along[first][..., None]) <= window for along in index], axis=0)
    weight = np.where(inside, weight, 0)
    by_x, by_beta = [], []
    with np.errstate(all="ignore"):
        best = np.take_along_axis(x, first[..., None], -1)
        p = weight / weight.sum(-1, keepdims=True)
        infinite = np.isinf(best.astype(float)) if x.dtype.kind == "f" else np.zeros(best.shape, bool)
        for place, k in enumerate(given):
            c = _coordinates(coords, values.shape[k]) if values_of is None else values_of[place].astype(Wide)
            c = c[index[place]]
            from_hard = c - c[first][..., None]
            pull = from_hard - (p * from_hard).sum(-1, keepdims=True)  # c − soft
            if x.dtype.kind == "f":
                gap = x.astype(Wide) - best
            else:
                gap = (x.astype(object) - best.astype(object)).astype(float).astype(Wide)
            if kind == "probs":
                slope = np.where(inside & ~nan, pull / weight.sum(-1, keepdims=True), 0)
            else:
                slope = (beta if kind == "scores" else -beta) * p * pull
            slope = np.where(infinite, 0, slope)
            slope = np.where(defined[..., None], slope, np.nan).astype(float)
            shaped = slope.reshape([values.shape[k] for k in order])
            by_x.append(shaped.transpose(np.argsort(order)))
            terms = np.where((p > 0) & ~infinite, p * gap * pull, 0) * (1 if kind == "scores" else -1)
            by_beta.append(np.where(defined, terms.sum(-1), np.nan).astype(float))
    if len(given) == 1:
        return by_x[0], by_beta[0]
    return np.stack(by_x, axis=-1), np.stack(by_beta, axis=-1)
