"""What must be read twice: which reductions that is, what they answer, and what they leave out."""

from __future__ import annotations

import itertools
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from oracle import FIELDS, answer_to, assert_answers, softargmax

from softargmax_cli.errors import UndefinedError
from softargmax_cli.files.memory import ArraySource
from softargmax_cli.files.source import Pending
from softargmax_cli.reduction import budget, stream
from softargmax_cli.reduction.blocks import Block, Order
from softargmax_cli.reduction.budget import REDUCTION
from softargmax_cli.reduction.engine import reduce
from softargmax_cli.reduction.fields import FREE
from softargmax_cli.reduction.problem import Spec
from softargmax_cli.reduction.result import Slices
from softargmax_cli.tensorflow.base import Runtime

pytestmark = pytest.mark.sampled(6)

Array = npt.NDArray[Any]
EVERYTHING = frozenset(FIELDS)
SECOND = FREE | {"second"}
BARE = EVERYTHING - {"second", "multimodal"}
MEMORY = 64 << 20


class Watched(ArraySource):
    """Remembers which blocks were asked for; `sequential` where it says so, of unknown length where `table`."""

    def __init__(self, values: Array, *, sequential: bool = False, table: bool = False) -> None:
        super().__init__(values)
        self.sequential = sequential or table
        if table:
            self.shape = (None, *values.shape[1:])
        self.fetched: list[Block] = []
        self.blocks: dict[Block, Block] = {}
        """Each block, and what of the array is read of it in a second pass."""

    def fetch(self, block: Block) -> Pending:
        self.fetched.append(block)
        return super().fetch(block)


def run(
    source: Watched, runtime: Runtime, spec: Spec, fields: frozenset[str] = EVERYTHING, moves: list[int] | None = None
) -> Iterator[Slices]:
    problem = spec.resolve(source.shape, source.dtype, fields)
    advance = (lambda nbytes: None) if moves is None else moves.append
    return reduce(source, problem, runtime, memory=MEMORY, advance=advance)


def check(
    values: Array,
    runtime: Runtime,
    spec: Spec,
    fields: frozenset[str] = EVERYTHING,
    *,
    scale: Sequence[float] | float = 1.0,
) -> Watched:
    """Compare with the oracle; the source, which has been told of every byte twice."""
    source, moves = Watched(values), list[int]()
    problem = spec.resolve(source.shape, source.dtype, fields)
    assert REDUCTION.passes(source, problem, MEMORY) > 1
    source.blocks = {block: problem.read_again(block) for block in REDUCTION.plan(source, problem, MEMORY)}
    found = list(run(source, runtime, spec, fields, moves))
    assert [one.start for one in found] == list(itertools.accumulate(map(len, found), initial=0))[:-1]
    columns = {
        name: np.concatenate([getattr(one, name) for one in found], -1) if name in fields else None for name in FIELDS
    }
    want = answer_to(values, spec)
    assert_answers(SimpleNamespace(**columns), want, single=values.dtype == np.float32, scale=scale)
    assert sum(moves) == 2 * values.nbytes
    return source


def passes(source: Watched) -> tuple[set[Block], set[Block]]:
    """The blocks that were read, all of them once; and those that were read again."""
    counts = Counter(source.fetched)
    counts.subtract(source.blocks.keys())
    again = {block for block, wider in source.blocks.items() if counts[wider]}
    assert set(counts.elements()) == {source.blocks[block] for block in again}
    assert sum(math.prod(block.shape) for block in source.blocks) == math.prod(n or 0 for n in source.shape)
    return set(source.blocks), again


