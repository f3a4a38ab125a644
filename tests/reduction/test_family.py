"""All options together: any axes, input, coordinates, window and policy, in blocks of any size, against the oracle."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from oracle import FIELDS, PER_AXIS, answer_to, assert_answers

from softargmax_cli.errors import OptionError, SoftArgmaxError, UndefinedError
from softargmax_cli.files.memory import ArraySource
from softargmax_cli.files.source import Pending
from softargmax_cli.reduction import budget, stream
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.budget import REDUCTION
from softargmax_cli.reduction.engine import reduce
from softargmax_cli.reduction.fields import FREE
from softargmax_cli.reduction.problem import Spec
from softargmax_cli.reduction.result import Slices
from softargmax_cli.tensorflow.base import Runtime

pytestmark = pytest.mark.sampled(6)

Array = npt.NDArray[Any]
EVERYTHING = frozenset(FIELDS)
BARE = EVERYTHING - {"second", "multimodal"}
MEMORY = 64 << 20
DTYPES = ["?", "i1", "u1", "i2", "i4", "i8", "u8", "f2", "f4", "f8"]
KINDS: list[Any] = ["scores", "cost", "probs"]
COORDS: list[Any] = ["index", "corners", "centers", "values"]
POLICIES: list[Any] = ["error", "omit", "propagate"]
LONGEST = {1: 60, 2: 12, 3: 6, 4: 4}
"""The length of an axis in arrays of so many."""
FEW = [1, 3, 10, 40, 10_000]
"""Elements of a block."""

examples = settings(derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@dataclass(frozen=True)
class Case:
    """An array, what is asked of it, the bytes of a block, and whether it comes through a pipe."""

    values: Array
    spec: Spec
    fields: frozenset[str]
    block: int
    pipe: bool


def whole(values: Array) -> Pending:
    """A block that holds all of an array."""
    return ArraySource(values).fetch(Block((0,) * values.ndim, values.shape))


class Pipe(ArraySource):
    """Hands out its elements in file order, whatever is asked."""

    sequential = True

    def __init__(self, values: Array) -> None:
        super().__init__(values)
        self._rest = values.ravel(self.order)

    def fetch(self, block: Block) -> Pending:
        size = math.prod(block.shape)
        box, self._rest = self._rest[:size].reshape(block.shape, order=self.order), self._rest[size:]
        return whole(box)


class Table(ArraySource):
    """Rows, of which nobody knows how many there are, in blocks of lengths of its own."""

    sequential = True

    def __init__(self, values: Array, lengths: Sequence[int]) -> None:
        super().__init__(values)
        assert sum(lengths) == len(values)
        self.shape = (None, *values.shape[1:])
        self._parts = np.split(values, np.cumsum(lengths[:-1]))

    def fetch(self, block: Block) -> Pending | None:
        return whole(self._parts.pop(0)) if self._parts else None


@st.composite
def cases(draw: st.DrawFn, kind: Any, coordinates: st.SearchStrategy[str]) -> Case:
    """Small arrays of any dtype in either memory order, and any options beside these."""
    ndim = draw(st.integers(1, 4))
    shape = tuple(draw(st.lists(st.integers(1, LONGEST[ndim]), min_size=ndim, max_size=ndim)))
    axes = draw(st.permutations(range(ndim)))[: draw(st.integers(1, ndim))]
    values = draw(arrays(np.dtype(draw(st.sampled_from(DTYPES))), shape, kind))
    coords: Any = draw(coordinates)
    places = None if coords != "values" else tuple(draw(coordinates_of(shape[axis])) for axis in axes)
    spec = Spec(
        axes=tuple(axis - draw(st.sampled_from([0, ndim])) for axis in axes),
        kind=kind,
        beta=draw(st.sampled_from([1e-3, 0.3, 1.0, 20.0, 100.0, 1e6])),
        coords="index" if coords == "values" else coords,
        values=places,
        window=draw(st.sampled_from([None, 0, 1, 3, 1000])),
        nan=draw(st.sampled_from(POLICIES)),
        precision=draw(st.sampled_from(["auto", "auto", "single", "double"])),
    )
    values = draw(st.sampled_from([np.ascontiguousarray, np.asfortranarray]))(values)
    fields = draw(st.sampled_from([EVERYTHING, EVERYTHING, BARE, FREE]))
    return Case(values, spec, fields, values.itemsize * draw(st.sampled_from(FEW)), draw(st.booleans()))


@st.composite
def arrays(draw: st.DrawFn, dtype: np.dtype[Any], shape: tuple[int, ...], kind: str) -> Array:
    """Noise in a few digits, or single numbers of every sort among equal ones."""
    odd = draw(st.booleans())
    if dtype.kind == "f" and draw(st.booleans()):
        rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
        values = np.round(rng.normal(size=shape) * draw(st.sampled_from([0.1, 1, 30])), draw(st.integers(0, 4)))
        values = (np.abs(values) if kind == "probs" else values).astype(dtype)
        if odd:
            values[rng.random(shape) < 0.1] = np.nan
            values[rng.random(shape) < 0.03] = -np.inf if kind == "cost" else np.inf
            values[rng.random(shape) < rng.choice([0.1, 0.8])] = absent(kind)
        return values
    return draw(st_numpy.arrays(dtype, shape, elements=numbers(dtype, kind, odd=odd)))


def absent(kind: str) -> float:
    """What has no weight."""
    return {"scores": -math.inf, "cost": math.inf, "probs": 0.0}[kind]


def numbers(dtype: np.dtype[Any], kind: str, *, odd: bool) -> st.SearchStrategy[Any]:
    """Ordinary and extreme numbers; `odd`: NaN and infinities among them."""
    if dtype.kind == "b":
        return st.booleans()
    low = 0 if kind == "probs" else -3
    if dtype.kind in "iu":
        lowest, highest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        lowest, low = max(lowest, low * highest), max(lowest, low)
        extremes = st.sampled_from([lowest, lowest + 1, highest - 1, highest])
        return st.one_of(st.integers(low, 3), st.integers(lowest, highest), extremes)
    huge = float(dtype.type({2: 6e4, 4: 3e38, 8: 1.7e308}[dtype.itemsize]))
    special = [0.0, huge, *([] if kind == "probs" else [-0.0, -huge]), *([math.nan, math.inf, absent(kind)] * odd)]
    ordinary: Any = st.floats(10.0 * low, 30, width=8 * dtype.itemsize, allow_subnormal=False)
    return st.one_of(st.integers(low, 3).map(float), ordinary, st.sampled_from(special))


def coordinates_of(length: int) -> st.SearchStrategy[Array]:
    """Coordinates in any order, some of them equal, near zero or far from it."""
    places = st_numpy.arrays("f8", length, elements=st.integers(-200, 200).map(lambda i: i / 4), fill=st.nothing())
    return st.builds(lambda base, at: base + at, st.sampled_from([0.0, 1000.0, -1e6]), places)


def steps(values: Array, spec: Spec) -> list[float]:
    """What one index is in coordinate units along each axis, or 1 where that is not known, or more."""
    lengths = [values.shape[axis] for axis in spec.axes]
    step = {"index": lambda n: 1.0, "corners": lambda n: 2 / max(1, n - 1), "centers": lambda n: 2 / n}[spec.coords]
    return [min(1.0, step(n)) for n in lengths]


def gathered(runs: Iterator[Slices], fields: frozenset[str] = EVERYTHING) -> Any:
    """All slices as one, which must follow each other and have those fields."""
    found = list(runs)
    assert [run.start for run in found] == list(itertools.accumulate(map(len, found), initial=0))[:-1]
    columns: dict[str, Any] = dict.fromkeys(FIELDS)
    for field in FIELDS:
        parts = [getattr(run, field) for run in found]
        assert field not in fields or all(part is not None for part in parts)
        columns[field] = np.concatenate(parts, axis=-1) if field in fields else None
    return SimpleNamespace(**columns)


def answers(
    values: Array, runtime: Runtime, spec: Spec, fields: frozenset[str] = EVERYTHING, source: ArraySource | None = None
) -> Any:
    source = ArraySource(values) if source is None else source
    problem = spec.resolve(source.shape, source.dtype, fields)
    if source.sequential and REDUCTION.passes(source, problem, MEMORY) > 1:
        source = ArraySource(values)  # as a copy of it would be
        problem = spec.resolve(source.shape, source.dtype, fields)
    return gathered(reduce(source, problem, runtime, memory=MEMORY), fields)


def check(
    values: Array, runtime: Runtime, spec: Spec, fields: frozenset[str] = EVERYTHING, source: ArraySource | None = None
) -> None:
    want = answer_to(values, spec)
    if spec.nan == "error" and (np.isnan(values).any() or (want.hard < 0).any()):
        with pytest.raises(UndefinedError):
            answers(values, runtime, spec, fields, source)
        return
    single = spec.resolve(values.shape, values.dtype, fields).precision == np.float32
    assert_answers(answers(values, runtime, spec, fields, source), want, single=single, scale=steps(values, spec))


def check_case(case: Case, runtime: Runtime) -> None:
    source = Pipe(case.values) if case.pipe else ArraySource(case.values)
    check(case.values, runtime, case.spec, case.fields, source)


@pytest.fixture
def blocks_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make blocks so small, in bytes, that small arrays have many."""
    return lambda nbytes: monkeypatch.setattr(budget, "BLOCK", nbytes)


