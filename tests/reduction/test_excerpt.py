"""An excerpt holds what its slices hold, however they are read."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reductions import Table

from softargmax_cli.files.formats.npy import ArraySource
from softargmax_cli.reduction import excerpt as excerpts
from softargmax_cli.reduction.excerpt import Excerpt, read_excerpt, weights
from softargmax_cli.reduction.problem import Spec

pytestmark = pytest.mark.slow


def slices_of(values: np.ndarray, axes: tuple[int, ...], numbers: Sequence[int]) -> np.ndarray:
    """Some slices, reduced axes last in the order of the array."""
    last = sorted(axes)
    moved = np.moveaxis(values, last, range(-len(last), 0))
    slices = moved.reshape(-1, *(values.shape[axis] for axis in last))
    return slices[[number for number in numbers if number < len(slices)]]


def expected(scores: np.ndarray, edges: tuple[np.ndarray, ...], least: bool) -> np.ndarray:
    """Cell by cell, without reduceat."""
    spans = [list(itertools.pairwise(edge.tolist())) for edge in edges]
    out = np.full((len(scores), *map(len, spans)), np.nan)
    for place in itertools.product(*(range(len(span)) for span in spans)):
        box = tuple(slice(*span[k]) for span, k in zip(spans, place, strict=True))
        for number, row in enumerate(scores[(slice(None), *box)].astype(float)):
            known = row[~np.isnan(row)]
            if len(known):
                out[(number, *place)] = known.min() if least else known.max()
    return out


def check(
    excerpt: Excerpt | None, values: np.ndarray, axes: tuple[int, ...], numbers: Sequence[int], cells: int
) -> None:
    assert excerpt is not None
    scores = slices_of(values, axes, numbers)
    for edges, axis in zip(excerpt.edges, sorted(axes), strict=True):
        assert edges[0] == 0
        assert edges[-1] == values.shape[axis]
        assert len(edges) - 1 <= min(cells, values.shape[axis])
        assert (np.diff(edges) > 0).all()
    np.testing.assert_array_equal(excerpt.low, expected(scores, excerpt.edges, least=True))
    np.testing.assert_array_equal(excerpt.high, expected(scores, excerpt.edges, least=False))


ARRAYS = [
    ((5, 7), (1,)),
    ((5, 7), (0,)),
    ((5, 7), (1, 0)),
    ((9,), (0,)),
    ((3, 4, 5), (1,)),
    ((3, 4, 5), (0,)),
    ((2, 3, 4, 5), (-1, -2)),
    ((2, 3, 4, 5), (0, 3)),
    ((0, 4), (1,)),
    ((3, 0, 4), (2,)),
]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets how many cells there are along an axis, and how many scores are read at a time."""

    def limited(cells: int, room: int) -> None:
        monkeypatch.setattr(excerpts, "CELLS", {1: cells, 2: cells})
        monkeypatch.setattr(excerpts, "ROOM", room)

    return limited


def excerpt_of(source: object, values: np.ndarray, axes: tuple[int, ...], numbers: Sequence[int]) -> Excerpt | None:
    problem = Spec(axes).resolve(source.shape, values.dtype, frozenset())
    return read_excerpt(source, problem, numbers)


@pytest.mark.parametrize(("shape", "axes"), ARRAYS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_of_arrays(limits: Callable[..., None], shape: tuple[int, ...], axes: tuple[int, ...], order: str) -> None:
    """The first slices or any, whole or in cells, read at once or piece by piece."""
    values = np.random.default_rng(0).normal(size=shape)
    values[values < -1] = np.nan
    source, reduced = ArraySource(np.asarray(values, order=order)), tuple(axis % len(shape) for axis in axes)
    count = len(slices_of(values, reduced, range(10_000)))
    for number, cells, room in ((1, 3, 4), (4, 4, 6), (7, 100, 11), (100, 2, 1000)):
        limits(cells, room)
        first = range(min(number, count))
        check(excerpt_of(source, values, axes, first), values, reduced, first, cells)
    if count > 2:
        limits(100, 5)
        check(excerpt_of(source, values, axes, [count - 1, 0, 2]), values, reduced, [count - 1, 0, 2], 100)


@pytest.mark.parametrize(("shape", "axes"), ARRAYS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_in_order_it_is_what_comes_first_or_nothing(
    limits: Callable[..., None], shape: tuple[int, ...], axes: tuple[int, ...], order: str
) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    reduced = tuple(axis % len(shape) for axis in axes)
    first = range(min(2, len(slices_of(values, reduced, range(2)))))
    for room in (1000, 3):
        limits(100, room)
        source = ArraySource(np.asarray(values, order=order))
        source.sequential = True
        found = excerpt_of(source, values, axes, first)
        if room == 1000 or not values.size:
            check(found, values, reduced, first, 100)
        else:
            assert found is None


@pytest.mark.parametrize("axes", [(1,), (0,), (0, 1)])
@settings(max_examples=30)
@given(
    rows=st.integers(1, 40),
    cuts=st.lists(st.integers(0, 40), max_size=6),
    count=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_of_tables(axes: tuple[int, ...], rows: int, cuts: list[int], count: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(rows, 5))
    edges = [0, *sorted(min(cut, rows) for cut in cuts), rows]
    numbers = range(min(count, {(1,): rows, (0,): 5}.get(axes, 1)))
    table = Table(values, [b - a for a, b in itertools.pairwise(edges)])
    check(excerpt_of(table, values, axes, numbers), values, axes, numbers, 1024)


@pytest.mark.parametrize("kind", ["scores", "cost", "probs"])
def test_weights_are_the_softmax(kind: str) -> None:
    values = np.random.default_rng(2).random(9)
    beta = 3.0
    exact = {"scores": np.exp(beta * values), "cost": np.exp(-beta * values), "probs": values}[kind]
    exact = exact / exact.sum()
    found = weights(values, float(exact.max()), kind, None if kind == "probs" else beta)
    np.testing.assert_allclose(found, exact, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "best", "expected"),
    [
        ("scores", [np.inf, 0, np.inf, np.nan], [0.5, 0, 0.5, 0]),
        ("cost", [-np.inf, 0, np.inf], [0.5, 0, 0]),
        ("scores", [-np.inf, 1e308, -1e308], [0, 0.5, 0]),
        ("probs", [0.0, 2.0, np.nan], [0, 0.5, 0]),
    ],
)
def test_weights_at_the_edge(kind: str, best: list[float], expected: list[float]) -> None:
    assert weights(np.array(best), 0.5, kind, 100.0).tolist() == expected
