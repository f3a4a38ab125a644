"""The stream from blocks to slices: any array, any order, any size of block, the same answers."""

from __future__ import annotations

import dataclasses
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
from oracle import FIELDS, answer_to, assert_answers, softargmax

from softargmax_cli.errors import InputError, UndefinedError
from softargmax_cli.files.formats.npy import NpySource
from softargmax_cli.files.source import Loaded
from softargmax_cli.files.temporary import scratch
from softargmax_cli.reduction import budget, stream
from softargmax_cli.reduction import order as ordering
from softargmax_cli.reduction.blocks import WIDER, Block, Order
from softargmax_cli.reduction.budget import REDUCTION
from softargmax_cli.reduction.engine import reduce
from softargmax_cli.reduction.fields import FREE
from softargmax_cli.reduction.problem import Spec
from softargmax_cli.reduction.readable import Buffer
from softargmax_cli.reduction.reducer import ADDED, BlockReducer, padded
from softargmax_cli.reduction.result import Slices
from softargmax_cli.tensorflow.base import Runtime

pytestmark = pytest.mark.sampled(3)

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

    labels = chunks = None

    def __init__(
        self, values: Array, order: Order = "C", *, sequential: bool = False, ids: Sequence[str] | None = None
    ) -> None:
        self.shape: tuple[int | None, ...] = values.shape
        self.dtype, self.order, self.sequential = values.dtype, order, sequential
        self._values, self._flat, self._place = values, values.ravel(order), 0
        self.fetched: list[Block] = []
        self._ids = ids

    def fetch(self, block: Block) -> Ready:
        self.fetched.append(block)
        if not self.sequential:
            box = self._values[tuple(map(slice, block.start, block.stop))]
            return Ready(box.copy(self.order))
        size = math.prod(block.shape)
        values = self._flat[self._place : self._place + size].reshape(block.shape, order=self.order)
        self._place += size
        return Ready(values, None if self._ids is None else self._ids[block.start[0] : block.stop[0]])


class TableSource:
    """Rows in blocks of lengths of its own, as a CSV file has them; columns side by side in memory or rows."""

    order: Order = "C"
    sequential = True
    chunks = None

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
            columns[field] = [*itertools.chain(*parts)] if field == "ids" else np.concatenate(parts, axis=-1)
        else:
            assert all(part is None for part in parts)
            columns[field] = None
    return SimpleNamespace(**columns)


def readable(source: Any, spec: Spec, memory: int = MEMORY) -> frozenset[str]:
    """Every field, but for modes where these would have a pipe read twice."""
    problem = spec.resolve(source.shape, source.dtype, EVERYTHING)
    twice = source.sequential and REDUCTION.must_seek(source, problem, memory)
    return EVERYTHING - {"second", "multimodal"} if twice else EVERYTHING


def answers(
    source: Any, runtime: Runtime, spec: Spec, *, memory: int = MEMORY, fields: frozenset[str] | None = None
) -> Any:
    fields = readable(source, spec, memory) if fields is None else fields
    return gathered(reduce(source, spec.resolve(source.shape, source.dtype, fields), runtime, memory=memory))


def check(source: Any, values: Array, runtime: Runtime, spec: Spec, *, memory: int = MEMORY) -> None:
    problem = spec.resolve(source.shape, source.dtype, readable(source, spec, memory))
    got = gathered(reduce(source, problem, runtime, memory=memory, scratch=scratch))
    want = answer_to(values, spec)
    assert_answers(got, want, single=problem.precision == np.float32)


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("reduce")}


@pytest.fixture
def blocks_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make blocks so small, in bytes, that small arrays have many."""
    return lambda nbytes: monkeypatch.setattr(budget, "BLOCK", nbytes)


@pytest.fixture
def all_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have XLA compile whatever can be."""
    monkeypatch.setattr(stream, "WORTH_COMPILING", 0)
    monkeypatch.setattr(stream, "FIRST_COMPILED", 0)


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


