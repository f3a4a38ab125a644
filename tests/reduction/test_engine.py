"""The stream from blocks to slices: any array, any order, any size of block, the same answers."""

from __future__ import annotations

import io
import itertools
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from oracle import FIELDS, assert_answers, softargmax

from softargmax_cli.arrays.npy import NpySource
from softargmax_cli.arrays.source import Loaded
from softargmax_cli.errors import InputError, OptionError, UndefinedError
from softargmax_cli.reduction import engine, ordering
from softargmax_cli.reduction.blocks import Block, Order
from softargmax_cli.reduction.buffer import Buffer
from softargmax_cli.reduction.engine import reduce
from softargmax_cli.reduction.result import ALWAYS, Slices
from softargmax_cli.reduction.spec import Spec
from softargmax_cli.runtime.base import Runtime

Array = npt.NDArray[Any]
EVERYTHING = frozenset(FIELDS)
MEMORY = 64 << 20


@dataclass(frozen=True)
class Ready:
    """A pending block whose values are at hand."""

    values: Array
    ids: Sequence[str] | None = None
    failure: Exception | None = None

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def load(self, buffer: Buffer) -> Loaded:
        if self.failure is not None:
            raise self.failure
        order: Order = "C" if self.values.flags.c_contiguous else "F"
        turned = self.values if order == "C" else self.values.T
        space = buffer.array(turned.shape, turned.dtype)
        space[...] = turned
        return Loaded(space if order == "C" else space.T, self.ids)


class ArraySource:
    """An array as a file in either order; `sequential` hands out its elements in file order, whatever is asked."""

    labels = None

    def __init__(self, values: Array, order: Order = "C", *, sequential: bool = False) -> None:
        self.shape: tuple[int | None, ...] = values.shape
        self.dtype, self.order, self.sequential = values.dtype, order, sequential
        self._values, self._flat, self._place = values, values.ravel(order), 0
        self.fetched: list[Block] = []

    def fetch(self, block: Block) -> Ready:
        self.fetched.append(block)
        if not self.sequential:
            box = self._values[tuple(map(slice, block.start, block.stop))]
            return Ready(box.copy(self.order))
        size = math.prod(block.shape)
        values = self._flat[self._place : self._place + size].reshape(block.shape, order=self.order)
        self._place += size
        return Ready(values)


class TableSource:
    """Rows in blocks of lengths of its own, as a CSV file has them; columns side by side in memory or rows."""

    order: Order = "C"
    sequential = True

    def __init__(self, values: Array, lengths: Sequence[int], *, ids: bool = False, turned: bool = True) -> None:
        assert sum(lengths) == len(values)
        self.shape = (None, values.shape[1])
        self.dtype = values.dtype
        self.labels = [f"column {k}" for k in range(values.shape[1])]
        self._values, self._ids, self._turned = values, ids, turned
        self._edges = list(itertools.pairwise(itertools.accumulate(lengths, initial=0)))

    def fetch(self, block: Block) -> Ready | None:
        if not self._edges:
            return None
        start, stop = self._edges.pop(0)
        rows = self._values[start:stop].copy("F" if self._turned else "C")
        return Ready(rows, [f"row {k}" for k in range(start, stop)] if self._ids else None)


def gathered(runs: Iterator[Slices]) -> Any:
    """All slices as one, after a look at how they were handed out."""
    found = list(runs)
    start = 0
    for run in found:
        assert run.start == start
        start += len(run)
    columns = {}
    for field in (*FIELDS, "ids"):
        parts = [getattr(run, field) for run in found]
        if parts and all(part is not None for part in parts):
            columns[field] = [*itertools.chain(*parts)] if field == "ids" else np.concatenate(parts)
        else:
            assert all(part is None for part in parts)
            columns[field] = None
    return SimpleNamespace(**columns)


def answers(
    source: Any, runtime: Runtime, spec: Spec, *, memory: int = MEMORY, fields: frozenset[str] = EVERYTHING
) -> Any:
    return gathered(reduce(source, spec.resolve(source.shape, source.dtype, fields), runtime, memory=memory))


def check(source: Any, values: Array, runtime: Runtime, spec: Spec, *, memory: int = MEMORY) -> None:
    problem = spec.resolve(source.shape, source.dtype, EVERYTHING)
    got = gathered(reduce(source, problem, runtime, memory=memory))
    want = softargmax(values, spec.axis, spec.beta, omit=spec.nan == "omit")
    assert_answers(got, want, single=problem.precision == np.float32)


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("reduce")}


