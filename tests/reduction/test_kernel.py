"""The reduction of one block, by both runtimes, compiled by XLA and not, against the oracle."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import FIELDS, assert_answers, exact_soft, softargmax

from softargmax_cli.reduction.finish import finish
from softargmax_cli.reduction.formulas import FLOAT_INDEX, TILE, Kind, Layout, Row, exact_dtype
from softargmax_cli.reduction.kernel import block_sums
from softargmax_cli.reduction.moments import Line
from softargmax_cli.reduction.problem import Problem, Spec
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.state import State
from softargmax_cli.tensorflow.base import Runtime

pytestmark = pytest.mark.sampled(6)

Array = npt.NDArray[Any]
DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]
BETAS = [1e-3, 0.3, 1.0, 100.0, 1e6]
KINDS: list[Kind] = ["scores", "cost", "probs"]
USUAL = ("maximum", "hard", "mass", "moment", "second_moment", "log_moment", "ties")
"""What most fields are made of."""
EVERY = (*USUAL, "second")
"""What every field is made of, which takes XLA half as long again to compile."""


def rows_of(axes: int, placed: bool = False) -> tuple[Row, ...]:
    """The moments of values, if any, and of indices along each axis."""
    kinds = [True, False] if placed else [False]
    return tuple(Row(axis, Line(), kind, True) for kind in kinds for axis in range(axes))


@dataclass(frozen=True)
class Sums:
    """What the kernel said of one block, under the names that it has for it."""

    parts: dict[str, Array]
    problem: Problem

    def __getitem__(self, name: str) -> Array:
        return self.parts[name]

    @property
    def state(self) -> State:
        parts = {name: part.astype(float) for name, part in self.parts.items() if name not in ("total", "nans")}
        if self.parts["maximum"].dtype.kind != "f":
            parts["maximum"] = self.parts["maximum"]
        hard = parts.pop("hard").astype(np.int64)
        return State(parts.pop("maximum"), hard, parts.pop("mass"), parts.pop("moment"), **parts)

    @property
    def slices(self) -> Slices:
        lengths = [self.problem.shape[axis] or 0 for axis in self.problem.axes]
        return finish(self.state, self.problem, lengths, 0)


Kernel = Callable[..., Sums]


WAYS = ["native", "native-XLA", "python", "python-XLA"]
MOST_WAYS = pytest.mark.parametrize("kernel", WAYS[:3], indirect=True)
"""Without the last, which is XLA's program once more, for tests that need many of them."""
NOT_COMPILED = pytest.mark.parametrize("kernel", WAYS[::2], indirect=True)
"""For tests of very many layouts, each of which costs XLA a second."""


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
        outputs: tuple[str, ...] = USUAL,
        kind: Kind = "scores",
        window: int | None = None,
        radius: int | None = None,
        places: Sequence[Array] = (),
        known: Sequence[Array] = (),
        careful: bool = False,
        border: tuple[tuple[int, int], ...] = (),
        bare: bool = False,
    ) -> Sums:
        """known: maximum, then for each axis hard, then for each axis the coordinate there, all (s,)."""
        axes = tuple(axis % x.ndim for axis in axes)
        weights, wide = np.dtype(precision or usual(x.dtype)), np.dtype("f8")
        names = ("maximum", "hard", "mass", "moment") if bare else (*outputs, *["nans"] * careful)
        near = radius if radius is not None else 1 if window is None else window
        shape = list(x.shape)
        for axis, pair in zip(axes, border, strict=False):
            shape[axis] -= sum(pair)
        rows = rows_of(len(axes), bool(places))
        layout = Layout(
            tuple(shape), axes, x.dtype, weights, names, kind, window, near, bool(known), careful, border, rows
        )
        dtypes = [exact_dtype(x.dtype, weights), *[weights] * len(axes), *[wide] * len(places)] if known else []
        if layout not in functions:

            def body(ops: Any, x: Any, beta: Any, *more: Any, layout: Layout = layout) -> list[Any]:
                return block_sums(ops, x, beta, layout, more[: len(places)], more[len(places) :])

            tensors = [(x.shape, layout.dtype), ((), weights), *[(values.shape, wide) for values in places]]
            tensors += [(row.shape, dtype) for row, dtype in zip(known, dtypes, strict=True)]
            functions[layout] = runtime.function(body, tensors, compiled=bool(xla))
        given = [row.astype(dtype) for row, dtype in zip(known, dtypes, strict=True)]
        results = functions[layout](np.ascontiguousarray(x), np.asarray(beta, weights), *places, *given)
        problem = Spec(axes, kind, beta, values=tuple(places) or None, window=window).resolve(
            tuple(shape), x.dtype, frozenset(FIELDS)
        )
        return Sums(dict(zip(names, results, strict=True)), problem)

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