@pytest.fixture
def all_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have XLA compile whatever can be."""
    monkeypatch.setattr(stream, "WORTH_COMPILING", 0)


@pytest.mark.parametrize("coords", COORDS)
@pytest.mark.parametrize("kind", KINDS)
def test_any_options(kind: Any, coords: str, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    @settings(examples, max_examples=20)
    @given(cases(kind, st.just(coords)))
    def holds(case: Case) -> None:
        blocks_of(case.block)
        check_case(case, native_runtime)

    holds()


@pytest.mark.parametrize("kind", KINDS)
def test_any_options_with_the_python_runtime(
    kind: Any, python_runtime: Runtime, blocks_of: Callable[[int], None]
) -> None:
    @settings(examples, max_examples=12)
    @given(cases(kind, st.sampled_from(COORDS)))
    def holds(case: Case) -> None:
        blocks_of(case.block)
        check_case(case, python_runtime)

    holds()


def heatmaps(kind: str, shape: tuple[int, ...], dtype: str, seed: int = 0) -> Array:
    """Two modes and noise; as weights, some of them none at all."""
    rng = np.random.default_rng([*shape, seed])
    values = rng.normal(size=shape) * 0.2
    lines = np.ogrid[tuple(slice(0, 1, complex(0, n)) for n in shape)]
    for height in (3.0, 2.9):
        far = sum((line - rng.random()) ** 2 for line in lines)
        values = values + height * np.exp(-far / 0.02)
    if kind == "probs":
        values = np.maximum(values, 0)
    return (-values if kind == "cost" else values).astype(dtype)


@dataclass(frozen=True)
class Request:
    """What the tests below ask of heatmaps; the values are those of a bent ruler."""

    axes: tuple[int, ...]
    coords: Any
    window: int | None

    def spec(self, values: Array, kind: Any, beta: float) -> Spec:
        rulers = tuple(np.sin(np.arange(values.shape[axis]) / 9.0) * 50 + 1000 for axis in self.axes)
        if self.coords == "values":
            return Spec(self.axes, kind, beta, values=rulers, window=self.window)
        return Spec(self.axes, kind, beta, self.coords, window=self.window)


REQUESTS = [
    Request((-1,), "corners", None),
    Request((1,), "values", 20),
    Request((1, 2), "index", None),
    Request((2, 1), "centers", 7),
    Request((2, 1), "values", None),
    Request((1, 2), "values", 3),
    Request((0, 2), "corners", 40),
    Request((2, 0, 1), "corners", None),
    Request((0, 1, 2), "index", 5),
]


@pytest.mark.parametrize("block", [1200, 1 << 20], ids=["pieces", "whole"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("kind", KINDS)
def test_slices_longer_than_a_tile(
    kind: str, dtype: str, block: int, native_runtime: Runtime, blocks_of: Callable[[int], None]
) -> None:
    """In which single precision sums no more than so many weights."""
    blocks_of(block)
    values = heatmaps(kind, (3, 11, 150), dtype)
    for number, request in enumerate(REQUESTS):
        order, beta = (("C", 0.1), ("F", 20.0), ("C", 20.0), ("F", 0.1))[number % 4]
        check(values.copy(order), native_runtime, request.spec(values, kind, beta))


@pytest.mark.usefixtures("all_compiled")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [1, 2, 5, 7])
def test_compiled(number: int, kind: str, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    values = heatmaps(kind, (3, 10, 20), ("f4", "f8")[number % 2], number)
    values[1, 2, 3] = np.nan
    blocks_of(values.nbytes // 2)
    check(values, native_runtime, replace(REQUESTS[number].spec(values, kind, 5.0), nan="omit"))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_tables(kind: str, compiled: bool, native_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which the number of rows, and with it the coordinates, is known at the end."""
    monkeypatch.setattr(stream, "FIRST_COMPILED", 1 if compiled else 1000)
    values = heatmaps(kind, (40, 6), "f8")
    values[3, 2] = values[25, 4] = np.nan
    values[:, 5] = absent(kind)
    every = itertools.product([(0,), (1,), (0, 1), (1, 0)], COORDS, [None, 2])
    for axes, coords, window in [((0,), "corners", None), ((1, 0), "centers", None)] if compiled else every:
        asked = Request(axes, coords, window).spec(values, kind, 2.0)
        for nan, fields in (("omit", EVERYTHING), ("propagate", BARE)):
            table, spec = Table(values, (7, 0, 26, 7)), replace(asked, nan=nan)
            if REDUCTION.passes(table, spec.resolve(table.shape, table.dtype, fields), MEMORY) == 1:
                check(values, native_runtime, spec, fields, table)