@pytest.fixture
def blocks_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make blocks so small, in bytes, that small arrays have many."""
    return lambda nbytes: monkeypatch.setattr(budget, "BLOCK", nbytes)


@pytest.mark.parametrize(
    ("shape", "spec", "fields", "block", "answer"),
    [
        ((4, 50), Spec(), BARE, 40, False),  # its parts are merged
        ((4, 50), Spec(values=(np.arange(50.0),), coords="index"), BARE, 40, False),
        ((4, 50), Spec(), SECOND, 40, True),
        ((4, 50), Spec(), FREE | {"multimodal"}, 40, True),
        ((4, 50), Spec(), EVERYTHING, 400, False),
        ((4, 50), Spec(window=3), FREE, 40, True),
        ((4, 50), Spec(window=3), FREE, 400, False),  # no slice is cut
        ((4, 50), Spec(window=0), EVERYTHING, 40, True),
        ((4, 50), Spec((0,), window=3), FREE, 80, True),
        ((4, 50), Spec((0, 1)), BARE, 400, False),
        ((4, 50), Spec((0, 1)), SECOND, 400, True),
        ((4, 50), Spec((1, 0)), SECOND, 1600, False),
        ((4, 50, 6), Spec((1, 2)), SECOND, 800, True),
        ((4, 50, 6), Spec((1, 2)), SECOND, 2400, False),
        ((None, 6), Spec((1,)), EVERYTHING, 40, False),
        ((None, 6), Spec((1,), window=2), EVERYTHING, 8, False),  # a table's rows are never cut
        ((None, 6), Spec((1,), values=(np.arange(6.0),), window=2), EVERYTHING, 8, False),
        ((None, 6), Spec((0,)), BARE, 40, False),
        ((None, 6), Spec((0,)), SECOND, 40, True),
        ((None, 6), Spec((0,), coords="corners"), BARE, 1 << 20, False),
        ((None, 6), Spec((0,), window=2), FREE, 1 << 20, True),
        ((None, 6), Spec((0,), values=(np.arange(50.0),)), FREE, 1 << 20, True),
        ((None, 6), Spec((0, 1)), BARE, 40, False),
        ((None, 6), Spec((1, 0)), SECOND, 1 << 20, True),
    ],
)
def test_what_returns(
    shape: tuple[int | None, ...],
    spec: Spec,
    fields: frozenset[str],
    block: int,
    answer: bool,
    blocks_of: Callable[[int], None],
) -> None:
    """Of float64, `block` bytes a block."""
    blocks_of(block)
    for kind in ("scores", "cost", "probs"):
        asked = Spec(spec.axes, kind, coords=spec.coords, values=spec.values, window=spec.window)
        source = Watched(np.zeros([n or 50 for n in shape]), table=shape[0] is None)
        assert (REDUCTION.passes(source, asked.resolve(source.shape, source.dtype, fields), MEMORY) > 1) == answer


def test_less_memory_makes_more_return() -> None:
    source = Watched(np.zeros((4, 100_000)))
    problem = Spec(window=3).resolve(source.shape, source.dtype, FREE)
    assert REDUCTION.passes(source, problem, MEMORY) == 1
    assert REDUCTION.passes(source, problem, 1 << 20) > 1


class TestWindows:
    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize(
        ("axes", "kind", "window"),
        [
            ((0,), "scores", 0),
            ((1,), "cost", 2),
            ((2,), "probs", 4),
            ((0, 2), "scores", 2),
            ((2, 1), "cost", 1),
            ((1, 0), "probs", 2),
            ((2, 0, 1), "scores", 3),
        ],
    )
    def test_any_axes(
        self,
        axes: tuple[int, ...],
        kind: Any,
        window: int,
        order: Order,
        native_runtime: Runtime,
        blocks_of: Callable[[int], None],
    ) -> None:
        values = np.round(np.random.default_rng(len(axes)).normal(size=(6, 7, 8)), 1).astype("f4").copy(order)
        for block in (3, 5):
            blocks_of(4 * block)
            check(np.abs(values) if kind == "probs" else values, native_runtime, Spec(axes, kind, 3.0, window=window))

    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("coords", ["corners", "centers", "values"])
    def test_any_coordinates(
        self, coords: Any, order: Order, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(8 * 10)
        values = np.round(np.random.default_rng(3).normal(size=(5, 9, 11)), 1).copy(order)
        for axes in ((1,), (2, 1)):
            lengths = [values.shape[axis] for axis in axes]
            rulers = tuple(np.sin(np.arange(n)) * 50 for n in lengths)
            spec = Spec(axes, beta=3.0, window=2, values=rulers)
            scale: Sequence[float] = [1.0] * len(axes)
            if coords != "values":
                spec = Spec(axes, beta=3.0, coords=coords, window=2)
                scale = [2 / (n - 1) for n in lengths]
            check(values, native_runtime, spec, scale=scale)

    @pytest.mark.parametrize("order", ["C", "F"])
    def test_blocks_outside_of_it_are_not_read_again(
        self, order: Order, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(8 * 10)
        values = np.zeros((1, 100)).copy(order)
        values[0, 34] = 1
        for window, again in (
            (0, {30}),
            (4, {30}),
            (5, {30, 20}),
            (16, {10, 20, 30, 40, 50}),
            (1000, range(0, 100, 10)),
        ):
            source = check(values, native_runtime, Spec(window=window, beta=1.0), BARE)
            assert {block.start[1] for block in passes(source)[1]} == set(again)

    def test_slices_in_one_block_may_need_different_ones(
        self, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(8 * 12)
        values = np.zeros((24, 2))
        values[3, 0] = values[20, 1] = 1
        source = check(values, native_runtime, Spec((0,), window=1, beta=1.0), FREE)
        blocks, again = passes(source)
        assert {block.start for block in blocks} == {(0, 0), (6, 0), (12, 0), (18, 0)}
        assert {block.start for block in again} == {(0, 0), (18, 0)}

    def test_boxes_outside_of_it_along_any_axis(
        self, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(8 * 12)
        values = np.zeros((12, 12))
        values[5, 5] = 1
        for axes in ((0, 1), (1, 0)):
            source = check(values, native_runtime, Spec(axes, window=1, beta=1.0), FREE)
            blocks, again = passes(source)
            near = {b for b in blocks if b.start[0] <= 6 and b.stop[0] > 4 and b.start[1] <= 6 and b.stop[1] > 4}
            assert again == near
            assert len(near) < len(blocks)

    def test_a_second_mode_may_be_anywhere(self, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        blocks_of(8 * 10)
        values = np.zeros((1, 100))
        values[0, 34] = 1
        blocks, again = passes(check(values, native_runtime, Spec(window=1, beta=1.0), SECOND))
        assert blocks == again

    def test_a_maximum_at_the_edge_of_a_block(self, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        blocks_of(8 * 10)
        for place in (0, 9, 10, 19, 20, 29):
            for window in (0, 1, 9, 10, 11):
                values = np.cos(np.arange(30.0))[None] / 2
                values[0, place] = 1
                check(values, native_runtime, Spec(window=window, beta=2.0), FREE | {"spread", "entropy"})

    @pytest.mark.parametrize("window", [1000, 1 << 40, 1 << 62, (1 << 63) - 1, 1 << 70])
    def test_one_that_holds_all(self, window: int, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        values = np.random.default_rng(5).normal(size=(3, 40)).astype("f4")
        for block in (12, 4000):
            blocks_of(4 * block)
            (wide,) = list(run(Watched(values), native_runtime, Spec(window=window, beta=2.0)))[:1]
            (bare,) = list(run(Watched(values), native_runtime, Spec(beta=2.0)))[:1]
            assert wide.second is not None
            assert not wide.second.any()
            np.testing.assert_allclose(wide.soft, bare.soft, rtol=1e-6)

    @pytest.mark.parametrize("dtype", ["i8", "u8", "i1"])
    @pytest.mark.parametrize("kind", ["scores", "cost"])
    def test_extremes_of_integers(
        self, kind: Any, dtype: str, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        rows = [[low, high, high - 1, low + 1, high, low], [high, high - 1, low, low + 1, low, high]]
        values = np.array(rows, dtype)
        blocks_of(2 * values.itemsize)
        for window in (0, 1, 2):
            source = Watched(values)
            found = list(run(source, native_runtime, Spec(kind=kind, beta=0.5, window=window)))
            hard = np.concatenate([one.hard for one in found], -1)
            np.testing.assert_array_equal(hard[0], (values.argmin if kind == "cost" else values.argmax)(1))
            want = softargmax(values, -1, 0.5, kind=kind, window=window)
            soft = np.concatenate([one.soft for one in found], -1)
            np.testing.assert_allclose(soft, want.flat().soft, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("compiled", [False, True])
    def test_by_either_runtime(
        self, compiled: bool, runtime: Runtime, blocks_of: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if compiled:
            monkeypatch.setattr(stream, "WORTH_COMPILING", 0)
        blocks_of(4 * 150)
        values = np.round(np.random.default_rng(7).normal(size=(2, 300)), 2).astype("f4")
        values[0, 7] = np.nan
        ruler = (np.sin(np.arange(300.0)) * 50,)
        check(values, runtime, Spec(beta=3.0, window=20, values=ruler, nan="omit"))


class TestSeveralAxes:
    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("axes", [(0, 1), (1, 2), (2, 0), (1, 2, 0)])
    def test_a_second_mode(
        self, axes: tuple[int, ...], order: Order, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        values = np.round(np.random.default_rng(len(axes)).normal(size=(6, 7, 8)), 1).astype("f4").copy(order)
        for block, kind in ((5, "scores"), (20, "cost"), (9, "probs")):
            blocks_of(4 * block)
            x = np.abs(values) if kind == "probs" else values
            blocks, again = passes(check(x, native_runtime, Spec(axes, kind, beta=3.0)))
            assert blocks == again

    def test_diagonal_neighbours_are_neighbours(
        self, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(8 * 4)
        values = np.zeros((6, 6))
        values[2, 2], values[3, 3], values[1, 3], values[4, 1] = 9, 8, 7, 6
        (got,) = run(Watched(values), native_runtime, Spec((0, 1), beta=1.0))
        assert got.second is not None
        assert got.second[0] / got.peak[0] == pytest.approx(math.exp(-3))


class TestUndefined:
    ROWS = (
        [math.nan, 1, 2, math.nan, 0, 5],
        [math.nan] * 6,
        [-math.inf] * 6,
        [-math.inf, math.nan, -math.inf, -math.inf, math.nan, -math.inf],
        [math.inf, math.nan, math.inf, 0, 3, math.inf],
        [math.inf, 3, 0, math.inf, -math.inf, 1],
        [-math.inf, 3, -math.inf, -math.inf, 2, -math.inf],
        [1, 2, 3, 4, 5, 6],
    )

    @pytest.mark.parametrize("nan", ["omit", "propagate"])
    @pytest.mark.parametrize(("kind", "order"), [("scores", "C"), ("cost", "F"), ("probs", "C")])
    def test_what_the_policies_make_of_it(
        self, kind: Any, order: Order, nan: Any, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        values = np.array(self.ROWS)
        if kind == "probs":
            values = np.where(values == -math.inf, 0, values)
        values = (-values if kind == "cost" else values).copy(order)
        for block, window in ((8, 0), (24, 1), (16, 3)):
            blocks_of(block)
            check(values, native_runtime, Spec(kind=kind, beta=2.0, window=window, nan=nan))
        blocks_of(16)
        check(values, native_runtime, Spec((0, 1), kind, 2.0, nan=nan))
        check(values[-2:], native_runtime, Spec((1, 0), kind, 2.0, nan=nan))

    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("axes", [(0,), (1,), (1, 2), (0, 2, 1)])
    def test_a_nan_is_counted_once(
        self, axes: tuple[int, ...], order: Order, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(24)
        values = np.zeros((5, 6, 7)).copy(order)
        values[[4, 1, 3, 1], [0, 5, 2, 2], [0, 0, 3, 6]] = np.nan
        with pytest.raises(UndefinedError, match=r"^4 NaNs, the first at index \(1, 2, 6\)\n"):
            list(run(Watched(values), native_runtime, Spec(axes, window=1)))

    @pytest.mark.parametrize("window", [0, 1, 100])
    def test_a_negative_weight_beside_nan(
        self, window: int, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        """Where a maximum is nowhere to be found, there still is an error to be told."""
        blocks_of(40)
        rng = np.random.default_rng(window)
        for _ in range(40):
            values = rng.choice([0.0, 1.0, 2.0, math.nan, -1.0], 10)
            values[5:][rng.permutation(5)[:2]] = math.nan, -1
            count = np.count_nonzero(values < 0)
            with pytest.raises(UndefinedError, match=rf"^{count} negative weights?, .*index {np.argmax(values < 0)}\n"):
                list(run(Watched(values), native_runtime, Spec(kind="probs", window=window), FREE))

    def test_slices_of_nothing(self, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        blocks_of(24)
        values = np.ones((5, 6, 7))
        values[[4, 1, 3], :, [0, 6, 2]] = 0
        with pytest.raises(UndefinedError, match=r"^3 slices sum to 0, .*; the first is slice \(1, 6\)\n"):
            list(run(Watched(values), native_runtime, Spec((1,), "probs", window=1)))


class TestSources:
    @pytest.mark.parametrize(
        ("spec", "fields"),
        [(Spec(window=1), FREE), (Spec((0, 1)), SECOND), (Spec((0,), window=0), EVERYTHING)],
    )
    def test_one_that_cannot_be_read_again_is_refused(
        self, spec: Spec, fields: frozenset[str], native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(24)
        source = Watched(np.zeros((6, 5)), sequential=True)
        with pytest.raises(ValueError, match="copied first"):
            list(run(source, native_runtime, spec, fields))
        assert not source.fetched

    @pytest.mark.parametrize(
        ("spec", "fields"),
        [
            (Spec((0,), window=1), FREE),
            (Spec((0, 1)), SECOND),
            (Spec((0,), values=(np.arange(6.0),)), FREE),
        ],
    )
    def test_so_is_a_table(self, spec: Spec, fields: frozenset[str], native_runtime: Runtime) -> None:
        source = Watched(np.zeros((6, 5)), table=True)
        with pytest.raises(ValueError, match="copied first"):
            list(run(source, native_runtime, spec, fields))
        assert not source.fetched

    def test_a_pipe_whose_slices_are_whole_will_do(
        self, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(40)
        values = np.random.default_rng(1).normal(size=(6, 5))
        source = Watched(values, sequential=True)
        soft = np.concatenate([one.soft for one in run(source, native_runtime, Spec(beta=2.0, window=1))], -1)
        np.testing.assert_allclose(soft, softargmax(values, -1, 2.0, window=1).soft, atol=1e-11)
        assert len(source.fetched) == 6

    @pytest.mark.parametrize("taken", [0, 1, 2])
    def test_a_stream_closed_early(self, taken: int, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        blocks_of(40)
        before = set(threading.enumerate())
        source = Watched(np.random.default_rng(1).normal(size=(30, 20)))
        slices: Any = run(source, native_runtime, Spec(window=1), FREE)
        for _ in range(taken):
            next(slices)
        slices.close()
        assert set(threading.enumerate()) == before
        assert len(source.fetched) <= 8 * taken

    def test_no_slices(self, native_runtime: Runtime) -> None:
        assert list(run(Watched(np.zeros((0, 5))), native_runtime, Spec(window=1))) == []

    def test_the_same_whichever_thread_was_faster(
        self, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(4 * 30)
        values = np.random.default_rng(4).normal(size=(2, 20, 20)).astype("f4")
        spec = Spec((1, 2), beta=2.0, window=6)
        runs = [list(run(Watched(values), native_runtime, spec)) for _ in range(4)]
        for field in FIELDS:
            assert len({b"".join(one.column(field).tobytes() for one in found) for found in runs}) == 1