@dataclass(frozen=True)
class Want:
    """A sum, and that of its terms without their signs, each counted for more the further its exponent is from 0."""

    sum: Array
    size: Array


def wanted(
    x: Array,
    axes: tuple[int, ...],
    beta: float,
    *,
    kind: Kind = "scores",
    window: int | None = None,
    radius: int | None = None,
    places: Sequence[Array] = (),
    box: tuple[slice, ...] = (),
) -> dict[str, Want]:
    """What the kernel must say of the part `box` of an array, relative to the maximum of all of it; NaN is absent."""
    kept = [k for k in range(x.ndim) if k not in axes]
    lengths = [x.shape[axis] for axis in axes]
    rows = x.transpose(kept + list(axes)).reshape(-1, *lengths)
    inside = np.zeros(x.shape, bool)
    inside[box] = True
    inside = inside.transpose(kept + list(axes)).reshape(-1, *lengths)[0]
    found = [_wanted(row, beta, kind, window, radius, places, inside) for row in rows]
    turned = {
        name: (np.array([one[name][0] for one in found]), np.array([one[name][1] for one in found], float))
        for name in found[0]
    }
    starts = np.array([s.start for s in box])[list(axes), None] if box else 0
    turned["hard"] = (turned["hard"][0] - starts.T if box else turned["hard"][0], turned["hard"][1])
    return {name: Want(*(part.T for part in pair)) for name, pair in turned.items()}


def _wanted(
    row: Array, beta: float, kind: Kind, window: int | None, radius: int | None, places: Sequence[Array], inside: Array
) -> dict[str, tuple[Any, Any]]:
    """The same of one slice."""
    wide = np.longdouble
    if row.dtype.kind == "f":
        nan = np.isnan(row)
        score = np.where(nan, math.inf if kind == "cost" else 0 if kind == "probs" else -math.inf, row.astype(wide))
    else:
        nan, score = np.zeros(row.shape, bool), row.astype(object)
    score = -score if kind == "cost" else score
    best = score.max()
    hit = score == best
    hard = [int(i) for i in np.unravel_index(hit.argmax(), row.shape)]
    with np.errstate(all="ignore"):
        if kind == "probs":
            share = (score / best if 0 < best < math.inf else hit * (best > 0)).astype(wide)
        else:
            share = np.exp(np.where(hit, wide(0), wide(beta) * (score - best).astype(wide)))
            share = np.where(score == -math.inf, wide(0), share)
        log = np.where(share > 0, np.log(share), 0)
    away = [index - at for index, at in zip(np.indices(row.shape), hard, strict=True)]
    far = np.max(np.abs(away), axis=0)
    weight = share if window is None else np.where(far <= window, share, 0)
    near = radius if radius is not None else 1 if window is None else window

    mode = score > score[tuple(index - np.sign(d) for index, d in zip(np.indices(row.shape), away, strict=True))]
    padded = np.pad(score, 1, constant_values=-math.inf)
    for step in itertools.product(range(3), repeat=row.ndim):
        mode &= score >= padded[tuple(slice(k, k + n) for k, n in zip(step, row.shape, strict=True))]

    def total(terms: Array) -> tuple[Any, Any]:
        return float(terms[inside].sum()), float((abs(terms) * (1 - log / 16))[inside].sum())

    def largest(beyond: int) -> tuple[Any, Any]:
        some = np.where(inside & (far > beyond) & mode, share, 0)
        at = some.argmax()
        return float(some.max()), float(some.max() * (1 - log.flat[at] / 16))

    distances = [values - values[at] for values, at in zip(places, hard, strict=bool(places))]
    shape = [[-1 if k == axis else 1 for k in range(row.ndim)] for axis in range(row.ndim)]
    by_value = [distance.reshape(s).astype(wide) for distance, s in zip(distances, shape, strict=bool(places))]
    each: dict[str, list[tuple[Any, Any]]] = {
        "hard": [(at, 0) for at in hard],
        "moment": [total(weight * d) for d in (*by_value, *away)],
        "second_moment": [total(weight * d * d) for d in (*by_value, *away)],
    }
    return {
        "maximum": (best, 0),
        "mass": total(weight),
        "total": total(share),
        "log_moment": total(weight * log),
        "ties": (np.count_nonzero(hit & inside), 0),
        "nans": (np.count_nonzero(nan & inside), 0),
        "second": largest(near),
        **{name: ([n for n, _ in pairs], [n for _, n in pairs]) for name, pairs in each.items()},
    }


