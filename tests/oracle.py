"""What the answers must be, from NumPy's widest float and mpmath. Shares nothing with the product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt

Wide = np.longdouble

FIELDS = ("hard", "soft", "offset", "peak", "spread", "entropy", "ties", "agree")


@dataclass(frozen=True)
class Answer:
    """Every field, shaped as the axes that stay."""

    hard: npt.NDArray[Any]
    soft: npt.NDArray[Any]
    offset: npt.NDArray[Any]
    peak: npt.NDArray[Any]
    spread: npt.NDArray[Any]
    entropy: npt.NDArray[Any]
    ties: npt.NDArray[Any]
    agree: npt.NDArray[Any]

    def flat(self) -> Answer:
        """The same in row-major order."""
        return Answer(*(getattr(self, name).ravel() for name in FIELDS))


def softargmax(values: npt.NDArray[Any], axis: int = -1, beta: float = 100.0, *, omit: bool = False) -> Answer:
    """Reduce one axis. NaNs are left out with `omit`; without it they leave their slice undefined."""
    x = np.moveaxis(values, axis, -1)
    if x.dtype == np.float16:
        x = x.astype(np.float32)
    nan = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
    if x.dtype.kind == "f":
        x = np.where(nan, np.array(-np.inf, x.dtype), x)
    index = np.arange(x.shape[-1])
    hard = np.argmax(x, axis=-1)
    top = np.max(x, axis=-1, keepdims=True)
    ties = np.count_nonzero(x == top, axis=-1)

    with np.errstate(all="ignore"):
        log_weight = Wide(beta) * _difference(x, top)
        log_weight = np.where(x == top, Wide(0), log_weight)  # beside +inf, too
        weight = np.exp(log_weight)
    if x.dtype.kind == "f":
        weight = np.where(x == -np.inf, Wide(0), weight)
    mass = weight.sum(-1)
    defined = mass > 0
    if not omit:
        defined &= ~nan.any(-1)
    with np.errstate(all="ignore"):
        p = weight / mass[..., None]
        offset = ((index - hard[..., None]) * p).sum(-1)
        soft = hard + offset
        spread = np.sqrt((((index - hard[..., None]) - offset[..., None]) ** 2 * p).sum(-1))
        entropy = -np.where(p > 0, p * np.log(p), Wide(0)).sum(-1)
        peak = 1 / mass
    missing = [np.where(defined, number, np.nan).astype(float) for number in (soft, offset, peak, spread, entropy)]
    return Answer(
        np.where(defined, hard, -1),
        *missing,
        np.where(defined, ties, 0),
        defined & (np.abs(offset) < 0.5),
    )


def _difference(x: npt.NDArray[Any], top: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """x − top without rounding that matters; 64-bit integers by Python's."""
    if x.dtype.kind in "iu" and x.dtype.itemsize == 8:
        exact = x.astype(object) - top.astype(object)
        return exact.astype(float).astype(Wide)
    return x.astype(Wide) - top.astype(Wide)


def exact_soft(scores: Sequence[float], beta: float) -> float:
    """The soft argmax of finite scores in 60 digits."""
    with mpmath.workdps(60):
        top = max(scores)
        weights = [mpmath.exp(mpmath.mpf(beta) * (mpmath.mpf(score) - mpmath.mpf(top))) for score in scores]
        return float(mpmath.fsum(i * w for i, w in enumerate(weights)) / mpmath.fsum(weights))


def assert_answers(got: Any, want: Answer, *, single: bool) -> None:
    """`got` has `want`'s fields as attributes; None where nobody asked for one."""
    want = want.flat()
    unit = 1e-6 if single else 1e-11
    assert got.hard.dtype == np.int64
    np.testing.assert_array_equal(got.hard, want.hard)
    bound = unit * (1 + want.spread)
    _assert_within(got.soft, want.soft, bound + 4e-16 * np.abs(want.soft))
    _assert_within(got.offset, want.offset, bound)
    _assert_within(got.peak, want.peak, (4e-6 if single else 1e-11) * np.abs(want.peak))
    clear = np.abs(np.abs(want.offset) - 0.5) > bound
    assert got.agree.dtype == bool
    np.testing.assert_array_equal(got.agree[clear], want.agree[clear])
    assert not got.agree[want.hard < 0].any()
    if got.spread is not None:
        # A variance about the hard argmax less the square of the offset: that square bounds what is lost.
        scale = 1 + want.spread**2 + want.offset**2
        _assert_within(got.spread**2, want.spread**2, (4e-6 if single else 1e-11) * scale)
        assert not (got.spread < 0).any()
    if got.entropy is not None:
        _assert_within(got.entropy, want.entropy, (4e-6 if single else 1e-11) * (1 + want.entropy))
        assert not (got.entropy < 0).any()
    if got.ties is not None:
        assert got.ties.dtype == np.int64
        np.testing.assert_array_equal(got.ties, want.ties)


def _assert_within(got: npt.NDArray[Any], want: npt.NDArray[Any], bound: npt.NDArray[Any]) -> None:
    assert got.shape == want.shape
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    far = np.abs(got - want) > bound
    assert not far.any(), (
        f"{np.count_nonzero(far)} of {far.size} beyond the bound, the first at {np.argmax(far)}: "
        f"{got[far][0]!r}, not {want[far][0]!r}, bound {bound[far][0]:.3g}"
    )
