"""The sweep over several β in one pass, beside the oracle at each of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from oracle import Answer, answer_to

from softargmax_cli.errors import UndefinedError
from softargmax_cli.files.formats.npy import ArraySource
from softargmax_cli.reduction.problem import Spec
from softargmax_cli.reduction.sweep import Trial, sweep
from softargmax_cli.tensorflow.base import Runtime

Array = npt.NDArray[Any]

BETAS = (0.1, 1.0, 7.3, 100.0, 1e5)


def swept(x: Array, spec: Spec, runtime: Runtime) -> Sequence[Trial]:
    problem = spec.resolve(x.shape, x.dtype, frozenset({"spread", "norm"}))
    (made,) = sweep(ArraySource(x), problem, runtime, betas=BETAS, memory=1 << 28)
    assert made.slices == x.size // np.prod([x.shape[axis] for axis in spec.axes])
    return made.trials


def gradient_norm(x: Array, spec: Spec, want: Answer) -> float:
    """The mean of ‖∂soft/∂x‖ by the formula β pᵢ (cᵢ − soft), in the widest float, slice by slice.

    A step of any score moves nothing beside an infinite maximum: 0.
    """
    axes = [axis % x.ndim for axis in spec.axes]
    slices = np.moveaxis(x, axes, range(-len(axes), 0)).astype(np.longdouble)
    if spec.kind == "cost":
        slices = -slices
    lengths = slices.shape[x.ndim - len(axes) :]
    slices = slices.reshape(-1, *lengths)
    norms = []
    for k, scores in enumerate(slices):
        if want.hard.reshape(len(axes), -1)[0, k] < 0:
            continue
        scores = np.where(np.isnan(scores), -np.inf, scores)
        top = scores.max()
        weight = (scores == top) * 1.0 if np.isinf(top) else np.exp(np.longdouble(spec.beta) * (scores - top))
        if spec.window is not None:
            hard = want.hard.reshape(len(axes), -1)[:, k]
            for place in range(len(axes)):
                shape = [-1 if axis == place else 1 for axis in range(len(axes))]
                away = abs(np.arange(lengths[place]) - hard[place])
                away = np.minimum(away, lengths[place] - away) if spec.coords == "circular" else away
                weight = weight * (away <= spec.window).reshape(shape)
        p, square = weight / weight.sum(), 0
        for place, n in enumerate(lengths):
            i = np.arange(n).astype(np.longdouble)
            units = {"index": i, "corners": 2 * i / max(n - 1, 1) - (n > 1), "centers": (2 * i + 1) / n - 1}
            c = units.get(str(spec.coords), i) if spec.values is None else spec.values[place]
            c = c.reshape([-1 if axis == place else 1 for axis in range(len(axes))])
            square = square + ((p * pull(c, p, n if spec.coords == "circular" else None)) ** 2).sum()
        norms.append(0.0 if np.isinf(top) else spec.beta * float(np.sqrt(square)))
    return float(np.mean(norms)) if norms else math.nan


def pull(c: Array, p: Array, period: int | None) -> Array:
    """How far a share of weight at c moves the mean: c − soft, or by the angle of Σ p exp(iθ) on a circle."""
    if period is None:
        return np.asarray(c - (p * c).sum())
    angle = 2 * np.longdouble(np.pi) * c / period
    sine, cosine = (p * np.sin(angle)).sum(), (p * np.cos(angle)).sum()
    return np.asarray(np.sin(angle - np.arctan2(sine, cosine)) / np.hypot(sine, cosine) * period / (2 * np.pi))


def assert_right(got: Sequence[Trial], x: Array, spec: Spec, *, single: bool) -> None:
    """Every number of every β is the oracle's."""
    unit = 1e-6 if single else 1e-11
    assert tuple(at.beta for at in got) == BETAS
    for at in got:
        asked = Spec(spec.axes, spec.kind, at.beta, spec.coords, spec.values, spec.window, spec.nan)
        want = answer_to(x, asked)
        flat = want.flat()
        sound = ~np.isnan(flat.peak)
        if not sound.any():
            assert all(math.isnan(number) for number in (at.max_abs_offset, at.mean_spread, at.mean_gradient_norm))
            continue
        length = 1.0 if spec.values is None else max(float(np.ptp(values)) for values in spec.values)
        offset, spread = abs(flat.offset[:, sound]), flat.spread[:, sound]
        furthest = unit * (length + spread)
        assert abs(at.max_abs_offset - offset.max()) <= furthest.max()
        assert abs(at.mean_abs_offset - offset.mean()) <= furthest.mean()
        unclear = np.count_nonzero(flat.margin[sound] <= unit)
        assert abs(at.agreement - flat.agree[sound].mean()) * sound.sum() <= unclear + 1e-9
        # A variance about the hard argmax less the square of the offset: that square bounds what is lost.
        lost = np.sqrt(4 * unit * (length**2 + spread**2 + offset**2))
        assert abs(at.mean_spread - spread.mean()) <= (lost**2 / np.maximum(spread, lost)).mean()
        norm = gradient_norm(x, asked, want)
        assert at.mean_gradient_norm == pytest.approx(norm, rel=300 * unit, abs=min(at.beta, 100) * length * 1e-7)