def assert_sums(got: Sums, want: dict[str, Want], *, single: bool) -> None:
    """Up to rounding in proportion to what was added up."""
    for name, part in got.parts.items():
        if name == "maximum":  # of −x or −x − 1, for a cost
            continue
        exact, size = (np.asarray(array, float) for array in (want[name].sum, want[name].size))
        assert part.shape == exact.shape, name
        bound = (4e-6 if single else 1e-12) * size + (1e-30 if single else 1e-300)
        assert (abs(part - exact) <= bound).all(), f"{name}: {part}, not {exact}"


def check(
    kernel: Kernel,
    x: Array,
    axis: int | tuple[int, ...],
    beta: float,
    precision: str,
    *,
    omit: bool = False,
    **more: Any,
) -> None:
    """more: `kind` and `window`, and then there is the second mode, too."""
    axes = (axis,) if isinstance(axis, int) else axis
    got = kernel(x, axes, beta, precision, careful=omit, outputs=EVERY if more else USUAL, **more).slices
    assert_answers(got, softargmax(x, axes, beta, omit=omit, **more), single=precision == "f4")


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
        assert got.spread is not None
        assert np.max(np.abs(got.soft - want) / (1 + got.spread)) <= 1e-11


def test_the_tutorials_case(kernel: Kernel) -> None:
    x = np.array([[5, 2, 1, 2], [3.9, 4, 1, 2], [2, 5.9, 6, 2]])
    for precision in ("f4", "f8"):
        got = kernel(x.astype(precision), beta=100.0, precision=precision).slices
        assert got.hard.tolist() == [[0, 1, 2]]
        np.testing.assert_allclose(got.soft, [[0.0, 0.9999546021312976, 1.9999546021312976]], rtol=0, atol=1e-7)


def test_scipys_case(kernel: Kernel) -> None:
    """The weights are those that scipy.special.softmax documents for numpy.arange(4)."""
    p = np.array([0.03205860328008499, 0.08714431874203256, 0.23688281808991013, 0.6439142598879722])
    got = kernel(np.arange(4.0)[None], beta=1.0).slices
    assert got.soft[0, 0] == pytest.approx(2.4926527345857696, abs=1e-14)
    assert got.peak[0] == pytest.approx(p[3], abs=1e-15)
    assert got.entropy is not None
    assert got.spread is not None
    assert got.entropy[0] == pytest.approx(-(p * np.log(p)).sum(), abs=1e-14)
    spread = math.sqrt((p * (np.arange(4) - 2.4926527345857696) ** 2).sum())
    assert got.spread[0, 0] == pytest.approx(spread, abs=1e-14)


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
    assert got.ties is not None
    assert got.hard.tolist() == [[1, 0]]
    assert got.ties.tolist() == [3, 5]
    np.testing.assert_allclose(got.soft, [[7 / 3, 2.0]], atol=1e-6)
    np.testing.assert_allclose(got.peak, [1 / 3, 1 / 5], rtol=1e-6)


def test_zeros_of_either_sign_are_equal(kernel: Kernel) -> None:
    got = kernel(np.array([[-1.0, -0.0, 0.0], [-1.0, 0.0, -0.0]], "f4"), beta=100.0).slices
    assert got.ties is not None
    assert got.hard.tolist() == [[1, 1]]
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
                    got = kernel(x, beta=beta, precision=precision, careful=True, outputs=EVERY)
                    want = softargmax(x, 1, beta, omit=True)
                    assert_answers(got.slices, want, single=precision == "f4")
                    assert got["nans"].tolist() == np.isnan(x).sum(-1).tolist()

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
    layout = Layout(
        (2, 3), (1,), np.dtype("f4"), np.dtype("f4"), ("maximum", "hard", "mass", "moment"), rows=rows_of(1)
    )
    tensors = [(layout.shape, layout.dtype), ((), layout.precision)]
    function = runtime.function(lambda ops, x, beta: block_sums(ops, x, beta, layout), tensors, compiled=False)
    results = function(np.zeros((2, 3), "f4"), np.ones((), "f4"))
    assert [(part.shape, part.dtype) for part in results] == [
        ((2,), np.dtype("f4")),
        ((1, 2), np.dtype("f4")),
        ((2,), np.dtype("f4")),
        ((1, 2), np.dtype("f4")),
    ]