KINDS: list[Any] = ["scores", "cost", "probs"]
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
        axes=(int(rng.integers(-ndim, ndim)),),
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
    check(ArraySource(values, order, sequential=True), values, native_runtime, Spec(axes=(axis,), beta=3.0))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_pipe_whose_slices_lie_further_apart_than_a_block(
    axis: int, order: Order, native_runtime: Runtime, blocks_of: Callable[[int], None]
) -> None:
    blocks_of(40)
    values = np.random.default_rng(axis).normal(size=(30, 25)).astype("f4")
    check(ArraySource(values, order, sequential=True), values, native_runtime, Spec(axes=(axis,), beta=3.0))


def test_names_of_rows_longer_than_a_block(native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    values, names = np.random.default_rng(5).normal(size=(7, 50)), list("abcdefg")
    for nbytes, first in ((160, (1, 17)), (400, (1, 50)), (960, (2, 50))):
        blocks_of(nbytes)
        source = ArraySource(values, sequential=True, ids=names)
        assert answers(source, native_runtime, Spec(beta=3.0)).ids == names
        assert source.fetched[0].shape == first


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
            check(source, values.astype(source.dtype), native_runtime, Spec(axes=(axis,), beta=0.3))
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
        check(ArraySource(values), values, native_runtime, Spec(axes=(axis,), beta=beta, precision=precision))


@pytest.mark.usefixtures("all_compiled")
@pytest.mark.parametrize("order", ["C", "F"])
def test_compiled_blocks(order: Order, runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    blocks_of(4 * 64)
    values = values_of(np.random.default_rng(2), (9, 8, 5), "f4", odd=True)
    check(ArraySource(values, order), values, runtime, Spec(axes=(1,), beta=1.0, nan="propagate"))


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
        for more in (set(), {"second", "multimodal"}, {"spread"}, {"entropy"}, {"ties"}, {"spread", "ties"}):
            got = answers(ArraySource(values), native_runtime, Spec(), fields=FREE | more)
            assert {field for field in FIELDS if getattr(got, field) is not None} == FREE | more
            assert_answers(got, softargmax(values), single=False)

    def test_one_slice_in_all(self, native_runtime: Runtime) -> None:
        values = np.array([3.0, 9.0, 9.0])
        got = answers(ArraySource(values), native_runtime, Spec())
        assert (got.hard.tolist(), got.soft.tolist(), got.ties.tolist()) == ([[1]], [[1.5]], [2])

    def test_no_slices(self, native_runtime: Runtime) -> None:
        for shape, axis in (((0, 5), 1), ((5, 0), 0), ((0, 5, 3), 1), ((4, 5, 0), 1)):
            for order in ("C", "F"):
                source = ArraySource(np.zeros(shape), order)
                problem = Spec(axes=(axis,)).resolve(source.shape, source.dtype, FREE)
                assert list(reduce(source, problem, native_runtime, memory=MEMORY)) == []

    def test_progress_is_told_of_every_byte(self, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        blocks_of(100)
        values = np.zeros((30, 20), "f4")
        moves: list[int] = []
        problem = Spec().resolve(values.shape, values.dtype, FREE)
        gathered(reduce(ArraySource(values), problem, native_runtime, memory=MEMORY, advance=moves.append))
        assert sum(moves) == values.nbytes
        assert len(moves) >= 24


class TestMemory:
    @pytest.mark.parametrize(("rows", "memory"), [(6, 1), (60, 10_000), (600, 1_000_000)])
    def test_blocks_keep_within_it(self, rows: int, memory: int, native_runtime: Runtime) -> None:
        source = ArraySource(np.zeros((rows, 100), "f4"))
        answers(source, native_runtime, Spec(), memory=memory, fields=FREE)
        largest = max(math.prod(block.shape) for block in source.fetched)
        assert largest == 1 or largest * 4 * 4 <= memory

    def test_slices_side_by_side_beyond_it(self, native_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(budget, "STATES", 1 << 18)
        values = np.zeros((4, 1000), "f4")
        problem = Spec(axes=(0,)).resolve(values.shape, values.dtype, FREE)
        source = ArraySource(values, sequential=True)
        monkeypatch.setattr(budget, "BLOCK", 100)
        assert REDUCTION.must_seek(source, problem, 10_000_000)
        with pytest.raises(ValueError, match="must be copied first"):
            gathered(reduce(source, problem, native_runtime, memory=10_000_000))
        assert not REDUCTION.must_seek(source, problem, 1 << 40)

    @pytest.mark.parametrize(("shape", "axes"), [((1 << 25, 1), (1,)), ((1 << 23, 3), (1,)), ((1, 1 << 24, 2), (2, 0))])
    def test_what_is_said_of_short_slices_takes_no_more(self, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
        """It is larger than what they hold; and much of it waits."""
        layout = {"order": "C", "sequential": False, "chunks": None}
        source: Any = SimpleNamespace(shape=shape, dtype=np.dtype("u1"), **layout)
        problem = Spec(axes=axes).resolve(shape, source.dtype, frozenset(FIELDS))
        for memory in (1 << 24, 1 << 28):
            made, (workers, _) = REDUCTION.plan(source, problem, memory), REDUCTION.fit(source, problem, memory)
            slices = math.prod(made.extent[k] for k in problem.kept)
            assert not made.splits
            assert 1 << 10 <= slices <= WIDER * budget.MOST_SLICES
            waiting = (workers + 1) * REDUCTION.waiting(made, workers, memory) * slices * 100
            assert waiting <= memory / 4 or REDUCTION.waiting(made, workers, memory) == 1

    @pytest.mark.parametrize("fields", [FREE, frozenset(FIELDS)])
    @pytest.mark.parametrize("axes", [(0,), (0, 2)])
    def test_a_state_takes_what_it_is_counted_as(
        self, axes: tuple[int, ...], fields: frozenset[str], native_runtime: Runtime
    ) -> None:
        values = np.zeros((3, 5, 4), "f8")
        problem = Spec(axes=axes).resolve(values.shape, values.dtype, fields)
        state, _ = BlockReducer(problem, native_runtime).part(values, (0, 0, 0), compiled=False)
        held = [getattr(state, field.name) for field in dataclasses.fields(state)]
        slices = math.prod(values.shape[k] for k in problem.kept)
        most = budget.state_bytes(problem) * slices
        assert most - 16 * slices <= sum(part.nbytes for part in held if part is not None) <= most

    @pytest.mark.parametrize(("axes", "seeks"), [((0, 2), True), ((2,), False), ((0, 1, 2), False)])
    def test_slices_side_by_side_too_long_for_exact_indices(self, axes: tuple[int, ...], seeks: bool) -> None:
        """Of a pipe whose block must hold all of the last axis, however much memory there is."""
        source: Any = SimpleNamespace(
            shape=(2, 2, 1 << 24),
            dtype=np.dtype("f2"),
            order="C",
            sequential=True,
            chunks=None,
        )
        problem = Spec(axes=axes).resolve(source.shape, source.dtype, frozenset())
        assert REDUCTION.must_seek(source, problem, 1 << 40) == seeks

    @pytest.mark.parametrize("axis", [0, 1])
    @pytest.mark.parametrize("rows", [1, 40, 1000])
    @pytest.mark.parametrize("columns", [1, 6, 300, 10_000])
    def test_a_table_is_padded_by_little(self, rows: int, columns: int, axis: int) -> None:
        """To few shapes, however wide it is."""
        values = np.ones((rows, columns))
        roomy = padded(values, Spec(axes=(axis,)).resolve((None, columns), values.dtype, FREE))
        assert len(roomy) - rows <= max(rows / 4, ADDED / columns)
        np.testing.assert_array_equal(roomy[:rows], values)
        assert columns > 100 or len(roomy) % 256 == 0 or rows > 2000


class TestFortranOrder:
    @pytest.mark.parametrize("memory", [1 << 12, MEMORY], ids=["temporary files", "in memory"])
    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_slices_in_row_major_order(
        self, axis: int, memory: int, native_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(budget, "BLOCK", 1600)
        monkeypatch.setattr(ordering, "RUN", 100)
        mapped = []
        space = ordering._space

        def watched_space(*arguments: Any) -> Array:
            mapped.append(space(*arguments))
            return mapped[-1]

        monkeypatch.setattr(ordering, "_space", watched_space)
        values = np.random.default_rng(axis).normal(size=(14, 15, 16)).astype("f4")
        check(ArraySource(values, "F"), values, native_runtime, Spec(axes=(axis,), beta=5.0), memory=memory)
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
        check(TableSource(values, self.LENGTHS, turned=turned), values, runtime, Spec(axes=(axis,), beta=0.7))

    @pytest.mark.usefixtures("all_compiled")
    @pytest.mark.parametrize("turned", [False, True])
    @pytest.mark.parametrize("axis", [0, 1])
    def test_padding_is_not_seen(self, axis: int, turned: bool, runtime: Runtime) -> None:
        values = self.values(odd=True)
        values[:, 2] = -np.inf
        spec = Spec(axes=(axis,), beta=0.7, nan="propagate")
        check(TableSource(values, self.LENGTHS, turned=turned), values, runtime, spec)

    @pytest.mark.usefixtures("all_compiled")
    @pytest.mark.parametrize("axis", [0, 1])
    def test_a_block_longer_than_the_padding_step(self, axis: int, native_runtime: Runtime) -> None:
        values = self.values(9100, 3)
        check(TableSource(values, (4099, 4100, 901)), values, native_runtime, Spec(axes=(axis,), beta=0.7))

    @pytest.mark.parametrize("axis", [0, 1])
    def test_a_block_without_rows(self, axis: int, native_runtime: Runtime) -> None:
        values = self.values(9)
        check(TableSource(values, (4, 0, 5)), values, native_runtime, Spec(axes=(axis,), beta=0.7))

    @pytest.mark.parametrize(
        ("axes", "turned", "compiled"), [((0, 1), False, True), ((0, 1), True, False), ((1, 0), True, True)]
    )
    def test_both_axes(
        self,
        axes: tuple[int, ...],
        turned: bool,
        compiled: bool,
        native_runtime: Runtime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        if compiled:
            monkeypatch.setattr(stream, "FIRST_COMPILED", 1)
        values = np.round(self.values(), 1)
        fields = EVERYTHING - {"second", "multimodal"}
        for kind in KINDS:
            x = np.abs(values) if kind == "probs" else values
            source = TableSource(x, self.LENGTHS, turned=turned, ids=True)
            got = answers(source, native_runtime, Spec(axes, kind, 0.7), fields=fields)
            assert_answers(got, softargmax(x, axes, 0.7, kind=kind), single=False)
            assert got.ids is None

    @pytest.mark.usefixtures("all_compiled")
    @pytest.mark.parametrize("kind", ["cost", "probs"])
    @pytest.mark.parametrize("axis", [0, 1])
    def test_padding_has_no_weight(self, axis: int, kind: Any, native_runtime: Runtime) -> None:
        """It neither is the best nor lies next to it; and it spoils nothing, even beside nothing."""
        nothing = math.inf if kind == "cost" else 0.0
        values = np.round(np.abs(self.values()), 1) + 1
        values[::7, 1] = nothing
        values[:, 2] = nothing
        values[38:40] = nothing
        values[40:, 3] = np.nan
        values[99, 4] = 1000 if kind == "probs" else -1000
        for nan in ("omit", "propagate"):
            spec = Spec((axis,), kind, 0.7, nan=nan)
            check(TableSource(values, self.LENGTHS), values, native_runtime, spec)

    @pytest.mark.parametrize("coords", ["corners", "centers"])
    def test_coordinates_of_rows_that_are_counted_at_the_end(self, coords: Any, native_runtime: Runtime) -> None:
        values = self.values()
        for axis in (0, 1):
            got = answers(TableSource(values, self.LENGTHS), native_runtime, Spec((axis,), beta=0.7, coords=coords))
            assert_answers(
                got, softargmax(values, axis, 0.7, coords=coords), single=False, scale=2 / values.shape[axis]
            )

    @pytest.mark.parametrize("kind", ["scores", "cost", "probs"])
    def test_windows_and_values_along_rows(self, kind: Any, native_runtime: Runtime) -> None:
        values = np.abs(self.values())
        spec = Spec((1,), kind, 0.7, values=(np.arange(6.0) ** 2,), window=1)
        check(TableSource(values, self.LENGTHS), values, native_runtime, spec)

    @pytest.mark.parametrize("lengths", [(100,), (50, 50), (1,) * 100, (33, 1, 1, 65)])
    def test_a_second_mode_along_the_rows(self, lengths: Sequence[int], native_runtime: Runtime) -> None:
        values = self.values()
        values[[32, 33, 34, 35], [0, 1, 2, 3]] = values[[33, 34, 33, 34], [0, 1, 2, 3]] = 40
        check(TableSource(values, lengths), values, native_runtime, Spec((0,), beta=0.1))

    def test_names(self, native_runtime: Runtime) -> None:
        values = self.values()
        got = answers(TableSource(values, self.LENGTHS, ids=True), native_runtime, Spec())
        assert got.ids == [f"row {k}" for k in range(100)]
        by_column = answers(TableSource(values, self.LENGTHS, ids=True), native_runtime, Spec(axes=(0,)))
        assert by_column.ids == [f"column {k}" for k in range(6)]

    def test_no_rows(self, native_runtime: Runtime) -> None:
        empty = self.values()[:0]
        problem = Spec(axes=(1,)).resolve((None, 6), empty.dtype, FREE)
        assert list(reduce(TableSource(empty, ()), problem, native_runtime, memory=MEMORY)) == []
        problem = Spec(axes=(0,)).resolve((None, 6), empty.dtype, FREE)
        with pytest.raises(InputError, match="no rows"):
            gathered(reduce(TableSource(empty, ()), problem, native_runtime, memory=MEMORY))

    @pytest.mark.parametrize("axis", [0, 1])
    def test_where_a_nan_is(self, axis: int, native_runtime: Runtime) -> None:
        values = self.values()
        values[[41, 8, 99], [1, 4, 0]] = np.nan
        with pytest.raises(UndefinedError, match=r"3 NaNs, the first at index \(8, 4\)"):
            answers(TableSource(values, self.LENGTHS), native_runtime, Spec(axes=(axis,)))

    @pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
    def test_where_a_negative_weight_is(self, axes: tuple[int, ...], native_runtime: Runtime) -> None:
        values = np.abs(self.values())
        values[[41, 9, 99], [1, 4, 0]] = -1e-300
        values[8, 2] = np.nan  # the lesser evil
        with pytest.raises(UndefinedError, match=r"^3 negative weights, the first at index \(9, 4\)\n") as caught:
            answers(TableSource(values, self.LENGTHS), native_runtime, Spec(axes, "probs", nan="omit"), fields=FREE)
        assert "--nan" not in caught.value.remedy

    @pytest.mark.parametrize(("kind", "said"), [("cost", "hold nothing but inf"), ("probs", "sum to 0, so there is")])
    def test_where_a_row_or_a_column_without_weight_is(self, kind: Any, said: str, native_runtime: Runtime) -> None:
        nothing = math.inf if kind == "cost" else 0.0
        values = np.abs(self.values()) + 1
        values[[41, 99]] = nothing
        with pytest.raises(UndefinedError, match=rf"^2 slices {said}.*; the first is slice 41\n"):
            answers(TableSource(values, self.LENGTHS), native_runtime, Spec(kind=kind))
        values[:, [2, 5]] = nothing
        with pytest.raises(UndefinedError, match=rf"^2 slices {said}.*; the first is slice 2\n"):
            answers(TableSource(values, self.LENGTHS), native_runtime, Spec((0,), kind))
        values[:] = nothing
        one = said.replace("hold", "holds").replace("sum", "sums")
        with pytest.raises(UndefinedError, match=rf"^1 slice {one}"):
            answers(TableSource(values, self.LENGTHS), native_runtime, Spec((0, 1), kind), fields=FREE)

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
            answers(ArraySource(values, order), runtime, Spec(axes=(axis,)))
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
        problem = Spec().resolve(values.shape, values.dtype, FREE)
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
            answers(ArraySource(values, order), runtime, Spec(axes=(1,)))
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

    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("axes", [(0,), (1,), (2, 0), (0, 1, 2)])
    @pytest.mark.parametrize("dtype", ["f4", "i8"])
    def test_where_a_negative_weight_is(
        self,
        dtype: str,
        axes: tuple[int, ...],
        order: Order,
        native_runtime: Runtime,
        blocks_of: Callable[[int], None],
    ) -> None:
        """In blocks other than the first; and every one of them is counted."""
        values = np.ones((5, 6, 7), dtype)
        values[[4, 1, 3, 1], [0, 5, 2, 2], [0, 0, 3, 6]] = -1
        if dtype == "f4":
            values[0, 0, 0] = values[4, 5, 6] = np.nan
        for nbytes in (7 * values.itemsize, 1000):
            blocks_of(nbytes)
            with pytest.raises(UndefinedError) as caught:
                answers(ArraySource(values, order), native_runtime, Spec(axes, "probs", nan="propagate"))
            assert caught.value.what == "4 negative weights, the first at index (1, 2, 6)"
            assert "--kind scores" in caught.value.remedy

    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize(("kind", "said"), [("cost", "hold nothing but inf"), ("probs", "sum to 0, so there is")])
    def test_slices_without_weight(
        self, kind: Any, said: str, order: Order, runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(60)
        values = np.ones((5, 6, 7), "f4")
        values[[4, 1, 3], :, [0, 6, 2]] = math.inf if kind == "cost" else 0
        with pytest.raises(UndefinedError, match=rf"^3 slices {said}.*; the first is slice \(1, 6\)\n"):
            answers(ArraySource(values, order), runtime, Spec((1,), kind))
        for axes, place in (((0, 1), (..., 6)), ((2, 1), (1,))):
            one = np.ones((5, 6, 7), "f4")
            one[place] = values[1, 0, 6]
            with pytest.raises(UndefinedError, match=rf"^1 slice .*; the first is slice {place[-1]}\n"):
                answers(ArraySource(one, order), runtime, Spec(axes, kind), fields=FREE)

    @pytest.mark.usefixtures("all_compiled")
    @pytest.mark.parametrize("nbytes", [8, 16, 1000])
    def test_a_nan_among_weights_of_nothing(
        self, nbytes: int, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        """Which XLA's maximum passes over."""
        blocks_of(nbytes)
        for place in range(6):
            values = np.array([0.0, 0, 0, 0, 3, 1])
            values[place] = np.nan
            with pytest.raises(UndefinedError, match=rf"^1 NaN, at index {place}\n"):
                answers(ArraySource(values), native_runtime, Spec(kind="probs"))
            check(ArraySource(values), values, native_runtime, Spec(kind="probs", nan="propagate"))
            check(ArraySource(values), values, native_runtime, Spec(kind="probs", nan="omit"))


class TestLookalikes:
    """A note, once, where scores look like ready-made weights."""

    @staticmethod
    def notes(source: Any, runtime: Runtime, spec: Spec) -> list[str]:
        found: list[str] = []
        problem = spec.resolve(source.shape, source.dtype, FREE)
        list(reduce(source, problem, runtime, memory=MEMORY, note=found.append))
        return found

    @staticmethod
    def weights(shape: tuple[int, ...], axes: tuple[int, ...] = (-1,)) -> Array:
        values = np.random.default_rng(1).random(shape)
        return values / values.sum(axes, keepdims=True)

    @pytest.mark.parametrize("nbytes", [80, 800, 100_000])
    def test_said_once(self, nbytes: int, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        blocks_of(nbytes)
        values = self.weights((40, 10))
        for source in (ArraySource(values), ArraySource(values, sequential=True), TableSource(values, (8,) * 5)):
            (note,) = self.notes(source, native_runtime, Spec())
            assert "--kind probs" in note

    @pytest.mark.parametrize("axes", [(0,), (0, 2), (2, 0)])
    def test_along_any_axes(self, axes: tuple[int, ...], native_runtime: Runtime) -> None:
        values = self.weights((6, 4, 5), axes)
        assert len(self.notes(ArraySource(values), native_runtime, Spec(axes))) == 1
        assert self.notes(ArraySource(values), native_runtime, Spec((1,))) == []

    @pytest.mark.parametrize("window", [None, 2])
    def test_not_of_parts_of_slices(
        self, window: int | None, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(8 * 4)
        values = self.weights((3, 8))
        values[:, :4] /= values[:, :4].sum(-1, keepdims=True)
        assert self.notes(ArraySource(values), native_runtime, Spec(window=window)) == []

    def test_not_where_it_is_known_what_they_are(self, native_runtime: Runtime) -> None:
        values = self.weights((40, 10))
        for kind in ("probs", "cost"):
            assert self.notes(ArraySource(values), native_runtime, Spec(kind=kind)) == []

    def test_not_of_integers(self, native_runtime: Runtime) -> None:
        for dtype in ("?", "u1", "i8"):
            assert self.notes(ArraySource(np.eye(4).astype(dtype)), native_runtime, Spec()) == []

    def test_not_where_the_first_slices_are_others(
        self, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(80)
        values = self.weights((40, 10))
        values[0] *= 1.5
        assert self.notes(ArraySource(values), native_runtime, Spec()) == []

    def test_a_table_whose_columns_sum_to_1(self, native_runtime: Runtime) -> None:
        """Of which the end is not known."""
        values = self.weights((40, 10), (0,))
        assert self.notes(TableSource(values, (40,)), native_runtime, Spec((0,))) == []


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
        problem = Spec(nan=nan).resolve(source.shape, source.dtype, FREE)
        slices: Any = reduce(source, problem, native_runtime, memory=MEMORY)
        next(slices)
        assert threads() - before
        slices.close()
        assert threads() == before

    def test_a_stream_never_begun(self, native_runtime: Runtime) -> None:
        before = threads()
        values = np.zeros((30, 10))
        problem = Spec().resolve(values.shape, values.dtype, FREE)
        del values
        reduce(ArraySource(np.zeros((30, 10))), problem, native_runtime, memory=MEMORY)
        assert threads() == before

    def test_a_pipe_is_not_read_far_ahead(self, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        blocks_of(4 * 10)
        source = ArraySource(np.zeros((500, 10), "f4"), sequential=True)
        problem = Spec().resolve(source.shape, source.dtype, FREE)
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
                spec = Spec(axes=(axis,), beta=beta, nan="propagate", precision=precision)
                check(ArraySource(values), values, gpu_runtime, spec)


@pytest.mark.gpu
@pytest.mark.usefixtures("all_compiled")
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
def test_a_gpu_compiles_too(dtype: str, gpu_runtime: Runtime) -> None:
    values = values_of(np.random.default_rng(1), (40, 700), dtype, odd=True)
    check(ArraySource(values), values, gpu_runtime, Spec(beta=1.0, nan="omit"))
