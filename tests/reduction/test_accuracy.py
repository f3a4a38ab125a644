"""The numbers of DESIGN section 2, against 60 digits, NumPy's widest float and literals."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from oracle import exact_soft, softargmax
from reductions import EVERYTHING, Array, File, check, reduced

from softargmax_cli.errors import UndefinedError
from softargmax_cli.reduction.formulas import FLOAT_INDEX, TILE
from softargmax_cli.reduction.kernel import block_sums
from softargmax_cli.reduction.layout import Layout
from softargmax_cli.reduction.problem import Spec
from softargmax_cli.tensorflow.base import Runtime

pytestmark = pytest.mark.slow

DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]
BETAS = [1e-3, 0.3, 1.0, 100.0, 1e6]
INF, NAN = math.inf, math.nan


def test_sixty_digits_agree(native_runtime: Runtime) -> None:
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.normal(size=(3, 200)), rng.normal(size=(2, 200)) * 1e-3 + 1e5])
    for values, bound in ((x, 1e-11), (x.astype("f4"), 1e-6)):
        for beta in (1.0, 37.0):
            got = reduced(File(values), native_runtime, Spec(beta=beta))
            want = [exact_soft(row.tolist(), beta) for row in values]
            assert (np.abs(got.soft[0] - want) <= bound * (1 + got.spread[0])).all()


def test_ties_share_and_zeros_of_either_sign_are_equal(native_runtime: Runtime) -> None:
    x = np.array([[1, 7, 7, 0, 7], [2, 2, 2, 2, 2], [-1, -0.0, 0.0, -0.0, -3]], "f4")
    got = reduced(File(x), native_runtime, Spec(beta=1e6))
    assert got.hard.tolist() == [[1, 0, 1]]
    assert got.ties.tolist() == [3, 5, 3]
    np.testing.assert_allclose(got.soft, [[7 / 3, 2.0, 2.0]], atol=1e-6)
    np.testing.assert_allclose(got.peak, [1 / 3, 1 / 5, 1 / 3], rtol=1e-6)


def scores(dtype: str, n: int) -> Array:
    """Slices (s, n) of every character: noise, ties, a ramp, an offset, a plateau, gaps."""
    rng, t, kind = np.random.default_rng(n), np.linspace(0, 1, n), np.dtype(dtype)
    if kind.kind == "b":
        return np.array([rng.random(n) < p for p in (0.0, 0.01, 0.5, 1.0)])
    if kind.kind in "iu":
        low, high = np.iinfo(kind).min, np.iinfo(kind).max
        rows = [
            rng.integers(low, high, n, kind, endpoint=True),
            rng.integers(0, 3, n, kind),
            kind.type(high) - rng.integers(0, 5, n, kind),
            np.where(np.arange(n) == n // 2, kind.type(high), kind.type(low)),
            np.full(n, high, kind),
        ]
        return np.array(rows, kind)
    gaps = np.where(rng.random(n) < 0.5, 1.0, -INF)
    gaps[n // 2] = 0.5  # never all of them
    noise, far = rng.normal(size=n), np.sin(20 * t) + 60000 * (kind.itemsize > 2)
    return np.array([noise, noise * 10, rng.integers(0, 4, n), t * 5, -t * 5, far, np.full(n, 3.0), gaps]).astype(kind)


def all_kinds(x: Array) -> dict[Any, Array]:
    """The same numbers as scores, costs and weights."""
    return {"scores": x, "cost": -x if x.dtype.kind == "f" else x, "probs": np.maximum(x, x.dtype.type(0))}


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(native_runtime: Runtime, dtype: str) -> None:
    for kind, n, precision in (("scores", 300, "auto"), ("cost", 5, "single"), ("probs", 300, "double")):
        x = all_kinds(scores(dtype, n))[kind]
        check(x, native_runtime, Spec(kind=kind, beta=0.3, precision=precision, nan="omit"))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.usefixtures("all_compiled")
@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_every_way_to_run_it(runtime: Runtime, dtype: str) -> None:
    for kind, x in all_kinds(scores(dtype, 300)).items():
        check(x, runtime, Spec(kind=kind, beta=0.3, nan="omit"))


@pytest.mark.parametrize("precision", ["f4", "f8"])
@pytest.mark.parametrize("n", [1, TILE, TILE + 1, 60_000])
def test_every_length(native_runtime: Runtime, n: int, precision: str) -> None:
    x = scores(precision, n)
    for beta in BETAS[1::2] if n < 1000 else BETAS[1:2]:
        check(x, native_runtime, Spec(beta=beta))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("n", [513, 100_000])
def test_a_mode_far_from_the_maximum(native_runtime: Runtime, axis: int, n: int) -> None:
    """Nearly all weight lies where the maximum is not: the bound is in units of the spread, not of the distance."""
    x = np.full((3, n), -50.0, "f4")
    x[0, 9 * n // 10 :] = -1e-3
    x[1, n // 2 : n // 2 + n // 20] = -1e-2
    x[2, -n // 100 :] = -0.7
    x[:, 0] = 0
    check(np.ascontiguousarray(x if axis else x.T), native_runtime, Spec((axis,), beta=3.0))


def test_scores_and_betas_of_any_size(native_runtime: Runtime) -> None:
    """The largest score goes first, so that nothing overflows."""
    tops = [3.4e38, -3.4e38, 3e38, 1e-38, 1.2e-38, 0.0, -0.0]
    x = np.array([tops, tops[::-1], [-3e38] * 6 + [3e38], [3e38] * 7], "f4")
    for beta in (1e-30, 1.0, 1e30):
        check(x, native_runtime, Spec(beta=beta))
    wide = np.concatenate([scores("f8", 40), [np.linspace(-1, 1, 40) * 1.7e308, np.full(40, 1e300)]])
    for beta in (1e-300, 1e300):
        check(wide, native_runtime, Spec(beta=beta))


@pytest.mark.parametrize(
    ("dtype", "row"),
    [
        ("i8", [1 << 60, (1 << 60) + 1, (1 << 60) - 1, 0]),
        ("i8", [-(1 << 63), (1 << 63) - 1, (1 << 63) - 2, -1]),
        ("u8", [0, (1 << 64) - 2, (1 << 64) - 1, 1 << 63]),
        ("i4", [-(1 << 31), (1 << 31) - 1, (1 << 31) - 2, 16777217]),
        ("f8", [1.0, 1.0 + 2**-52, 1.0 - 2**-53, 1.0]),
    ],
)
def test_scores_that_a_narrower_type_confuses(
    native_runtime: Runtime, dtype: str, row: list[float], blocks_of: Callable[[int], None]
) -> None:
    x = np.array([row, row[::-1], row[1:] + row[:1]], dtype)
    blocks_of(16)
    for kind, beta in (("scores", 2.0**-64), ("cost", 1.0)):
        check(x, native_runtime, Spec(kind=kind, beta=beta, precision="single"))  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["single", "double"])
def test_weights_of_any_size(native_runtime: Runtime, precision: Any) -> None:
    rows = [[3.4e38, 1e38, 3.4e38], [1.2e-38, 0, 3e-38], [0, 0, 1e-37], [1e38, 1e-38, 0], [7, 7, 7]]
    check(np.array(rows, "f4"), native_runtime, Spec(kind="probs", precision=precision))
    narrow = [[1e300, 1e299, 0], [1e-60, 1e-61, 0], [1e300, 1e-300, 1e300]]  # beyond what single precision holds
    check(np.array(narrow), native_runtime, Spec(kind="probs", precision=precision))


ODD = [
    [NAN, 1, 2, NAN, 0, 5],
    [NAN] * 6,
    [-INF] * 6,
    [-INF, NAN, -INF, -INF, NAN, -INF],
    [INF, NAN, INF, 0, 3, INF],
    [INF, 3, 0, INF, -INF, 1],
    [-INF, 3, -INF, -INF, 2, -INF],
    [-INF, -3e38, -INF, 3e38, 0, 1],
    [1, 2, 3, 4, 5, 6],
]


@pytest.mark.parametrize(
    ("kind", "policy"), [("scores", "omit"), ("scores", "propagate"), ("cost", "omit"), ("probs", "propagate")]
)
def test_nan_and_infinities(native_runtime: Runtime, kind: Any, policy: Any, blocks_of: Callable[[int], None]) -> None:
    """In whole slices and in parts, with a window and without."""
    values = np.array(ODD)
    if kind == "probs":
        values = np.where(values < 0, 0, values)
    values = -values if kind == "cost" else values
    for nbytes, window, dtype in ((16, None, "f8"), (1000, 3, "f4")):
        blocks_of(nbytes)
        check(values.astype(dtype), native_runtime, Spec((1,), kind, 2.0, window=window, nan=policy))
    check(values[-2:], native_runtime, Spec((1, 0), kind, 2.0, nan=policy))


@pytest.mark.slow
@pytest.mark.usefixtures("all_compiled")
@pytest.mark.parametrize("kind", ["scores", "probs"])
def test_nan_and_infinities_in_compiled_programs(runtime: Runtime, kind: Any) -> None:
    values = np.array(ODD) if kind == "scores" else np.where(np.array(ODD) < 0, 0, ODD)
    check(values, runtime, Spec(kind=kind, beta=2.0, window=2, nan="omit"))


@pytest.mark.slow
@pytest.mark.usefixtures("all_compiled")
def test_a_nan_anywhere_is_noticed(runtime: Runtime) -> None:
    """Whatever a vector unit makes of a comparison with NaN, and XLA of a maximum of nothing."""
    for kind, rest in (("scores", -INF), ("probs", 0.0)):
        x = np.full((70, 70), rest, "f4")
        x[np.arange(70), np.arange(70)] = np.nan
        for axis in (0, 1):
            with pytest.raises(UndefinedError, match=r"^70 NaNs, the first at index \(0, 0\)"):
                reduced(File(x), runtime, Spec((axis,), kind))  # type: ignore[arg-type]


def test_subnormal_scores_are_themselves_or_all_zero(native_runtime: Runtime) -> None:
    """TensorFlow flushes them in some of its kernels and threads; the guide says so."""
    for dtype, tiny in (("f4", 1e-40), ("f8", 1e-310)):
        x = np.array([[tiny, 2 * tiny, 0.0], [-tiny, 0.0, tiny]], dtype)
        assert reduced(File(x), native_runtime, Spec(beta=1.0)).hard.tolist() in ([[1, 2]], [[0, 0]])


def test_what_must_not_matter(native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    """The order of axes, a shift of all scores, the sign of costs, the unit of weights."""
    blocks_of(400)
    integers = np.random.default_rng(3).integers(-9, 9, (5, 6, 7), dtype="i8")
    whole = reduced(File(integers), native_runtime, Spec((0, 2), beta=0.5, window=2))
    same = [
        reduced(File(integers + (1 << 62)), native_runtime, Spec((0, 2), beta=0.5, window=2)),
        reduced(File((1 << 62) - integers), native_runtime, Spec((0, 2), "cost", 0.5, window=2)),
    ]
    turned = reduced(File(integers), native_runtime, Spec((2, 0), beta=0.5, window=2))
    for field in EVERYTHING:
        for other in same:
            np.testing.assert_array_equal(other.column(field), whole.column(field))
        column = turned.column(field)
        np.testing.assert_array_equal(column[::-1] if column.ndim > 1 else column, whole.column(field))
    weights = np.abs(integers).astype("f4")
    one, other = (
        reduced(File(x), native_runtime, Spec((0, 2), "probs")) for x in (weights, weights * np.float32(2.0**100))
    )
    for field in EVERYTHING:
        np.testing.assert_array_equal(one.column(field), other.column(field))


def test_a_block_too_long_for_exact_positions() -> None:
    for shape, axes in (((FLOAT_INDEX,), (0,)), ((4096, 2, 4096), (0, 2))):
        layout = Layout(shape, axes, np.dtype("u1"), np.dtype("f4"), ("maximum", "hard", "mass", "moment"))
        with pytest.raises(ValueError, match="too long"):
            block_sums(SimpleNamespace(), None, None, layout)


@pytest.mark.slow
@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gpu_says_what_the_cpu_says(dtype: str, gpu_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    blocks_of(64 << 10)
    for kind, x in all_kinds(scores(dtype, 700)).items():
        for axes, precision in (((1,), "single"), ((0,), "double"), ((1, 0), "single")):
            check(x, gpu_runtime, Spec(axes, kind, 1.0, nan="propagate", precision=precision))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.gpu
@pytest.mark.usefixtures("all_compiled")
def test_a_gpu_compiles_too(gpu_runtime: Runtime) -> None:
    values = np.random.default_rng(1).normal(size=(40, 700)).astype("f4")
    got = reduced(File(values), gpu_runtime, Spec(beta=1.0))
    np.testing.assert_array_equal(got.hard[0], values.argmax(1))
    np.testing.assert_allclose(got.soft, softargmax(values, 1, 1.0).flat().soft, rtol=1e-5)