@MOST_WAYS
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", [0, 1, 5, 1 << 62])
def test_windows(kernel: Kernel, window: int, kind: Kind) -> None:
    """All that is said of a block, in one tile and in several, along one axis and along two."""
    number = [0, 1, 5, 1 << 62].index(window) + KINDS.index(kind)
    shape, axes, precision = [((6, 300), (1,), "f4"), ((3, 14, 30), (1, 2), "f4"), ((4, 5, 6), (2, 0), "f8")][
        number % 3
    ]
    rng = np.random.default_rng(number)
    x = np.round(rng.normal(size=shape), 1).astype(precision)
    x = np.maximum(x, 0) if kind == "probs" else x
    places = [rng.normal(size=shape[axis]) * 100 + 1000 for axis in axes]
    outputs = ("maximum", "hard", "total", *EVERY[2:])
    got = kernel(x, axes, 3.0, precision, outputs=outputs, kind=kind, window=window, places=places)
    want = wanted(x, axes, 3.0, kind=kind, window=window, places=places)
    assert_sums(got, want, single=precision == "f4")
    best = (-x if kind == "cost" else x).max(axes)
    np.testing.assert_array_equal(got["maximum"], best.ravel())


@MOST_WAYS
@pytest.mark.parametrize("axes", [(1, 0), (2, 0), (2, 1), (1, 2, 0), (2, 1, 0), (0, 2, 1)])
def test_axes_in_any_order(kernel: Kernel, axes: tuple[int, ...]) -> None:
    """The first maximum is that of the lowest index along the axis named first, as in memory of Fortran order."""
    x = np.random.default_rng(8).integers(0, 3, (4, 5, 7)).astype("f4")
    places = [np.cos(np.arange(x.shape[axis])) for axis in axes]
    outputs = (*EVERY, "total")
    got = kernel(x, axes, 0.5, outputs=outputs, window=2, radius=1, places=places)
    assert_sums(got, wanted(x, axes, 0.5, window=2, radius=1, places=places), single=True)


@MOST_WAYS
@pytest.mark.parametrize(("axes", "precision"), [((2, 1), "f4"), ((2, 0, 1), "f4"), ((1, 0), "f8")])
def test_axes_in_any_order_in_many_tiles(kernel: Kernel, axes: tuple[int, ...], precision: str) -> None:
    x = np.round(np.random.default_rng(8).normal(size=(3, 20, 200)), 1).astype("f4")
    places = [np.cos(np.arange(x.shape[axis])) for axis in axes]
    got = kernel(x, axes, 0.5, precision, outputs=EVERY, places=places)
    assert_sums(got, wanted(x, axes, 0.5, places=places), single=precision == "f4")


class TestCosts:
    @NOT_COMPILED
    @pytest.mark.parametrize("precision", ["f4", "f8"])
    def test_every_dtype(self, kernel: Kernel, precision: str) -> None:
        for dtype in DTYPES:
            for n in (5, 300):
                x = -scores(dtype, n) if np.dtype(dtype).kind == "f" else scores(dtype, n)  # +inf among them
                for beta in BETAS:
                    check(kernel, x, 1, beta, precision, kind="cost")

    @MOST_WAYS
    @pytest.mark.parametrize("precision", ["f4", "f8"])
    @pytest.mark.parametrize("dtype", ["i8", "u8", "i4", "u4"])
    def test_the_extremes_of_integers(self, kernel: Kernel, dtype: str, precision: str) -> None:
        """Of which the lowest has no opposite."""
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        middle = (low + high) // 2
        rows = [
            [low, high, high - 1, middle],
            [high, low, low + 1, low],
            [high, high, high, high],
            [low, low, low, low],
            [high, high - 1, high, high - 2],
            [middle, middle + 1, middle - 1, middle - 2],
        ]
        x = np.array(rows, dtype)
        for beta in (2.0**-64, 1e-3, 1.0, 100.0):
            check(kernel, x, 1, beta, precision, kind="cost")

    def test_the_lowest_is_the_maximum_of_what_is_compared(self, kernel: Kernel) -> None:
        low, high = -(1 << 63), (1 << 63) - 1
        x = np.array([[low, 5, high], [high, high, high]], "i8")
        assert kernel(x, kind="cost", precision="f8")["maximum"].tolist() == [high, low]
        x = np.array([[7, 0, (1 << 64) - 1]], "u8")
        assert kernel(x, kind="cost", precision="f8")["maximum"].tolist() == [(1 << 64) - 1]

    @MOST_WAYS
    def test_infinite_ones(self, kernel: Kernel) -> None:
        inf, nan = math.inf, math.nan
        rows = [
            [-inf, 0, 1, 2],
            [0, -inf, inf, -inf],
            [inf, inf, inf, inf],
            [inf, 5, inf, inf],
            [nan, nan, nan, nan],
            [nan, 1, 2, nan],
            [nan, -inf, 2, -inf],
            [nan, inf, inf, nan],
            [inf, 3e38, inf, -3e38],
        ]
        x = np.array(rows, "f4")
        for precision, window in (("f4", None), ("f8", 1)):
            check(kernel, x, 1, 0.3, precision, kind="cost", window=window, omit=True)
        mass = kernel(x, kind="cost", bare=True)["mass"]
        np.testing.assert_array_equal(np.isnan(mass), [True, True, True, False, True, True, True, True, False])


