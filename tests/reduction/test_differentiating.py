"""Gradients: the formulas in NumPy's widest float and finite differences, in every kind and layout, whole and split."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from oracle import gradients, softargmax

from softargmax_cli.errors import UndefinedError
from softargmax_cli.files.formats.npy import ArraySource
from softargmax_cli.reduction import budget, stream
from softargmax_cli.reduction.budget import REDUCTION, Budget
from softargmax_cli.reduction.fields import FREE
from softargmax_cli.reduction.gradient import GRADIENT, differentiate
from softargmax_cli.reduction.problem import Spec
from softargmax_cli.reduction.result import Slices, Summary
from softargmax_cli.tensorflow.base import Runtime

pytestmark = pytest.mark.slow

Array = npt.NDArray[Any]
MEMORY = 16 << 20
UNTOUCHED = 12345.0

LAYOUTS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "last": ((7, 300), (-1,)),
    "first": ((300, 40), (0,)),
    "two, turned": ((5, 20, 30), (2, 1)),
    "two, apart": ((4, 6, 900), (0, 2)),
}
"""Shapes and axes; blocks are so small that slices of the last two are split."""


def differentiated(
    x: Array, runtime: Runtime, spec: Spec, by: Any = "x", *, keep: bool = True, vanished: float = 1e-6
) -> tuple[Array, Slices]:
    """The gradient as it was handed out, box by box, and what was said of the slices."""
    source = ArraySource(x)
    problem = spec.resolve(source.shape, source.dtype, FREE)
    several = [len(spec.axes)] if len(spec.axes) > 1 else []
    whole = np.full((*x.shape, *several), UNTOUCHED, problem.precision)

    def write(start: Sequence[int], box: Array) -> None:
        assert box.dtype == problem.precision
        place = whole[tuple(slice(a, a + n) for a, n in zip(start, box.shape, strict=False))]
        assert (place == UNTOUCHED).all(), "written twice"
        place[...] = box

    slices = list(
        differentiate(source, problem, runtime, by=by, memory=MEMORY, write=write if keep else None, vanished=vanished)
    )
    return whole, Slices.joined(slices)


def exact(x: Array, spec: Spec) -> tuple[Array, Array]:
    return gradients(
        x,
        spec.axes,
        spec.beta,
        kind=spec.kind,
        coords=spec.coords,
        values_of=spec.values,
        window=spec.window,
        omit=spec.nan == "omit",
    )


def over(x: Array, spec: Spec) -> tuple[int, ...]:
    """The axes of a gradient that belong to one slice."""
    axes = tuple(axis % x.ndim for axis in spec.axes)
    return (*axes, x.ndim) if len(axes) > 1 else axes


def check(x: Array, runtime: Runtime, spec: Spec) -> None:
    """∂soft/∂x within 1e-5, in double precision 1e-10, of the largest entry of a slice; its norm and extremes too."""
    got, slopes = differentiated(x, runtime, spec)
    want, _ = exact(x, spec)
    assert got.shape == want.shape
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    axes, bound = over(x, spec), 1e-5 if got.dtype == np.float32 else 1e-10
    largest = np.abs(want).max(axis=axes, keepdims=True)
    with np.errstate(invalid="ignore"):
        far = np.abs(got - want) > bound * largest
    assert not far.any(), f"{np.count_nonzero(far)} of {far.size}: {got[far][0]!r}, not {want[far][0]!r}"
    for field, of_slice in (
        ("norm", np.sqrt((want**2).sum(axis=axes))),
        ("min", want.min(axis=axes)),
        ("max", want.max(axis=axes)),
    ):
        close = {"rtol": 3 * bound, "atol": 3 * bound * np.nan_to_num(largest).max()}
        np.testing.assert_allclose(slopes.column(field), of_slice.ravel(), **close)


def check_by_beta(x: Array, runtime: Runtime, spec: Spec) -> None:
    """∂soft/∂β within 1e-5, in double precision 1e-10, of what its terms add up to without their signs."""
    _, slopes = differentiated(x, runtime, spec, "beta")
    want = exact(x, spec)[1]
    a = len(spec.axes)
    want = want.reshape(-1, a).T if a > 1 else want.reshape(1, -1)
    assert slopes.gradient is not None
    assert slopes.gradient.shape == want.shape
    reach = softargmax(x, spec.axes, spec.beta, kind=spec.kind, coords=spec.coords, window=spec.window).flat().spread
    single = spec.resolve(x.shape, x.dtype, FREE).precision == np.float32
    bound = (1e-5 if single else 1e-10) * (1 + 10 * np.nan_to_num(reach) / spec.beta)
    np.testing.assert_array_equal(np.isnan(slopes.gradient), np.isnan(want))
    assert not (np.abs(slopes.gradient - want) > bound).any()
    np.testing.assert_allclose(slopes.column("norm"), np.sqrt((slopes.gradient**2).sum(0)), rtol=1e-12)


def drawn(shape: tuple[int, ...], dtype: str, kind: str, seed: int = 0) -> Array:
    x = np.random.default_rng(seed).normal(size=shape)
    x = x if np.dtype(dtype).kind == "f" else 40 * x
    return (abs(x) if kind == "probs" or dtype[0] == "u" else x).astype(dtype)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "BLOCK", 1 << 14)
    monkeypatch.setattr(stream, "WORTH_COMPILING", 1 << 60)


CASES = [
    *(("f4", "scores", None, "index"), ("f8", "cost", 2, "corners"), ("f4", "probs", 2, "centers")),
    *(("f8", "scores", None, "corners"), ("f4", "cost", None, "centers"), ("f8", "probs", None, "index")),
    *(("f4", "scores", 2, "corners"),),
]


@pytest.mark.parametrize(
    "number", [*range(4), *(pytest.param(k, marks=pytest.mark.slow) for k in range(4, len(CASES)))]
)
def test_every_layout(native_runtime: Runtime, number: int) -> None:
    shape, axes = [*LAYOUTS.values()][number % len(LAYOUTS)]
    dtype, kind, window, coords = CASES[number]
    x = np.asarray(drawn(shape, dtype, kind), order="CF"[number % 3 == 0])  # type: ignore[call-overload]
    spec = Spec(axes, kind, 1.7, coords, window=window)  # type: ignore[arg-type]
    check(x, native_runtime, spec)
    if kind != "probs":
        check_by_beta(x, native_runtime, spec)


def test_a_pipe_that_fits_a_reduction_may_be_too_wide_for_a_gradient() -> None:
    """Whose blocks take more of each element: it is copied first."""
    source: Any = SimpleNamespace(
        shape=(1, 12_000_000),
        dtype=np.dtype("f4"),
        order="C",
        sequential=True,
        chunks=None,
    )
    problem = Spec((0,)).resolve(source.shape, source.dtype, FREE)
    memory = 600_000_000
    assert not Budget(REDUCTION, source, problem, memory).must_seek
    assert Budget(GRADIENT, source, problem, memory).must_seek
    assert not Budget(GRADIENT, source, problem, 10 * memory).must_seek


@pytest.mark.parametrize("dtype", ["?", "f2", "i4", "u8"])
def test_every_dtype(native_runtime: Runtime, dtype: str) -> None:
    for kind in ("scores", "cost", "probs"):
        if kind == "probs" and dtype == "i4":
            continue
        x = drawn((9, 50), dtype, kind)
        if dtype == "u8":  # no float64 tells these apart
            x += np.array(np.iinfo(dtype).max - 400, dtype)
        spec = Spec(kind=kind, beta=0.3)  # type: ignore[arg-type]
        check(x, native_runtime, spec)
        if kind == "cost":
            check_by_beta(x, native_runtime, spec)


@pytest.mark.slow
def test_both_runtimes(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "WORTH_COMPILING", 0)
    x = drawn((3, 5, 300), "f4", "cost")
    x[0, 0, 5] = np.nan
    spec = Spec((2, 0), "cost", 2.0, window=4, nan="omit")
    check(x, runtime, spec)
    check_by_beta(x, runtime, spec)


def test_coordinates_that_are_values(native_runtime: Runtime) -> None:
    rng = np.random.default_rng(5)
    cases: Any = [((40, 12), (0,), "probs", "f8", None), ((3, 60, 90), (2, 1), "scores", "f4", 3)]
    cases += [((30_000,), (0,), "cost", "f8", None)]
    for shape, axes, kind, dtype, window in cases:
        values = tuple(rng.normal(size=shape[axis]) * 10.0**axis + 1000 for axis in axes)
        check(drawn(shape, dtype, kind), native_runtime, Spec(axes, kind, 3.0, values=values, window=window))


@pytest.mark.parametrize(("dtype", "nan"), [("f4", "omit"), ("f8", "propagate")])
def test_infinities_ties_and_nan(
    native_runtime: Runtime, dtype: str, nan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inf = np.inf
    rows = [
        *([1, 3, 3, 2], [0, 0, 0, 0], [-inf, 1, 2, -inf], [inf, 1, 2, 3], [inf, 0, inf, -inf], [-inf] * 4),
        *([np.nan, 1, 2, 3], [np.nan] * 4, [np.nan, inf, 1, 0], [np.nan, -inf, -inf, -inf], [3e38, -3e38, 3e38, 0]),
    ]
    x = np.array(rows, dtype)
    if dtype == "f8":  # slices that are split
        x = np.tile(x, 8)
        monkeypatch.setattr(budget, "BLOCK", 128)
    for kind, window in (("scores", None), ("cost", 1)):
        values = -x if kind == "cost" else x
        spec = Spec(kind=kind, beta=1.5, nan=nan, window=window)  # type: ignore[arg-type]
        check(values, native_runtime, spec)
        check_by_beta(values, native_runtime, spec)
    weights = np.array([[0, 1, 3, 0], [0, 0, 0, 0], [inf, 1, 2, 3], [np.nan, 1, 2, 0]], dtype)
    check(weights, native_runtime, Spec(kind="probs", nan=nan))


def test_what_has_no_answer_is_an_error(native_runtime: Runtime) -> None:
    for values, spec, what in (
        ([[1, np.nan]], Spec(), "1 NaN, at index (0, 1)"),
        ([[-np.inf, -np.inf]], Spec(), "1 slice holds nothing but -inf"),
        ([[1.0, -1.0]], Spec(kind="probs"), "1 negative weight"),
    ):
        with pytest.raises(UndefinedError, match=what.replace("(", r"\(").replace(")", r"\)")):
            differentiated(np.array(values), native_runtime, spec)


def test_finite_differences(native_runtime: Runtime) -> None:
    x = np.random.default_rng(3).normal(size=(3, 4, 5))
    h = 1e-6
    for spec in (Spec((2, 0), "cost", 2.0, "corners"), Spec((2,), beta=3.0, window=1), Spec((0,), "probs")):
        x = abs(x) + 0.1 if spec.kind == "probs" else x
        got, _ = differentiated(x, native_runtime, spec)

        def soft(x: Array, beta: float, spec: Spec = spec) -> Array:
            given = {"kind": spec.kind, "coords": spec.coords, "window": spec.window}
            return softargmax(x, spec.axes, beta, **given).soft  # type: ignore[arg-type]

        for place in np.ndindex(x.shape):
            step = np.zeros(x.shape)
            step[place] = h
            change = (soft(x + step, spec.beta) - soft(x - step, spec.beta)) / (2 * h)
            kept = tuple(place[k] for k in range(x.ndim) if k not in spec.axes)
            want = change[(slice(None), *kept)]
            np.testing.assert_allclose(np.atleast_1d(got[place]), want, rtol=1e-5, atol=1e-7)
        if spec.kind != "probs":
            slopes = differentiated(x, native_runtime, spec, "beta")[1]
            assert slopes.gradient is not None
            change = (soft(x, spec.beta + h) - soft(x, spec.beta - h)) / (2 * h)
            np.testing.assert_allclose(slopes.gradient, change.reshape(len(change), -1), rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_far_from_a_maximum_a_long_slice_is_as_exact(native_runtime: Runtime) -> None:
    """The maximum at one end, the weight at the other, where float32 does not tell the distances apart."""
    n = 17_000_000
    x = np.full(n, -100, "f4")
    x[0] = 0
    x[-4000:] = -5 + np.random.default_rng(8).normal(size=4000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "BLOCK", 2 << 20)
        got, _ = differentiated(x, native_runtime, Spec(beta=1.0))
    weighty = np.array([0, *range(n - 4000, n)])  # in float32 the others weigh nothing
    weight = np.exp(x[weighty].astype("f8"))
    p = weight / weight.sum()
    want = p * (weighty - (p * weighty).sum())
    assert np.abs(got[weighty] - want).max() <= 1e-5 * np.abs(want).max()
    got[weighty] = 0
    assert np.abs(got).max() < 1e-30


@pytest.mark.slow
def test_tails_far_to_either_side_of_a_maximum(native_runtime: Runtime) -> None:
    """Half of the weight is far away on average; what single precision leaves of soft is as large as entries."""
    n = 600_000
    x = np.full((2, n), -13.3, "f4")
    x[1] = np.random.default_rng(9).normal(size=n) * 0.01 - 13
    x[:, n // 2] = 0
    check(x, native_runtime, Spec(beta=1.0))


def test_vanished_is_said_of_norms_below_the_threshold(native_runtime: Runtime) -> None:
    x = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 300.0], [0.0, 0.0, 9.0], [np.nan, 1.0, 2.0]])
    _, slopes = differentiated(x, native_runtime, Spec(beta=1.0, nan="propagate"), vanished=1e-3)
    norm = slopes.column("norm")
    assert slopes.column("vanished").tolist() == [False, True, True, False]
    assert (norm[1] > 0, np.isnan(norm[3])) == (True, True)
    summary = Summary(vanished=0)
    summary.add(slopes)
    said = summary.as_dict()
    assert (said["slices"], said["vanished"], said["undefined"]) == (4, 2, 1)
    np.testing.assert_allclose([said["max_norm"], said["mean_norm"]], [norm[0], norm[:3].mean()])


def test_a_norm_whose_square_is_lost(native_runtime: Runtime) -> None:
    _, slopes = differentiated(np.array([[0.0, 500.0]]), native_runtime, Spec(beta=1.0))
    assert slopes.column("norm")[0] == slopes.column("max")[0] > 0