@pytest.fixture
def blocks_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make blocks so small, in bytes, that small arrays have many."""
    return lambda nbytes: monkeypatch.setattr(engine, "BLOCK", nbytes)


@pytest.fixture
def all_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have XLA compile whatever can be."""
    monkeypatch.setattr(engine, "WORTH_COMPILING", 0)
    monkeypatch.setattr(engine, "FIRST_COMPILED", 0)


def values_of(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, *, odd: bool) -> Array:
    """Random scores with ties; `odd`: NaN and infinities among them."""
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.random(shape) < 0.3
    if kind.kind in "iu":
        info = np.iinfo(kind)
        wide = rng.random() < 0.5
        return rng.integers(info.min if wide else 0, info.max if wide else 9, shape, kind, endpoint=True)
    values = np.round(rng.normal(size=shape) * rng.choice([0.1, 1, 30]), int(rng.integers(0, 5))).astype(kind)
    if odd:
        for what, chance in ((np.nan, 0.1), (np.inf, 0.05), (-np.inf, rng.choice([0.1, 0.8]))):
            values[rng.random(shape) < chance] = what
    return values


DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]


@pytest.mark.parametrize("seed", range(48))
def test_any_array_in_any_blocks(seed: int, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    any_array(seed, native_runtime, blocks_of)


@pytest.mark.parametrize("seed", range(100, 112))
def test_any_array_in_any_blocks_with_the_python_runtime(
    seed: int, python_runtime: Runtime, blocks_of: Callable[[int], None]
) -> None:
    any_array(seed, python_runtime, blocks_of)


def any_array(seed: int, runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    """One random array, file order, axis, β, policy, precision and size of block."""
    rng = np.random.default_rng(seed)
    ndim = 1 + seed % 5
    shape = tuple(int(n) for n in rng.integers(1, (60, 24, 12, 7, 5)[ndim - 1], ndim, endpoint=True))
    nan = ("omit", "propagate")[seed % 2]
    values = values_of(rng, shape, DTYPES[seed % 12], odd=bool(rng.random() < 0.6))
    spec = Spec(
        axis=int(rng.integers(-ndim, ndim)),
        beta=float(rng.choice([1e-3, 0.3, 1, 100, 1e6])),
        nan=nan,
        precision=str(rng.choice(["auto", "single", "double"])),
    )
    blocks_of(values.dtype.itemsize * int(rng.choice([1, 3, 10, 40, 100, 10_000]) if values.size < 300 else 80))
    source = ArraySource(values, "F" if rng.random() < 0.5 else "C")
    check(source, values, runtime, spec)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("room", [2000, 4200])
def test_a_pipe(axis: int, order: Order, room: int, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    """Blocks large enough for what lies side by side: few elements more, or many."""
    blocks_of(room)
    values = np.random.default_rng(axis).normal(size=(6, 20, 24)).astype("f4")
    check(ArraySource(values, order, sequential=True), values, native_runtime, Spec(axis=axis, beta=3.0))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_pipe_whose_slices_lie_further_apart_than_a_block(
    axis: int, order: Order, native_runtime: Runtime, blocks_of: Callable[[int], None]
) -> None:
    blocks_of(40)
    values = np.random.default_rng(axis).normal(size=(30, 25)).astype("f4")
    check(ArraySource(values, order, sequential=True), values, native_runtime, Spec(axis=axis, beta=3.0))


def test_a_real_pipe_says_the_same_as_a_file(tmp_path: Path, native_runtime: Runtime) -> None:
    values = np.random.default_rng(5).normal(size=(40, 30)).astype(">f4")
    held = io.BytesIO()
    np.save(held, values)
    read, write = os.pipe()
    with os.fdopen(write, "wb") as writer:
        writer.write(held.getvalue())
    source = NpySource(os.fdopen(read, "rb"), "<stdin>")
    try:
        assert source.sequential
        check(source, values.astype("f4"), native_runtime, Spec())
    finally:
        source.close()


@pytest.mark.parametrize("dtype", [">i2", ">f8", ">i8", "<f2", ">u4", "g", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_files(
    tmp_path: Path, dtype: str, order: Order, native_runtime: Runtime, blocks_of: Callable[[int], None]
) -> None:
    blocks_of(256)
    rng = np.random.default_rng(9)
    values = np.asarray(rng.normal(size=(7, 8, 9)) * 50).astype(dtype).copy(order)
    np.save(tmp_path / "a.npy", values)
    for axis in (0, 1, 2):
        source = NpySource((tmp_path / "a.npy").open("rb"), "a.npy")
        try:
            assert source.order == order
            check(source, values.astype(source.dtype), native_runtime, Spec(axis=axis, beta=0.3))
        finally:
            source.close()


@pytest.mark.parametrize(("shape", "axis"), [((2, 100_000), 1), ((100_000, 3), 0), ((3, 50_000, 2), 1)])
@pytest.mark.parametrize("precision", ["single", "double"])
def test_long_slices_in_many_parts(
    shape: tuple[int, ...], axis: int, precision: Any, native_runtime: Runtime, blocks_of: Callable[[int], None]
) -> None:
    blocks_of(48_000)
    values = np.random.default_rng(3).normal(size=shape).astype("f4")
    for beta in (1e-3, 1.0, 20.0, 1e6):
        check(ArraySource(values), values, native_runtime, Spec(axis=axis, beta=beta, precision=precision))


@pytest.mark.usefixtures("all_compiled")
@pytest.mark.parametrize("order", ["C", "F"])
def test_compiled_blocks(order: Order, runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    blocks_of(4 * 64)
    values = values_of(np.random.default_rng(2), (9, 8, 5), "f4", odd=True)
    check(ArraySource(values, order), values, runtime, Spec(axis=1, beta=1.0, nan="propagate"))


@pytest.mark.parametrize("nbytes", [8, 40, 400, 4000])
def test_splits_change_nothing_but_rounding(
    nbytes: int, native_runtime: Runtime, blocks_of: Callable[[int], None]
) -> None:
    values = np.random.default_rng(4).normal(size=(5, 90))
    whole = answers(ArraySource(values), native_runtime, Spec(beta=2.0))
    blocks_of(nbytes)
    split = answers(ArraySource(values), native_runtime, Spec(beta=2.0))
    for field in FIELDS:
        np.testing.assert_allclose(getattr(split, field), getattr(whole, field), rtol=1e-12, atol=1e-12)


def test_the_same_whichever_thread_was_faster(native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    blocks_of(4 * 30)
    values = np.random.default_rng(4).normal(size=(4, 500)).astype("f4")
    runs = [answers(ArraySource(values), native_runtime, Spec(beta=2.0)) for _ in range(5)]
    for field in FIELDS:
        assert len({getattr(run, field).tobytes() for run in runs}) == 1


class TestNarrowScores:
    @pytest.mark.parametrize(
        "row",
        [
            np.array([1 << 60, (1 << 60) + 1, 5, (1 << 60) + 1, -(1 << 63)], "i8"),
            np.array([-(1 << 63), (1 << 63) - 2, (1 << 63) - 1, 0], "i8"),
            np.array([0, (1 << 64) - 2, (1 << 64) - 1, 1 << 63], "u8"),
        ],
        ids=["neighbours", "int64", "uint64"],
    )
    def test_hard_is_numpys(self, row: Array, runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        for nbytes in (8, 16, 1000):
            blocks_of(nbytes)
            check(ArraySource(row), row, runtime, Spec(beta=1.0))


class TestFields:
    def test_only_what_was_asked_for(self, native_runtime: Runtime) -> None:
        values = np.random.default_rng(4).normal(size=(5, 9))
        for more in (set(), {"spread"}, {"entropy"}, {"ties"}, {"spread", "ties"}):
            got = answers(ArraySource(values), native_runtime, Spec(), fields=ALWAYS | more)
            assert {field for field in FIELDS if getattr(got, field) is not None} == ALWAYS | more
            assert_answers(got, softargmax(values), single=False)

    def test_one_slice_in_all(self, native_runtime: Runtime) -> None:
        values = np.array([3.0, 9.0, 9.0])
        got = answers(ArraySource(values), native_runtime, Spec())
        assert (got.hard.tolist(), got.soft.tolist(), got.ties.tolist()) == ([1], [1.5], [2])

    def test_no_slices(self, native_runtime: Runtime) -> None:
        for shape, axis in (((0, 5), 1), ((5, 0), 0), ((0, 5, 3), 1), ((4, 5, 0), 1)):
            for order in ("C", "F"):
                source = ArraySource(np.zeros(shape), order)
                problem = Spec(axis=axis).resolve(source.shape, source.dtype, ALWAYS)
                assert list(reduce(source, problem, native_runtime, memory=MEMORY)) == []

    def test_progress_is_told_of_every_byte(self, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        blocks_of(100)
        values = np.zeros((30, 20), "f4")
        moves: list[int] = []
        problem = Spec().resolve(values.shape, values.dtype, ALWAYS)
        gathered(reduce(ArraySource(values), problem, native_runtime, memory=MEMORY, advance=moves.append))
        assert sum(moves) == values.nbytes
        assert len(moves) >= 24


class TestMemory:
    @pytest.mark.parametrize(("rows", "memory"), [(6, 1), (60, 10_000), (600, 1_000_000)])
    def test_blocks_keep_within_it(self, rows: int, memory: int, native_runtime: Runtime) -> None:
        source = ArraySource(np.zeros((rows, 100), "f4"))
        answers(source, native_runtime, Spec(), memory=memory, fields=ALWAYS)
        largest = max(math.prod(block.shape) for block in source.fetched)
        assert largest == 1 or largest * 4 * 4 <= memory

    def test_slices_side_by_side_beyond_it(self, native_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine, "STATE_BYTES", 1 << 24)
        values = np.zeros((4, 1000), "f4")
        problem = Spec(axis=0).resolve(values.shape, values.dtype, ALWAYS)
        source = ArraySource(values, sequential=True)
        monkeypatch.setattr(engine, "BLOCK", 100)
        with pytest.raises(OptionError, match="--memory"):
            gathered(reduce(source, problem, native_runtime, memory=10_000_000))


class TestFortranOrder:
    @pytest.mark.parametrize("memory", [1 << 12, MEMORY], ids=["temporary files", "in memory"])
    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_slices_in_row_major_order(
        self, axis: int, memory: int, native_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine, "BLOCK", 1600)
        monkeypatch.setattr(ordering, "RUN", 100)
        mapped = []
        space = ordering._space

        def watched_space(*arguments: Any) -> Array:
            mapped.append(space(*arguments))
            return mapped[-1]

        monkeypatch.setattr(ordering, "_space", watched_space)
        values = np.random.default_rng(axis).normal(size=(14, 15, 16)).astype("f4")
        check(ArraySource(values, "F"), values, native_runtime, Spec(axis=axis, beta=5.0), memory=memory)
        assert {type(array) for array in mapped} == ({np.memmap} if memory < MEMORY else {np.ndarray})


class TestTables:
    LENGTHS = (7, 1, 30, 2, 60)

    @staticmethod
    def values(rows: int = 100, columns: int = 6, *, odd: bool = False) -> Array:
        return values_of(np.random.default_rng(rows), (rows, columns), "f8", odd=odd)

    @pytest.mark.parametrize("turned", [False, True])
    @pytest.mark.parametrize("axis", [0, 1])
    def test_blocks_of_any_length(self, axis: int, turned: bool, runtime: Runtime) -> None:
        values = self.values()
        check(TableSource(values, self.LENGTHS, turned=turned), values, runtime, Spec(axis=axis, beta=0.7))

    @pytest.mark.usefixtures("all_compiled")
    @pytest.mark.parametrize("turned", [False, True])
    @pytest.mark.parametrize("axis", [0, 1])
    def test_padding_is_not_seen(self, axis: int, turned: bool, runtime: Runtime) -> None:
        values = self.values(odd=True)
        values[:, 2] = -np.inf
        spec = Spec(axis=axis, beta=0.7, nan="propagate")
        check(TableSource(values, self.LENGTHS, turned=turned), values, runtime, spec)

    @pytest.mark.usefixtures("all_compiled")
    @pytest.mark.parametrize("axis", [0, 1])
    def test_a_block_longer_than_the_padding_step(self, axis: int, native_runtime: Runtime) -> None:
        values = self.values(5000, 3)
        check(TableSource(values, (4099, 901)), values, native_runtime, Spec(axis=axis, beta=0.7))

    @pytest.mark.parametrize("axis", [0, 1])
    def test_a_block_without_rows(self, axis: int, native_runtime: Runtime) -> None:
        values = self.values(9)
        check(TableSource(values, (4, 0, 5)), values, native_runtime, Spec(axis=axis, beta=0.7))

    def test_names(self, native_runtime: Runtime) -> None:
        values = self.values()
        got = answers(TableSource(values, self.LENGTHS, ids=True), native_runtime, Spec())
        assert got.ids == [f"row {k}" for k in range(100)]
        by_column = answers(TableSource(values, self.LENGTHS, ids=True), native_runtime, Spec(axis=0))
        assert by_column.ids == [f"column {k}" for k in range(6)]

    def test_no_rows(self, native_runtime: Runtime) -> None:
        empty = self.values()[:0]
        problem = Spec(axis=1).resolve((None, 6), empty.dtype, ALWAYS)
        assert list(reduce(TableSource(empty, ()), problem, native_runtime, memory=MEMORY)) == []
        problem = Spec(axis=0).resolve((None, 6), empty.dtype, ALWAYS)
        with pytest.raises(InputError, match="no rows"):
            gathered(reduce(TableSource(empty, ()), problem, native_runtime, memory=MEMORY))

    @pytest.mark.parametrize("axis", [0, 1])
    def test_where_a_nan_is(self, axis: int, native_runtime: Runtime) -> None:
        values = self.values()
        values[[41, 8, 99], [1, 4, 0]] = np.nan
        with pytest.raises(UndefinedError, match=r"3 NaNs, the first at index \(8, 4\)"):
            answers(TableSource(values, self.LENGTHS), native_runtime, Spec(axis=axis))

    def test_where_a_row_of_nothing_is(self, native_runtime: Runtime) -> None:
        values = self.values()
        values[[41, 99]] = -np.inf
        with pytest.raises(UndefinedError, match=r"2 slices hold nothing but -inf; the first is slice 41\n"):
            answers(TableSource(values, self.LENGTHS), native_runtime, Spec())


class TestUndefined:
    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_every_nan_is_counted_and_the_first_is_named(
        self, axis: int, order: Order, runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(60)
        values = np.zeros((5, 6, 7), "f4")
        values[[4, 1, 3, 1], [0, 5, 2, 2], [0, 0, 3, 6]] = np.nan
        with pytest.raises(UndefinedError) as caught:
            answers(ArraySource(values, order), runtime, Spec(axis=axis))
        assert caught.value.what == "4 NaNs, the first at index (1, 2, 6)"
        assert "--nan omit" in caught.value.remedy
        assert isinstance(caught.value, ArithmeticError)

    def test_one_nan(self, native_runtime: Runtime) -> None:
        values = np.array([0.0, np.nan, 1.0])
        with pytest.raises(UndefinedError, match=r"^1 NaN, at index 1"):
            answers(ArraySource(values), native_runtime, Spec())

    def test_slices_before_the_first_are_handed_out(
        self, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(4 * 3)
        values = np.zeros((10, 3), "f4")
        values[6, 1] = np.nan
        problem = Spec().resolve(values.shape, values.dtype, ALWAYS)
        slices = reduce(ArraySource(values), problem, native_runtime, memory=MEMORY)
        assert [next(slices).start for _ in range(6)] == list(range(6))
        with pytest.raises(UndefinedError):
            next(slices)

    @pytest.mark.parametrize("order", ["C", "F"])
    def test_slices_of_nothing(self, order: Order, runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        blocks_of(60)
        values = np.zeros((5, 6, 7), "f4")
        values[[4, 1, 3], :, [0, 6, 2]] = -np.inf
        with pytest.raises(UndefinedError) as caught:
            answers(ArraySource(values, order), runtime, Spec(axis=1))
        assert caught.value.what == "3 slices hold nothing but -inf; the first is slice (1, 6)"

    def test_one_slice_of_nothing(self, native_runtime: Runtime) -> None:
        with pytest.raises(UndefinedError, match=r"^1 slice holds nothing but -inf\n"):
            answers(ArraySource(np.full(4, -np.inf)), native_runtime, Spec())

    @pytest.mark.parametrize("policy", ["omit", "propagate"])
    @pytest.mark.parametrize("nbytes", [8, 24, 8000])
    def test_what_the_policies_make_of_it(
        self, policy: Any, nbytes: int, runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(nbytes)
        inf, nan = math.inf, math.nan
        values = np.array(
            [
                [nan, 1, 2, nan],
                [nan, nan, nan, nan],
                [-inf, -inf, -inf, -inf],
                [-inf, nan, -inf, -inf],
                [inf, nan, inf, 0],
                [inf, 3, 0, inf],
                [-inf, 3, -inf, -inf],
                [1, 2, 3, 4],
            ]
        )
        check(ArraySource(values), values, runtime, Spec(beta=2.0, nan=policy))


class TestThreads:
    @staticmethod
    def failing(values: Array, number: int) -> ArraySource:
        """A source whose block of that number cannot be loaded."""

        class Failing(ArraySource):
            def fetch(self, block: Block) -> Ready:
                ready = super().fetch(block)
                broken = len(self.fetched) == number
                return replace(ready, failure=InputError("a.npy: ended")) if broken else ready

        return Failing(values)

    @pytest.mark.parametrize("number", [1, 2, 7, 30])
    def test_an_error_in_a_worker_surfaces(
        self, number: int, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(4 * 10)
        before = threads()
        source = self.failing(np.zeros((30, 10), "f4"), number)
        with pytest.raises(InputError, match=r"a\.npy: ended"):
            answers(source, native_runtime, Spec())
        assert threads() == before

    def test_an_error_in_fetching_surfaces(self, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        class Ending(ArraySource):
            def fetch(self, block: Block) -> Ready:
                if len(self.fetched) == 7:
                    raise InputError("<stdin>: ended")
                return super().fetch(block)

        blocks_of(4 * 10)
        before = threads()
        with pytest.raises(InputError, match="<stdin>: ended"):
            answers(Ending(np.zeros((30, 10), "f4")), native_runtime, Spec())
        assert threads() == before

    @pytest.mark.parametrize("nan", ["error", "omit"])
    @pytest.mark.parametrize("table", [False, True])
    def test_a_stream_closed_early(
        self, table: bool, nan: Any, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(8 * 10)
        before = threads()
        values = np.zeros((300, 10))
        source: Any = TableSource(values, [3] * 100) if table else ArraySource(values)
        problem = Spec(nan=nan).resolve(source.shape, source.dtype, ALWAYS)
        slices: Any = reduce(source, problem, native_runtime, memory=MEMORY)
        next(slices)
        assert threads() - before
        slices.close()
        assert threads() == before

    def test_a_stream_never_begun(self, native_runtime: Runtime) -> None:
        before = threads()
        values = np.zeros((30, 10))
        problem = Spec().resolve(values.shape, values.dtype, ALWAYS)
        del values
        reduce(ArraySource(np.zeros((30, 10))), problem, native_runtime, memory=MEMORY)
        assert threads() == before

    def test_a_pipe_is_not_read_far_ahead(self, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        blocks_of(4 * 10)
        source = ArraySource(np.zeros((500, 10), "f4"), sequential=True)
        problem = Spec().resolve(source.shape, source.dtype, ALWAYS)
        slices: Any = reduce(source, problem, native_runtime, memory=MEMORY)
        next(slices)
        assert len(source.fetched) <= 2 * (os.cpu_count() or 1) + 2
        slices.close()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(40, 700), (5, 300, 20)])
def test_a_gpu_says_what_the_cpu_says(
    dtype: str, shape: tuple[int, ...], gpu_runtime: Runtime, blocks_of: Callable[[int], None]
) -> None:
    blocks_of(64 << 10)
    rng = np.random.default_rng(1)
    values = values_of(rng, shape, dtype, odd=True)
    for axis in range(len(shape)):
        for beta in (1e-3, 1.0, 100.0):
            for precision in ("single", "double"):
                spec = Spec(axis=axis, beta=beta, nan="propagate", precision=precision)
                check(ArraySource(values), values, gpu_runtime, spec)


@pytest.mark.gpu
@pytest.mark.usefixtures("all_compiled")
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
def test_a_gpu_compiles_too(dtype: str, gpu_runtime: Runtime) -> None:
    values = values_of(np.random.default_rng(1), (40, 700), dtype, odd=True)
    check(ArraySource(values), values, gpu_runtime, Spec(beta=1.0, nan="omit"))
