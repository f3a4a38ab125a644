"""The reduction of one block, by both runtimes, compiled by XLA and not, against the oracle."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import assert_answers, exact_soft, softargmax

from softargmax_cli.reduction.finish import finish
from softargmax_cli.reduction.kernel import FLOAT_INDEX, TILE, Layout, block_sums
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.state import State
from softargmax_cli.runtime.base import Runtime

Array = npt.NDArray[Any]
DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]
BETAS = [1e-3, 0.3, 1.0, 100.0, 1e6]


@dataclass(frozen=True)
class Sums:
    """What the kernel said of one block."""

    state: State
    nans: Array | None

    @property
    def slices(self) -> Slices:
        return finish(self.state, 0)


Kernel = Callable[..., Sums]


WAYS = ["native", "native-XLA", "python", "python-XLA"]
MOST_WAYS = pytest.mark.parametrize("kernel", WAYS[:3], indirect=True)
"""Without the last, which is XLA's program once more, for tests that need many of them."""


@pytest.fixture(params=WAYS)
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """Reduce a block by one runtime, compiled or not; a layout is made ready once in a test."""
    name, _, xla = request.param.partition("-")
    runtime: Runtime = request.getfixturevalue(f"{name}_runtime")
    functions: dict[Layout, Any] = {}

    def sums(
        x: Array,
        axes: tuple[int, ...] = (-1,),
        beta: float = 1.0,
        precision: str | None = None,
        *,
        careful: bool = False,
        bare: bool = False,
    ) -> Sums:
        wanted = not bare
        axes = tuple(axis % x.ndim for axis in axes)
        weights = np.dtype(precision or usual(x.dtype))
        layout = Layout(x.shape, axes, x.dtype, weights, wanted, wanted, wanted, careful)
        if layout not in functions:

            def body(ops: Any, x: Any, beta: Any, layout: Layout = layout) -> list[Any]:
                return block_sums(ops, x, beta, layout)

            tensors = [(layout.shape, layout.dtype), ((), weights)]
            functions[layout] = runtime.function(body, tensors, compiled=bool(xla))
        results = functions[layout](np.ascontiguousarray(x), np.asarray(beta, weights))
        nans = results.pop() if careful else None
        maximum, hard, *rest = results
        if maximum.dtype.kind == "f":
            maximum = maximum.astype(float)
        return Sums(State(maximum, hard.astype(np.int64), *(part.astype(float) for part in rest)), nans)

    return sums


def usual(dtype: np.dtype[Any]) -> str:
    """The precision that `auto` means."""
    return "f4" if dtype.itemsize <= 2 or dtype == np.float32 else "f8"