@pytest.mark.parametrize("fields", [FREE, EVERYTHING], ids=["bare", "all"])
@pytest.mark.parametrize(("shape", "axes"), [((14,), (0,)), ((4, 5), (0, 1)), ((5, 4), (1, 0))])
def test_a_window_over_edges_of_blocks(
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    fields: frozenset[str],
    native_runtime: Runtime,
    blocks_of: Callable[[int], None],
) -> None:
    blocks_of(8 * 3)
    for place, window in itertools.product(range(math.prod(shape)), (0, 1, 2, 4)):
        values = np.ones(shape)
        values.flat[place] = 2
        check(values, native_runtime, Spec(axes, "probs", window=window), fields)


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("size", [1e-300, 1e-40, 1e40, 1e308])
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_any_size(
    kind: Any, size: float, precision: Any, native_runtime: Runtime, blocks_of: Callable[[int], None]
) -> None:
    """Also those that the precision of the weights does not hold."""
    values = np.array([[0.0, 1.0, 1.5, 0.5], [1.5, 1.5, 1.5, 0.0], [0.0, 0.0, 0.0, 1.0]]) * size
    for block, axes in itertools.product([8, 1000], [(1,), (0,), (1, 0)]):
        blocks_of(block)
        check(values, native_runtime, Spec(axes, kind, 3.0, nan="propagate", precision=precision))