class TestWeights:
    @NOT_COMPILED
    @pytest.mark.parametrize("precision", ["f4", "f8"])
    def test_every_dtype(self, kernel: Kernel, precision: str) -> None:
        for dtype in DTYPES:
            for n in (5, 300):
                x = scores(dtype, n)
                x = np.maximum(x, x.dtype.type(0))
                x[:, 1] = np.maximum(x[:, 1], x.dtype.type(1))  # else there may be none
                check(kernel, x, 1, 1.0, precision, kind="probs")

    def test_of_any_size(self, kernel: Kernel) -> None:
        rows = [[3.4e38, 1e38, 3.4e38], [1.2e-38, 0, 3e-38], [0, 0, 1e-37], [1e38, 1e-38, 0], [7, 7, 7]]
        check(kernel, np.array(rows, "f4"), 1, 1.0, "f4", kind="probs")
        wide = [[1.7e308, 1e308, 1.7e308], [3e-308, 0, 1e-307], [0, 0, 1e-300], [1e308, 1e-300, 0]]
        check(kernel, np.array(wide, "f8"), 1, 1.0, "f8", kind="probs")
        narrow = [[1e300, 1e299, 0], [1e-60, 1e-61, 0], [1e300, 1e-300, 1e300]]  # beyond what single precision holds
        check(kernel, np.array(narrow, "f8"), 1, 1.0, "f4", kind="probs")

    @MOST_WAYS
    def test_none_at_all(self, kernel: Kernel) -> None:
        """No slice is spoilt by one that sums to nothing."""
        x = np.array([[0, 0, 0, 0], [0, 2, 0, 2], [-0.0, 0, -0.0, 0]], "f4")
        for careful in (False, True):
            got = kernel(x, kind="probs", careful=careful, outputs=EVERY)
            assert got["mass"].tolist() == [0, 2, 0]
            assert got["second"].tolist() == [0, 1, 0]
            check(kernel, x, 1, 1.0, "f4", kind="probs", omit=careful)

    @MOST_WAYS
    def test_infinite_ones(self, kernel: Kernel) -> None:
        inf, nan = math.inf, math.nan
        rows = [
            [inf, 0, 1, 2],
            [0, inf, 3, inf],
            [nan, 0, 0, 0],
            [nan, nan, nan, nan],
            [nan, 1, nan, 3],
            [nan, inf, 2, 0],
        ]
        x = np.array(rows, "f4")
        for precision, window in (("f4", None), ("f8", 1)):
            check(kernel, x, 1, 1.0, precision, kind="probs", window=window, omit=True)
        assert np.isnan(kernel(x, kind="probs", bare=True)["mass"]).all()

    @MOST_WAYS
    @pytest.mark.parametrize("careful", [False, True])
    def test_negative_ones_are_noticed(self, kernel: Kernel, careful: bool) -> None:
        x = np.zeros((8, 70), "f4")
        x[1:4] = 1
        x[[0, 1, 4, 5, 6], [3, 69, 0, 1, 2]] = [-1, -1e-30, -0.0, -math.inf, -1]
        got = kernel(x, kind="probs", careful=careful, outputs=("mass",))
        np.testing.assert_array_equal(np.isnan(got["mass"]), [1, 1, 0, 0, 0, 1, 1, 0])
        for dtype in ("i1", "i4", "i8"):
            x = np.array([[1, 2, -1], [0, 0, 1], [-128, 127, 1]], dtype)
            np.testing.assert_array_equal(np.isnan(kernel(x, kind="probs", bare=True)["mass"]), [1, 0, 1])