CASES: dict[str, tuple[Callable[[np.random.Generator], Array], Spec]] = {
    "scores": (lambda r: r.normal(size=(20, 40)).astype("f4"), Spec()),
    "middle axis, Fortran": (lambda r: np.asfortranarray(r.normal(size=(3, 50, 5))), Spec((1,), coords="corners")),
    "longer than a tile": (lambda r: r.normal(size=(3, 401)).astype("f4"), Spec(coords="centers")),
    "maps, x first": (lambda r: r.normal(size=(3, 11, 17)).astype("f4"), Spec((-1, -2))),
    "window": (lambda r: r.normal(size=(5, 100)).astype("f4"), Spec(window=3)),
    "values": (lambda r: r.normal(size=(7, 90)), Spec(kind="cost", values=(np.arange(90.0) ** 2,))),
    "circle": (lambda r: r.normal(size=(6, 60)), Spec(coords="circular", window=20)),
    "wide integers": (lambda r: r.integers(-(2**63), 2**63 - 1, (5, 30)), Spec((1,), "cost")),
    "ties": (lambda r: r.integers(0, 3, (20, 30)).astype("f2"), Spec()),
    "one entry": (lambda r: r.normal(size=(5, 1)), Spec(coords="corners")),
    "infinities": (lambda r: r.choice([1.0, 2.0, -np.inf, np.inf], (30, 8)), Spec(nan="propagate")),
    "NaN": (lambda r: np.where(r.random((30, 50)) < 0.02, np.nan, r.normal(size=(30, 50))), Spec(nan="propagate")),
    "nothing defined": (lambda r: np.full((3, 4), np.nan), Spec(nan="omit")),
}


@pytest.mark.parametrize("case", CASES)
def test_every_number_is_the_oracles(native_runtime: Runtime, case: str) -> None:
    check(case, native_runtime)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["scores", "maps, x first", "window", "values", "circle", "infinities"])
def test_in_parts_and_by_either_runtime(runtime: Runtime, blocks_of: Callable[[int], None], case: str) -> None:
    blocks_of(400)
    check(case, runtime)


def check(case: str, runtime: Runtime) -> None:
    make, spec = CASES[case]
    x = make(np.random.default_rng(5))
    problem = spec.resolve(x.shape, x.dtype, frozenset())
    assert_right(swept(x, spec, runtime), x, spec, single=problem.precision == np.dtype("f4"))


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_first_slice_without_an_answer(
    native_runtime: Runtime, blocks_of: Callable[[int], None], order: Any
) -> None:
    x = np.zeros((4, 3, 5), order=order)
    x[1, 2] = x[3, 0] = -np.inf
    blocks_of(100)
    with pytest.raises(UndefinedError) as raised:
        swept(x, Spec(), native_runtime)
    assert raised.value.what == "2 slices hold nothing but -inf; the first is slice (1, 2)"


def test_betas_in_any_order_and_twice(native_runtime: Runtime) -> None:
    x = np.random.default_rng(7).normal(size=(6, 30))
    problem = Spec().resolve(x.shape, x.dtype, frozenset())
    betas = [9.0, 1.0, 9.0]
    (made,) = sweep(ArraySource(x), problem, native_runtime, betas=betas, memory=1 << 28)
    first, second, third = made.trials
    assert [at.beta for at in made.trials] == betas
    assert first.max_abs_offset == third.max_abs_offset < second.max_abs_offset
    assert math.isnan(first.mean_spread)


def test_norms_whose_squares_float32_cannot_hold(native_runtime: Runtime) -> None:
    x = np.array([[0, -0.6]], "f4")
    for at in swept(x, Spec(), native_runtime):
        ratio = math.exp(float(x[0, 1]) * at.beta)
        want = at.beta * math.sqrt(2) * ratio / (1 + ratio) ** 2  # both entries are β p (1 − p)
        if at.beta <= 100:  # beyond, the weight itself is too small
            assert at.mean_gradient_norm == pytest.approx(want, rel=1e-5, abs=0)
