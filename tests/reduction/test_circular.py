"""Axes that go round: hue, azimuth, time of day."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import pytest
from oracle import answer_to, assert_answers

from softargmax_cli.files.formats.npy import ArraySource
from softargmax_cli.reduction import budget
from softargmax_cli.reduction.engine import reduce
from softargmax_cli.reduction.fields import NAMES
from softargmax_cli.reduction.gradient import differentiate
from softargmax_cli.reduction.problem import Spec
from softargmax_cli.reduction.result import Slices, Summary
from softargmax_cli.tensorflow.base import Runtime

Array = npt.NDArray[Any]
Reduced = Callable[..., Slices]
MEMORY = 64 << 20
HOURS = (np.array([0.5, 3, 9, 15, 21, 23.25]),)


@pytest.fixture
def reduced(native_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Reduced:
    """Reduce an array in blocks of so many entries, in boxes of chunks where it has some."""

    def slices(x: Array, spec: Spec, block: int = 1 << 20, chunks: tuple[int, ...] | None = None) -> Slices:
        monkeypatch.setattr(budget, "BLOCK", x.itemsize * block)
        source = ArraySource(x)
        if chunks:
            source.chunks = chunks
            monkeypatch.setattr(budget, "SHARE", MEMORY // (8 * x.itemsize))
        problem = spec.resolve(x.shape, x.dtype, frozenset(NAMES))
        return Slices.joined([*reduce(source, problem, native_runtime, memory=MEMORY)])

    return slices


def peak(n: int, center: float, sharpness: float = 20.0) -> Array:
    """Scores of a bump on a circle of n indices."""
    return sharpness * (np.cos(2 * np.pi * (np.arange(n) - center) / n) - 1)


def exact(row: Sequence[float], beta: float, values: Sequence[float], period: float) -> tuple[float, float, float]:
    """Circular mean, deviation and resultant in 60 digits."""
    with mpmath.workdps(60):
        top = max(row)
        weights = [mpmath.exp(mpmath.mpf(beta) * (mpmath.mpf(x) - mpmath.mpf(top))) for x in row]
        turns = [mpmath.expjpi(2 * mpmath.mpf(c) / mpmath.mpf(period)) for c in values]
        mean = mpmath.fsum(w * z for w, z in zip(weights, turns, strict=True)) / mpmath.fsum(weights)
        radian = mpmath.mpf(period) / (2 * mpmath.pi)
        spread = mpmath.sqrt(-2 * mpmath.log(abs(mean))) * radian
        return float(mpmath.arg(mean) * radian % period), float(spread), float(abs(mean))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_sixty_digits_agree(reduced: Reduced, dtype: str) -> None:
    """Broad and sharp, at the seam and away from it; near R = 1 nothing cancels."""
    unit = 1e-6 if dtype == "f4" else 1e-11
    x = np.array([peak(72, center) for center in (0, 0.3, 71.6, 36, 17.45)]).astype(dtype)
    for beta in (0.01, 1.0, 100.0, 1e4):
        for period, values in ((72.0, None), (360.0, np.arange(72.0) * 5 - 180)):
            spec = (
                Spec(beta=beta, coords="circular")
                if values is None
                else Spec(beta=beta, coords="circular", values=(values,), period=(period,))
            )
            got = reduced(x, spec)
            for k, row in enumerate(x.astype(float).tolist()):
                soft, spread, resultant = exact(row, beta, np.arange(72.0) if values is None else values, period)
                bound = unit * (period / 72 + spread) / resultant
                assert abs((got.soft[0, k] - soft + period / 2) % period - period / 2) <= bound
                assert got.spread[0, k] == pytest.approx(spread, rel=4 * unit / resultant**2, abs=bound)
                assert 0 <= got.soft[0, k] < period


def test_scipy_says_so(reduced: Reduced) -> None:
    """The examples of its documentation, which weigh all alike."""
    angles = [np.array([0.1, 2 * np.pi + 0.2 - 2 * np.pi, 0.3]), np.pi * np.array([0, 0.05, 0.001, 0.015])]
    ways = [Spec(kind="probs", coords="circular", values=(each,), period=(2 * np.pi,)) for each in angles]
    assert reduced(np.ones((1, 3)), ways[0]).soft[0, 0] == pytest.approx(0.2, abs=1e-14)
    assert reduced(np.ones((1, 4)), ways[1]).spread[0, 0] == pytest.approx(0.063564063306, abs=1e-12)


CASES: dict[str, tuple[tuple[int, ...], Spec]] = {
    "an axis": ((4, 11), Spec(beta=2.0, coords="circular")),
    "first axis": ((11, 3), Spec((0,), "cost", 2.0, "circular")),
    "window over the seam": ((6, 7), Spec(beta=2.0, coords="circular", window=2)),
    "even, window of half": ((6, 6), Spec(beta=2.0, coords="circular", window=3)),
    "hours": ((6, 6), Spec(beta=2.0, coords="circular", values=HOURS, period=(24.0,))),
    "hours, window": ((6, 6), Spec((1,), "probs", coords="circular", values=HOURS, window=1, period=(24.0,))),
    "two, one round": ((2, 4, 7), Spec((1, 2), beta=2.0, coords=("index", "circular"), window=2)),
    "two, both round": ((2, 4, 7), Spec((2, 1), beta=2.0, coords="circular")),
    "depths and hours": (
        (2, 5, 6),
        Spec((1, 2), beta=2.0, coords=("index", "circular"), values=(np.arange(5.0) ** 2, *HOURS), period=(24.0,)),
    ),
    "alone": ((3, 1), Spec(coords="circular")),
    "two entries": ((8, 2), Spec(beta=1.0, coords="circular")),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("block", [64, 1 << 20])
def test_every_field_in_blocks_that_cut_the_circle(name: str, block: int, reduced: Reduced) -> None:
    shape, spec = CASES[name]
    rng = np.random.default_rng(len(name))
    x = np.round(rng.normal(size=shape), 1)
    x = abs(x) if spec.kind == "probs" else x
    assert_answers(reduced(x, spec, block), answer_to(x, spec), single=False, scale=6)
    if block == 1:
        for order, block, chunks in (("F", 3, None), ("C", 5, tuple(max(1, n // 2) for n in shape))):
            got = reduced(np.array(x, order=order), spec, block, chunks)  # type: ignore[call-overload]
            assert_answers(got, answer_to(x, spec), single=False, scale=6)


@pytest.mark.parametrize("nan", ["omit", "propagate"])
@pytest.mark.parametrize("block", [64, 1 << 20])
def test_nan_and_infinities(nan: Any, block: int, reduced: Reduced) -> None:
    rows = [[math.nan, 1, 0, 2, 0, 1], [math.inf, 0, math.inf, 1, 0, 0], [-math.inf] * 6, [0, -math.inf, 3, 0, 2, 1]]
    x, spec = np.array(rows, "f4"), Spec(beta=1.0, coords="circular", window=1, nan=nan)
    assert_answers(reduced(x, spec, block), answer_to(x, spec), single=True)


def test_directions_that_cancel_have_no_mean(reduced: Reduced) -> None:
    """And are no error, but count as undefined."""
    x = np.array([np.zeros(8), np.eye(8)[1] + np.eye(8)[5], peak(8, 3)])
    for dtype, beta in (("f4", 50.0), ("f8", 50.0)):
        got = reduced(x.astype(dtype), Spec(beta=beta, coords="circular", nan="error"))
        assert got.hard.tolist() == [[0, 1, 3]]
        assert got.peak[:2].tolist() == [0.125, pytest.approx(0.5)]
        for field in ("soft", "offset", "spread"):
            assert np.isnan(getattr(got, field)[0]).tolist() == [True, True, False]
        assert got.agree.tolist() == [False, False, True]
        summary = Summary()
        summary.add(got)
        assert (summary.undefined, summary.agreement) == (2, 1.0)
    both = reduced(np.zeros((2, 3, 4)), Spec((1, 2), coords=("index", "circular")))
    assert both.soft[0].tolist() == [1, 1]
    assert np.isnan(both.soft[1]).all()
    summary = Summary()
    summary.add(both)
    assert (summary.undefined, summary.offsets) == (2, 0)


def test_just_before_the_seam_is_0(reduced: Reduced) -> None:
    x = np.array([[1.0, 0.5, 0, 0.5 + 1e-17], [1.0, 0.5, 0, 0.5 + 1e-15]])
    for row in reduced(x, Spec(kind="probs", coords="circular")).soft[0]:
        assert 0 <= row < 4


def sine_formula(x: Array, beta: float) -> Array:
    """∂soft/∂x of slices (s, n) in indices: β p sin(θ − soft) n / 2πR."""
    angle = 2 * np.pi * np.arange(x.shape[1]) / x.shape[1]
    p = np.exp(beta * (x - x.max(1, keepdims=True)))
    p /= p.sum(1, keepdims=True)
    mean = (p * np.exp(1j * angle)).sum(1, keepdims=True)
    slope: Array = beta * p * np.sin(angle - np.angle(mean)) * x.shape[1] / (2 * np.pi * abs(mean))
    return slope


@pytest.mark.parametrize("block", [64, 1 << 20])
def test_gradients(block: int, native_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "BLOCK", 8 * block)
    x = np.random.default_rng(0).normal(size=(4, 9))
    x[3] = 0.0  # which has no mean
    problem = Spec(beta=2.0, coords="circular").resolve(x.shape, x.dtype, frozenset({"soft"}))
    got = np.zeros(x.shape)

    def write(start: Sequence[int], box: Array) -> None:
        got[tuple(slice(a, a + n) for a, n in zip(start, box.shape, strict=True))] = box

    given = {"memory": MEMORY, "vanished": 1e-6}
    slices = Slices.joined([*differentiate(ArraySource(x), problem, native_runtime, by="x", write=write, **given)])
    want = sine_formula(x[:3], 2.0)
    np.testing.assert_allclose(got[:3], want, atol=1e-12)
    np.testing.assert_allclose(slices.column("norm")[:3], np.sqrt((want**2).sum(1)), rtol=1e-12)
    assert np.isnan(got[3]).all()
    by_beta = Slices.joined([*differentiate(ArraySource(x), problem, native_runtime, by="beta", write=None, **given)])
    np.testing.assert_allclose(by_beta.column("gradient")[0, :3], (want * x[:3] / 2.0).sum(1), rtol=1e-11)