@MOST_WAYS
@pytest.mark.parametrize("kind", KINDS)
def test_a_nan_anywhere_is_noticed_beside_nothing(kernel: Kernel, kind: Kind) -> None:
    """Where all else has no weight, too; by the total, where there is a window."""
    nothing = {"scores": -math.inf, "cost": math.inf, "probs": 0.0}[kind]
    for rest in (nothing, 1.0):
        x = np.full((71, 70), rest, "f4")
        x[np.arange(70), np.arange(70)] = np.nan
        for axis, y in ((1, x), (0, x.T)):
            got = kernel(y, (axis,), kind=kind, bare=True)
            assert np.isnan(got["mass"][:70]).all()
            got = kernel(y, (axis,), kind=kind, window=1, outputs=("total",))
            assert np.isnan(got["total"][:70]).all()


@MOST_WAYS
def test_values_where_nan_leaves_no_maximum(kernel: Kernel) -> None:
    """Whose place is behind the end."""
    x = np.array([[math.nan] * 40, [1.0] * 39 + [math.nan], [0.0] * 39 + [1.0]], "f4")
    places = [np.arange(40.0) ** 2]
    got = kernel(x, outputs=("mass", "moment"), places=places)
    np.testing.assert_array_equal(np.isnan(got["moment"][0]), [True, True, False])
    np.testing.assert_array_equal(np.isnan(got["mass"]), [True, True, False])


