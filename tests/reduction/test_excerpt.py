"""The excerpt of the first slices holds what the slices hold, however the blocks come."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softargmax_cli.files.memory import ArraySource
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.excerpt import Excerpt, Excerpting, first_boxes, weights
from softargmax_cli.reduction.readable import Buffer


class Table:
    """A table in pieces, of which none knows how many rows precede it."""

    order, sequential, labels, chunks = "C", True, None, None

    def __init__(self, values: np.ndarray, cuts: list[int]) -> None:
        self.shape, self.dtype = (None, values.shape[1]), values.dtype
        self._pieces = iter(np.split(values, cuts))

    def fetch(self, block: Block) -> Piece | None:
        piece = next(self._pieces, None)
        return None if piece is None else Piece(piece)


class Piece:
    nbytes, ids = 0, None

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def load(self, buffer: Buffer) -> Piece:
        return self


def slices_of(values: np.ndarray, axes: tuple[int, ...], count: int) -> np.ndarray:
    """The first slices, reduced axes last in the order of the array."""
    last = sorted(axes)
    moved = np.moveaxis(values, last, range(-len(last), 0))
    return moved.reshape(-1, *(values.shape[axis] for axis in last))[:count]


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


def check(excerpt: Excerpt, values: np.ndarray, axes: tuple[int, ...], count: int, cells: int) -> None:
    scores = slices_of(values, axes, count)
    for edges, axis in zip(excerpt.edges, sorted(axes), strict=True):
        assert edges[0] == 0
        assert edges[-1] == values.shape[axis]
        assert len(edges) - 1 <= min(2 * cells, values.shape[axis])
        assert (np.diff(edges) > 0).all()
    np.testing.assert_array_equal(excerpt.low, expected(scores, excerpt.edges, least=True))
    np.testing.assert_array_equal(excerpt.high, expected(scores, excerpt.edges, least=False))
    assert excerpt.thinned == any(len(e) <= values.shape[a] for e, a in zip(excerpt.edges, sorted(axes), strict=True))


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


@pytest.mark.parametrize(("shape", "axes"), ARRAYS)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("count", "cells", "elements"), [(1, 3, 4), (4, 4, 6), (7, 100, 11), (100, 2, 1000)])
def test_of_arrays(
    shape: tuple[int, ...], axes: tuple[int, ...], order: str, count: int, cells: int, elements: int
) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    values[values < -1] = np.nan
    axes = tuple(axis % len(shape) for axis in axes)
    source = Excerpting(ArraySource(np.asarray(values, order=order)), axes, count, cells)
    plan = blocks.plan(shape, axes, source.order, elements, contiguous=False) if values.size else ()
    pending = [source.fetch(block) for block in [*plan, *plan]]  # some reductions read twice
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda each: each.load(Buffer()), reversed(pending)))
    check(source.excerpt(), values, axes, count, cells)


@pytest.mark.parametrize("axes", [(1,), (0,), (0, 1)])
@given(
    rows=st.integers(1, 40),
    cuts=st.lists(st.integers(0, 40), max_size=6),
    count=st.integers(1, 8),
    cells=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_of_tables(axes: tuple[int, ...], rows: int, cuts: list[int], count: int, cells: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, 5))
    source = Excerpting(Table(values, sorted(min(cut, rows) for cut in cuts)), axes, count, cells)
    pending = []
    while (each := source.fetch(Block((0, 0), (1, 5)))) is not None:
        pending.append(each)
    for k in random.permutation(len(pending)):
        pending[k].load(Buffer())
    check(source.excerpt(), values, axes, count, cells)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float32"])
def test_of_dtypes(dtype: str) -> None:
    values = (np.random.default_rng(1).random((3, 50)) * 100).astype(dtype)
    source = Excerpting(ArraySource(values), (1,), 2, 7)
    source.fetch(Block((0, 0), (3, 50))).load(Buffer())
    check(source.excerpt(), values, (1,), 2, 7)


@given(st.lists(st.integers(0, 4), max_size=4), st.integers(0, 100))
def test_the_first_positions_are_few_boxes(lengths: list[int], count: int) -> None:
    boxes = list(first_boxes(lengths, count))
    assert 1 <= len(boxes) <= max(1, len(lengths))
    places = [place for start, stop in boxes for place in itertools.product(*map(range, start, stop))]
    every = list(itertools.product(*map(range, lengths)))
    assert places == every[: count if lengths else 1]
    assert math.prod(lengths) == len(every)


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