def scores(dtype: str, n: int, seed: int = 0) -> Array:
    """Slices (s, n) of every character: noise, ties, a ramp, an offset, a plateau, gaps."""
    rng = np.random.default_rng([n, seed])
    t = np.linspace(0, 1, n)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        rows = [rng.random(n) < p for p in (0.0, 0.01, 0.5, 1.0)]
        return np.array(rows)
    if kind.kind in "iu":
        info = np.iinfo(kind)
        rows = [
            rng.integers(info.min, info.max, n, kind, endpoint=True),
            rng.integers(0, 3, n, kind),
            kind.type(info.max) - rng.integers(0, 5, n, kind),
            np.where(np.arange(n) == n // 2, kind.type(info.max), kind.type(info.min)),
            np.full(n, info.max, kind),
        ]
        return np.array(rows, kind)
    rows = [
        rng.normal(size=n),
        rng.normal(size=n) * 10,
        rng.integers(0, 4, n),
        t * 5,
        -t * 5,
        np.sin(20 * t) + 60000 * (kind.itemsize > 2),
        np.full(n, 3.0),
        np.where(rng.random(n) < 0.5, 1.0, -np.inf),
    ]
    rows[-1][n // 2] = 0.5  # never all of them
    return np.array(rows).astype(kind)


def check(kernel: Kernel, x: Array, axis: int, beta: float, precision: str) -> None:
    assert_answers(kernel(x, (axis,), beta, precision).slices, softargmax(x, axis, beta), single=precision == "f4")


@MOST_WAYS
@pytest.mark.parametrize("precision", ["f4", "f8"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(kernel: Kernel, dtype: str, precision: str) -> None:
    for n in (5, 300):
        x = scores(dtype, n)
        for beta in BETAS:
            check(kernel, x, 1, beta, precision)


@MOST_WAYS
@pytest.mark.parametrize("precision", ["f4", "f8"])
@pytest.mark.parametrize("n", [1, 2, 16, TILE - 1, TILE, TILE + 1, 1000, 5000, 100_000])
def test_every_length(kernel: Kernel, n: int, precision: str) -> None:
    x = scores(precision, n)
    for beta in BETAS:
        check(kernel, x, 1, beta, precision)


@MOST_WAYS
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("n", [4, 60, 600])
def test_every_axis(kernel: Kernel, axis: int, n: int) -> None:
    x = np.random.default_rng(n).normal(size=(n, 3, 5)).astype("f4")
    x = np.ascontiguousarray(np.moveaxis(x, 0, axis))
    for beta in BETAS:
        check(kernel, x, axis, beta, "f4")


@MOST_WAYS
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("n", [513, 5000, 100_000])
def test_a_mode_far_from_the_maximum(kernel: Kernel, axis: int, n: int) -> None:
    """Nearly all weight lies where the maximum is not: the bound is in units of the spread, not of the distance."""
    x = np.full((3, n), -50.0, "f4")
    x[0, 9 * n // 10 :] = -1e-3
    x[1, n // 2 : n // 2 + n // 20] = -1e-2
    x[2, -n // 100 :] = -0.7
    x[:, 0] = 0
    x = np.ascontiguousarray(x if axis else x.T)
    for beta in (1.0, 3.0):
        check(kernel, x, axis, beta, "f4")


def test_one_slice(kernel: Kernel) -> None:
    x = np.random.default_rng(1).normal(size=777)
    for beta in BETAS:
        check(kernel, x, 0, beta, "f8")


@pytest.mark.parametrize("beta", [1e-300, 1e300])
def test_extreme_betas(kernel: Kernel, beta: float) -> None:
    x = np.concatenate([scores("f8", 40), [np.linspace(-1, 1, 40) * 1.7e308, np.full(40, 1e300)]])
    check(kernel, x, 1, beta, "f8")
    check(kernel, scores("i8", 40), 1, beta, "f8")


def test_scores_of_any_size(kernel: Kernel) -> None:
    """The largest score goes first, so that nothing overflows."""
    tops = [3.4e38, -3.4e38, 3e38, 1e-38, 1.2e-38, 0.0, -0.0]
    x = np.array([tops, tops[::-1], [-3e38] * 6 + [3e38], [3e38] * 7], "f4")
    for beta in (1e-30, *BETAS, 1e30):
        check(kernel, x, 1, beta, "f4")


def test_sixty_digits_agree(kernel: Kernel) -> None:
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.normal(size=(3, 200)), rng.normal(size=(2, 200)) * 1e-3 + 1e5])
    for beta in (0.01, 1.0, 37.0, 1e4):
        got = kernel(x, beta=beta).slices
        want = [exact_soft(row.tolist(), beta) for row in x]
        assert np.max(np.abs(got.soft - want) / (1 + got.spread)) <= 1e-11


def test_the_tutorials_case(kernel: Kernel) -> None:
    x = np.array([[5, 2, 1, 2], [3.9, 4, 1, 2], [2, 5.9, 6, 2]])
    for precision in ("f4", "f8"):
        got = kernel(x.astype(precision), beta=100.0, precision=precision).slices
        assert got.hard.tolist() == [0, 1, 2]
        np.testing.assert_allclose(got.soft, [0.0, 0.9999546021312976, 1.9999546021312976], rtol=0, atol=1e-7)


def test_scipys_case(kernel: Kernel) -> None:
    """The weights are those that scipy.special.softmax documents for numpy.arange(4)."""
    p = np.array([0.03205860328008499, 0.08714431874203256, 0.23688281808991013, 0.6439142598879722])
    got = kernel(np.arange(4.0)[None], beta=1.0).slices
    assert got.soft[0] == pytest.approx(2.4926527345857696, abs=1e-14)
    assert got.peak[0] == pytest.approx(p[3], abs=1e-15)
    assert got.entropy[0] == pytest.approx(-(p * np.log(p)).sum(), abs=1e-14)
    assert got.spread[0] == pytest.approx(math.sqrt((p * (np.arange(4) - 2.4926527345857696) ** 2).sum()), abs=1e-14)


@MOST_WAYS
@pytest.mark.parametrize(
    ("dtype", "row"),
    [
        ("i8", [1 << 60, (1 << 60) + 1, (1 << 60) - 1, 0]),
        ("i8", [-(1 << 63), (1 << 63) - 1, (1 << 63) - 2, -1]),
        ("i8", [-(1 << 63), -(1 << 63) + 1, -(1 << 63), -(1 << 63)]),
        ("u8", [0, (1 << 64) - 2, (1 << 64) - 1, 1 << 63]),
        ("u8", [1 << 63, (1 << 63) + 1, (1 << 63) - 1, 0]),
        ("i4", [-(1 << 31), (1 << 31) - 1, (1 << 31) - 2, 16777217]),
        ("u4", [0, (1 << 32) - 2, (1 << 32) - 1, 16777217]),
        ("f8", [1.0, 1.0 + 2**-52, 1.0 - 2**-53, 1.0]),
    ],
)
@pytest.mark.parametrize("precision", ["f4", "f8"])
def test_scores_that_a_narrower_type_confuses(kernel: Kernel, dtype: str, row: list[float], precision: str) -> None:
    x = np.array([row, row[::-1], row[1:] + row[:1]], dtype)
    for beta in (2.0**-64, 1e-3, 1.0, 100.0):
        check(kernel, x, 1, beta, precision)


def test_ties_share(kernel: Kernel) -> None:
    x = np.array([[1, 7, 7, 0, 7], [2, 2, 2, 2, 2]], "f4")
    got = kernel(x, beta=1e6).slices
    assert got.hard.tolist() == [1, 0]
    assert got.ties.tolist() == [3, 5]
    np.testing.assert_allclose(got.soft, [7 / 3, 2.0], atol=1e-6)
    np.testing.assert_allclose(got.peak, [1 / 3, 1 / 5], rtol=1e-6)


def test_zeros_of_either_sign_are_equal(kernel: Kernel) -> None:
    got = kernel(np.array([[-1.0, -0.0, 0.0], [-1.0, 0.0, -0.0]], "f4"), beta=100.0).slices
    assert got.hard.tolist() == [1, 1]
    assert got.ties.tolist() == [2, 2]


class TestSeveralAxes:
    @pytest.mark.parametrize("axes", [(0, 1), (1, 2), (0, 2), (0, 1, 2)])
    @pytest.mark.parametrize("shape", [(3, 4, 5), (2, 30, 40)])
    def test_moments_along_each(self, kernel: Kernel, axes: tuple[int, ...], shape: tuple[int, ...]) -> None:
        x = np.round(np.random.default_rng(3).normal(size=shape), 1)
        got = kernel(x, axes, 2.0).state
        kept = [k for k in range(3) if k not in axes]
        rows = np.transpose(x, kept + list(axes)).reshape(-1, *[shape[k] for k in axes])
        assert got.hard.shape == got.moment.shape == got.second_moment.shape == (len(axes), len(rows))
        for k, row in enumerate(rows):
            first = np.unravel_index(row.argmax(), row.shape)
            assert got.hard[:, k].tolist() == [int(i) for i in first]
            weight = np.exp(2.0 * (row - row.max()))
            assert got.mass[k] == pytest.approx(weight.sum())
            assert got.ties[k] == np.count_nonzero(row == row.max())
            for a, index in enumerate(np.indices(row.shape)):
                away = index - first[a]
                assert got.moment[a, k] == pytest.approx((weight * away).sum(), abs=1e-9)
                assert got.second_moment[a, k] == pytest.approx((weight * away**2).sum(), abs=1e-7)


class TestOddScores:
    def test_a_nan_anywhere_is_noticed(self, kernel: Kernel) -> None:
        """Whatever a vector unit makes of a comparison with NaN."""
        for dtype in ("f2", "f4", "f8"):
            for n in (1, 7, 70) if dtype == "f4" else (70,):
                x = np.tile(np.arange(n).astype(dtype), (n + 1, 1))
                x[np.arange(n), np.arange(n)] = np.nan
                np.testing.assert_array_equal(np.isnan(kernel(x, bare=True).state.mass), np.arange(n + 1) < n)
                np.testing.assert_array_equal(np.isnan(kernel(x.T, (0,), bare=True).state.mass), np.arange(n + 1) < n)

    def test_what_needs_care_is_noticed(self, kernel: Kernel) -> None:
        inf = math.inf
        x = np.array([[inf, 0, 1], [-inf, -inf, -inf], [-inf, 0, 1], [0, inf, inf], [np.nan] * 3, [0, 1, 2]], "f4")
        mass = kernel(x, bare=True).state.mass
        np.testing.assert_array_equal(np.isnan(mass), [True, True, False, True, True, False])

    def test_care_answers_them(self, kernel: Kernel) -> None:
        inf, nan = math.inf, math.nan
        rows = [
            [inf, 0, 1, 2],
            [0, inf, -inf, inf],
            [-inf, -inf, -inf, -inf],
            [-inf, 5, -inf, -inf],
            [nan, nan, nan, nan],
            [nan, 1, 2, nan],
            [nan, inf, 2, inf],
            [nan, -inf, -inf, nan],
            [-inf, -3e38, -inf, 3e38],
            [0.5, 0.25, 1, 2],
        ]
        for dtype in ("f2", "f4", "f8"):
            x = np.clip(np.array(rows), -6e4, 6e4).astype(dtype) if dtype == "f2" else np.array(rows, dtype)
            x[np.isinf(np.array(rows))] = np.array(rows)[np.isinf(rows)]
            for precision in ("f4", "f8"):
                for beta in BETAS:
                    got = kernel(x, beta=beta, precision=precision, careful=True)
                    want = softargmax(x, 1, beta, omit=True)
                    assert_answers(got.slices, want, single=precision == "f4")
                    assert got.nans.tolist() == np.isnan(x).sum(-1).tolist()

    def test_care_changes_nothing_where_none_is_needed(self, kernel: Kernel) -> None:
        x = scores("f4", TILE + 9)
        for beta in BETAS:
            want = softargmax(x, 1, beta)
            assert_answers(kernel(x, beta=beta, careful=True).slices, want, single=True)

    def test_subnormal_scores_are_themselves_or_all_zero(self, kernel: Kernel) -> None:
        """TensorFlow flushes them in some of its kernels and threads; the README says so."""
        for dtype, tiny in (("f4", 1e-40), ("f8", 1e-310)):
            x = np.array([[tiny, 2 * tiny, 0.0], [-tiny, 0.0, tiny]], dtype)
            assert kernel(x, beta=1.0).state.hard.tolist() in ([[1, 2]], [[0, 0]])


NUMBERS = st.one_of(
    st.floats(width=32, allow_subnormal=False),
    st.sampled_from([math.inf, -math.inf, math.nan, 0.0, 1.0, 3e38]),
    st.integers(-3, 3).map(float),
)


@pytest.mark.parametrize("precision", ["f4", "f8"])
def test_any_scores(kernel: Kernel, precision: str) -> None:
    """Of one shape, so that one program serves all examples."""
    shape = (4, 9)

    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(NUMBERS, min_size=36, max_size=36), st.sampled_from([1e-3, 1.0, 100.0, 1e6]))
    def holds(numbers: list[float], beta: float) -> None:
        x = np.array(numbers, "f4").reshape(shape)
        got = kernel(x, beta=beta, precision=precision, careful=True).slices
        assert_answers(got, softargmax(x, 1, beta, omit=True), single=precision == "f4")
        easy = kernel(x, beta=beta, precision=precision)
        fine = ~np.isnan(easy.state.mass)
        with np.errstate(invalid="ignore"):
            needs_care = np.isnan(x).any(1) | (x.max(1) == np.inf) | (x == -np.inf).all(1)
        np.testing.assert_array_equal(fine, ~needs_care)
        assert_answers(
            easy.slices, softargmax(np.where(fine[:, None], x, np.float32(np.nan)), 1, beta), single=precision == "f4"
        )

    holds()


def test_fields_not_wanted_are_not_computed(runtime: Runtime) -> None:
    layout = Layout((2, 3), (1,), np.dtype("f4"), np.dtype("f4"))
    tensors = [(layout.shape, layout.dtype), ((), layout.precision)]
    function = runtime.function(lambda ops, x, beta: block_sums(ops, x, beta, layout), tensors, compiled=False)
    results = function(np.zeros((2, 3), "f4"), np.ones((), "f4"))
    assert [(part.shape, part.dtype) for part in results] == [
        ((2,), np.dtype("f4")),
        ((1, 2), np.dtype("f4")),
        ((2,), np.dtype("f4")),
        ((1, 2), np.dtype("f4")),
    ]


def test_a_block_too_long_for_exact_positions() -> None:
    nothing = SimpleNamespace()
    for shape, axes in (((FLOAT_INDEX,), (0,)), ((4096, 2, 4096), (0, 2))):
        layout = Layout(shape, axes, np.dtype("u1"), np.dtype("f4"))
        with pytest.raises(ValueError, match="too long"):
            block_sums(nothing, None, None, layout)