class TestKnown:
    """The pass over blocks of slices whose maximum, and where it is, has been found."""

    @MOST_WAYS
    @pytest.mark.parametrize(
        ("kind", "window", "careful"),
        [
            ("scores", None, False),
            ("cost", 0, True),
            ("probs", 7, False),
            ("scores", 200, True),
            ("probs", None, True),
            ("cost", 1 << 62, False),
        ],
    )
    def test_stretches_of_one_axis(self, kernel: Kernel, kind: Kind, window: int | None, careful: bool) -> None:
        precision = "f8" if window == 0 else "f4"
        self.check(kernel, (5, 3 * 130), (1,), (1, 3), precision, kind=kind, window=window, careful=careful)

    @MOST_WAYS
    @pytest.mark.parametrize(
        ("axes", "kind", "window", "careful"),
        [
            ((1, 2), "scores", None, True),
            ((2, 1), "cost", 3, False),
            ((0, 2), "probs", 3, True),
            ((2, 0, 1), "scores", None, False),
        ],
    )
    def test_boxes_of_several(
        self, kernel: Kernel, axes: tuple[int, ...], kind: Kind, window: int | None, careful: bool
    ) -> None:
        self.check(kernel, (4, 8, 40), axes, (2, 2, 2), "f4", kind=kind, window=window, careful=careful)

    @MOST_WAYS
    @pytest.mark.parametrize("kind", KINDS)
    def test_integers(self, kernel: Kernel, kind: Kind) -> None:
        self.check(kernel, (3, 24), (1,), (1, 3), "f8", dtype="u8", kind=kind, window=2, careful=False)
        self.check(kernel, (3, 24), (1,), (1, 3), "f4", dtype="u1", kind=kind, window=2, careful=False)

    @staticmethod
    def check(
        kernel: Kernel,
        shape: tuple[int, ...],
        axes: tuple[int, ...],
        pieces: tuple[int, ...],
        precision: str,
        *,
        dtype: str = "",
        kind: Kind,
        window: int | None,
        careful: bool,
    ) -> None:
        """Cut an array along its reduced axes in boxes alike; what they say adds up to what is to be said of it."""
        rng = np.random.default_rng([*shape, window or 0])
        if dtype:
            info = np.iinfo(dtype)
            x = rng.integers(info.max - 9, info.max, shape, dtype, endpoint=True)
            beta = 0.3
        else:
            x = np.round(rng.normal(size=shape), 1).astype(precision)
            x, beta = np.abs(x) if kind == "probs" else x, 3.0
        if careful:
            x[rng.random(shape) < 0.1] = np.nan
            x[rng.random(shape) < 0.1] = {"scores": -math.inf, "cost": math.inf, "probs": 0}[kind]
            x.flat[[3, 50]] = -math.inf if kind == "cost" else math.inf
        places = [np.sin(np.arange(shape[axis])) * 9 + 100 for axis in axes]
        outputs = ("mass", "moment", "second_moment", "log_moment", "ties", "second")
        more: dict[str, Any] = {"kind": kind, "window": window}
        whole = wanted(x, axes, beta, places=places, **more)
        hard = whole["hard"].sum
        top = _compared(whole["maximum"].sum, x.dtype, kind)
        centers = [values[at] for values, at in zip(places, hard, strict=True)]

        cuts = [[slice(k * n // c, (k + 1) * n // c) for k in range(c)] for n, c in zip(shape, pieces, strict=True)]
        cuts = [each if k in axes else [slice(0, n)] for k, (n, each) in enumerate(zip(shape, cuts, strict=True))]
        for box in itertools.product(*cuts):
            start = np.array([box[axis].start for axis in axes])[:, None]
            inside = [values[box[axis]] for values, axis in zip(places, axes, strict=True)]
            border = [(int(s.start > 0), int(s.stop < n)) for s, n in zip(box, shape, strict=True)]
            border = [pair if k in axes else (0, 0) for k, pair in enumerate(border)]
            wider = tuple(slice(s.start - a, s.stop + b) for s, (a, b) in zip(box, border, strict=True))
            got = kernel(
                x[wider],
                axes,
                beta,
                precision,
                outputs=outputs,
                places=inside,
                known=[top, *(hard - start), *centers],
                careful=careful,
                border=tuple(border[axis] for axis in axes),
                **more,
            )
            want = wanted(x, axes, beta, places=places, box=box, **more)
            if not careful:
                assert "nans" not in got.parts
            assert_sums(got, want, single=precision == "f4")


def _compared(best: Array, dtype: np.dtype[Any], kind: Kind) -> Array:
    """The maximum as the kernel has it, in a dtype that holds it."""
    if dtype.kind == "f":
        return best.astype("f8")
    if kind == "cost" and dtype.itemsize == 8:
        return np.array([~-int(n) if dtype.kind == "i" else (1 << 64) - 1 + int(n) for n in best], dtype)
    return np.array([int(n) for n in best], dtype if kind != "cost" else "i8")


def test_outputs_come_as_asked_for(native_runtime: Runtime) -> None:
    """Each alone, and all turned round, say what they say together."""
    x = np.round(np.random.default_rng(4).normal(size=(3, 5, 200)), 1).astype("f4")
    places = [np.arange(200.0) ** 2]
    names = [*EVERY, "total", "nans"]

    def results(outputs: Sequence[str]) -> list[Array]:
        layout = Layout(
            *(x.shape, (2,), x.dtype, np.dtype("f4"), tuple(outputs), "scores", 40, 40),
            careful="nans" in outputs,
            rows=rows_of(1, placed=True),
        )
        tensors = [(x.shape, x.dtype), ((), x.dtype), ((200,), np.dtype("f8"))]
        function = native_runtime.function(
            lambda ops, x, beta, values: block_sums(ops, x, beta, layout, [values]), tensors, compiled=False
        )
        return function(x, np.array(2, "f4"), *places)

    together = dict(zip(names, results(names), strict=True))
    for name, part in together.items():
        assert part.shape == {"hard": (1, 15), "moment": (2, 15), "second_moment": (2, 15)}.get(name, (15,))
        assert part.dtype == np.dtype("f4" if name in ("maximum", "second") else "f8")
        if name != "second_moment":  # which comes with the first
            np.testing.assert_array_equal(results([name])[0], part)
    for name, part in zip(names[::-1], results(names[::-1]), strict=True):
        np.testing.assert_array_equal(part, together[name])


class TestUnknownLength:
    """A first length of −1: a program that takes any number of slices."""

    @pytest.mark.parametrize(
        ("shape", "axes", "precision", "window", "careful", "compiled"),
        [
            ((-1, 7), (1,), "f8", None, False, False),
            ((-1, 300), (1,), "f4", 5, True, False),
            ((-1, 300), (1,), "f4", 5, True, True),
            ((-1, 3, 200), (1,), "f4", None, True, False),
            ((-1, 3, 200), (2, 1), "f4", 4, False, False),
            ((-1, 3, 200), (2, 1), "f4", 4, False, True),
            ((-1, 6, 5), (2, 1), "f8", 1, True, False),
            ((-1, 4, 5, 6), (1, 3), "f4", None, False, False),
        ],
    )
    def test_any_number_of_slices(
        self,
        shape: tuple[int, ...],
        axes: tuple[int, ...],
        precision: str,
        window: int | None,
        careful: bool,
        compiled: bool,
        python_runtime: Runtime,
    ) -> None:
        import tensorflow as tf

        places = [np.sin(np.arange(shape[axis])) for axis in axes]
        outputs = (*EVERY, "total") if window is not None else EVERY
        dtype = np.dtype(precision)
        rows = rows_of(len(axes), placed=True)
        layout = Layout(shape, axes, dtype, dtype, outputs, "scores", window, window or 1, careful=careful, rows=rows)
        function = tf.function(
            lambda x: block_sums(tf.raw_ops, x, tf.constant(2, dtype), layout, list(map(tf.constant, places))),
            input_signature=[tf.TensorSpec([None, *shape[1:]], dtype)],
            jit_compile=compiled,
            autograph=False,
        )
        rng = np.random.default_rng(len(shape))
        for rows in (4,) if compiled else (1, 5, 2, 0):  # XLA makes a program for each
            x = np.round(rng.normal(size=(rows, *shape[1:])), 1).astype(dtype)
            if careful and rows > 1:
                x[rng.random(x.shape) < 0.05] = np.nan
            parts = dict(zip(outputs, [part.numpy() for part in function(tf.constant(x))], strict=True))
            if rows:
                problem = Spec(axes).resolve(x.shape, dtype, frozenset())
                want = wanted(x, axes, 2.0, window=window, places=places)
                assert_sums(Sums(parts, problem), want, single=precision == "f4")
            else:
                assert {part.shape[-1] for part in parts.values()} == {0}


class TestGradients:
    """The soft argmax has one, which is what it is for: dσ/dx = β p (i − σ), and dσ/dβ = Cov(i, x)."""

    @pytest.mark.parametrize("careful", [False, True])
    @pytest.mark.parametrize("precision", ["f4", "f8"])
    @pytest.mark.parametrize("n", [9, 300])
    def test_of_scores(self, n: int, precision: str, careful: bool, python_runtime: Runtime) -> None:
        rng = np.random.default_rng(n)
        x = np.round(rng.normal(size=(6, n)), 1)
        x[2, ::3] = -math.inf
        if careful:
            x[3, 1::2] = np.nan
            x[4] = -math.inf
        by_x, by_beta = self.of(x.astype(precision), 1.5, "scores", careful)
        index = np.arange(n)
        for row, got, slope in zip(x, by_x, by_beta, strict=True):
            there = np.isfinite(row)
            assert not got[~there].any()
            if not there.any():
                continue
            y, i = row[there], index[there]
            p = np.exp(1.5 * (y - y.max()))
            p /= p.sum()
            soft = (p * i).sum()
            np.testing.assert_allclose(got[there], 1.5 * p * (i - soft), rtol=1e-4, atol=1e-6 * n)
            if careful:  # else an infinite score of any slice spoils it
                assert slope == pytest.approx((p * (i - soft) * y).sum(), rel=1e-4, abs=1e-5 * n)

    def test_of_costs_and_weights(self, python_runtime: Runtime) -> None:
        x = np.abs(np.round(np.random.default_rng(5).normal(size=(6, 30)), 1)) + 0.1
        index = np.arange(30)
        costs, _ = self.of(x, 1.5, "cost", False)
        weights, _ = self.of(x, 1.5, "probs", False)
        for row, by_cost, by_weight in zip(x, costs, weights, strict=True):
            p = np.exp(-1.5 * (row - row.min()))
            p /= p.sum()
            np.testing.assert_allclose(by_cost, -1.5 * p * (index - (p * index).sum()), rtol=1e-9, atol=1e-12)
            q = row / row.sum()
            np.testing.assert_allclose(by_weight, (index - (q * index).sum()) / row.sum(), rtol=1e-9, atol=1e-12)

    @staticmethod
    def of(x: Array, beta: float, kind: Kind, careful: bool) -> tuple[Array, list[float]]:
        """The derivatives of each slice's soft argmax by its scores and by β; 0 where there is no weight."""
        import tensorflow as tf

        layout = Layout(x.shape, (1,), x.dtype, x.dtype, ("mass", "moment"), kind, careful=careful, rows=rows_of(1))
        given, factor = tf.constant(x), tf.constant(beta, x.dtype)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(given)
            tape.watch(factor)
            mass, moment = block_sums(tf.raw_ops, given, factor, layout)
            soft = tf.math.divide_no_nan(moment[0], mass)
            softs = tf.unstack(soft)
        by_x = tape.gradient(soft, given).numpy()
        by_beta = [] if kind == "probs" else [float(tape.gradient(one, factor)) for one in softs]
        return by_x, by_beta


def test_a_block_too_long_for_exact_positions() -> None:
    nothing = SimpleNamespace()
    for shape, axes in (((FLOAT_INDEX,), (0,)), ((4096, 2, 4096), (0, 2))):
        layout = Layout(shape, axes, np.dtype("u1"), np.dtype("f4"), ("maximum", "hard", "mass", "moment"))
        with pytest.raises(ValueError, match="too long"):
            block_sums(nothing, None, None, layout)