class TestWhatMustNotMatter:
    VALUES = heatmaps("scores", (4, 9, 11), "f4")

    @pytest.mark.parametrize("coords", COORDS)
    def test_the_order_of_axes_only_turns_the_answers(
        self, coords: Any, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(400)
        whole = answers(self.VALUES, native_runtime, Request((0, 1, 2), coords, 3).spec(self.VALUES, "scores", 2.0))
        for axes in itertools.permutations(range(3)):
            got = answers(self.VALUES, native_runtime, Request(axes, coords, 3).spec(self.VALUES, "scores", 2.0))
            for field in FIELDS:
                want = getattr(whole, field)
                np.testing.assert_array_equal(getattr(got, field), want[list(axes)] if field in PER_AXIS else want)

    @pytest.mark.parametrize("block", [100, 100_000])
    @pytest.mark.parametrize("more", [frozenset(), *({field} for field in FIELDS if field not in FREE)])
    @pytest.mark.parametrize("window", [None, 2])
    def test_what_else_is_asked_for(
        self, window: int | None, more: set[str], block: int, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(block)
        for coords, axes in itertools.product(("index", "values"), ((-1,), (2, 1))):
            spec = Request(axes, coords, window).spec(self.VALUES, "scores", 2.0)
            check(self.VALUES, native_runtime, spec, FREE | more)

    @pytest.mark.parametrize("axes", [(1,), (1, 2)])
    def test_a_window_that_holds_all(
        self, axes: tuple[int, ...], native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        for block in (100, 100_000):
            blocks_of(block)
            bare = answers(self.VALUES, native_runtime, Spec(axes, beta=2.0))
            wide = answers(self.VALUES, native_runtime, Spec(axes, beta=2.0, window=10))
            assert not wide.second.any()
            for field in BARE:
                np.testing.assert_allclose(getattr(wide, field), getattr(bare, field), rtol=1e-6, atol=1e-6)

    def test_scores_moved_alike_and_costs_turned_round(self, native_runtime: Runtime) -> None:
        scores = np.random.default_rng(3).integers(-9, 9, (5, 6, 7), dtype="i8")
        whole = answers(scores, native_runtime, Spec((0, 2), beta=0.5, window=2))
        moved = answers(scores + (1 << 62), native_runtime, Spec((0, 2), beta=0.5, window=2))
        turned = answers((1 << 62) - scores, native_runtime, Spec((0, 2), "cost", 0.5, window=2))
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(moved, field), getattr(whole, field))
            np.testing.assert_array_equal(getattr(turned, field), getattr(whole, field))

    def test_weights_have_no_beta_and_no_unit(self, native_runtime: Runtime) -> None:
        weights = np.random.default_rng(3).integers(0, 9, (5, 6, 7)).astype("f4")
        whole = answers(weights, native_runtime, Spec((0, 2), "probs"))
        for same, beta in ((weights, 1e-3), (weights * 2.0**100, 1.0), (weights * 2.0**-100, 1e9)):
            got = answers(same.astype("f4"), native_runtime, Spec((0, 2), "probs", beta))
            for field in FIELDS:
                np.testing.assert_array_equal(getattr(got, field), getattr(whole, field))


class TestRefused:
    @pytest.mark.parametrize(
        ("dtype", "negative", "nan"),
        [("i1", -1, "omit"), ("f4", -1e-30, "propagate"), ("f8", -math.inf, "error"), ("f8", -0.5, "omit")],
    )
    @pytest.mark.parametrize("axes", [(-1,), (0,), (1, 0), (0, 2)])
    def test_a_negative_weight(
        self,
        axes: tuple[int, ...],
        dtype: str,
        negative: float,
        nan: Any,
        native_runtime: Runtime,
        blocks_of: Callable[[int], None],
    ) -> None:
        values = np.ones((4, 5, 6), dtype)
        values[2, 3, 1] = negative
        for block in (40, 100_000):
            for window in (None, 1):
                blocks_of(block)
                with pytest.raises(SoftArgmaxError, match="negative") as caught:
                    answers(values, native_runtime, Spec(axes, "probs", window=window, nan=nan))
                assert "(2, 3, 1)" in caught.value.what

    @pytest.mark.parametrize("block", [40, 100_000])
    def test_weights_that_are_all_zero(
        self, block: int, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(block)
        values = np.ones((4, 5, 6))
        values[3, :, 1] = 0
        with pytest.raises(UndefinedError, match=r"^1 slice .*\bslice \(3, 1\)"):
            answers(values, native_runtime, Spec((1,), "probs"))
        values[2] = 0
        with pytest.raises(UndefinedError, match=r"\bslice 2\b"):
            answers(values, native_runtime, Spec((2, 1), "probs"))

    def test_costs_that_are_all_infinite(self, native_runtime: Runtime) -> None:
        values = np.zeros((4, 5, 6))
        values[3, :, 1] = math.inf
        with pytest.raises(UndefinedError, match=r"nothing but \+?inf.*\bslice \(3, 1\)"):
            answers(values, native_runtime, Spec((1,), "cost"))

    def test_a_negative_window(self) -> None:
        for window in (-1, -7):
            with pytest.raises(OptionError, match=f"window={window}"):
                Spec(window=window)

    @pytest.mark.parametrize("axes", [(0, 0), (1, -1), (0, 1, -2)])
    def test_an_axis_named_twice(self, axes: tuple[int, ...]) -> None:
        with pytest.raises(OptionError, match="twice"):
            Spec(axes).resolve((3, 4), np.dtype("f4"), EVERYTHING)

    @pytest.mark.parametrize("axes", [(), (0, 2), (-3, 1)])
    def test_axes_that_are_not_there(self, axes: tuple[int, ...]) -> None:
        with pytest.raises(OptionError, match="axis"):
            Spec(axes).resolve((3, 4), np.dtype("f4"), EVERYTHING)

    @pytest.mark.parametrize(
        ("axes", "lengths", "named"),
        [((1,), (17,), ("17", "23")), ((1, 0), (23, 9), ("9", "4")), ((1, 0), (4, 23), ("4", "23"))],
    )
    def test_values_of_another_length(
        self, axes: tuple[int, ...], lengths: tuple[int, ...], named: tuple[str, ...]
    ) -> None:
        spec = Spec(axes, values=tuple(np.zeros(n) for n in lengths))
        with pytest.raises(SoftArgmaxError) as caught:
            spec.resolve((4, 23), np.dtype("f4"), EVERYTHING)
        assert all(length in caught.value.what for length in named)

    def test_values_for_fewer_axes_or_more(self) -> None:
        for axes, count in (((0, 1), 1), ((0,), 2)):
            spec = Spec(axes, values=(np.zeros(4),) * count)
            with pytest.raises(OptionError, match="values"):
                spec.resolve((4, 4), np.dtype("f4"), EVERYTHING)

    @pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
    def test_values_that_are_no_places(self, number: float) -> None:
        with pytest.raises(SoftArgmaxError, match="index 2"):
            Spec(values=(np.array([0, 1, number, 3]),)).resolve((4,), np.dtype("f4"), EVERYTHING)

    def test_values_beside_coordinates(self) -> None:
        with pytest.raises(OptionError, match='coords="corners"'):
            Spec(coords="corners", values=(np.zeros(4),))
