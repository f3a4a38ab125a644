"""The stream from blocks to slices: any array, any options, cut in any way, the same answers."""

from __future__ import annotations

import io
import math
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reductions import EVERYTHING, MEMORY, ONE_PASS, Array, File, Pipe, Ready, Table, check, needs_copy, reduced

from softargmax_cli.errors import InputError, OutputError
from softargmax_cli.files.formats.npy import NpySource
from softargmax_cli.reduction import budget
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.budget import REDUCTION, Budget
from softargmax_cli.reduction.engine import reduce, reduce_boxes, reduce_several
from softargmax_cli.reduction.fields import FREE
from softargmax_cli.reduction.hints import Lookalike
from softargmax_cli.reduction.problem import Spec
from softargmax_cli.reduction.result import Slices
from softargmax_cli.tensorflow.base import Runtime

DTYPES = ["?", "i1", "u1", "i2", "i4", "i8", "u8", "f2", "f4", "f8"]
FEW = frozenset({*FREE, "spread"})
SECOND = frozenset({*FREE, "second"})


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, kind: str) -> Array:
    """Noise in a few digits, with ties, and of floats NaN and infinities in every other array."""
    number = np.dtype(dtype)
    if number.kind == "b":
        return rng.random(shape) < 0.3
    if number.kind in "iu":
        info = np.iinfo(number)
        low = 0 if kind == "probs" or rng.random() < 0.5 else info.min
        return rng.integers(low, info.max if rng.random() < 0.5 else 9, shape, number, endpoint=True)
    values = np.round(rng.normal(size=shape) * rng.choice([0.1, 1, 30]), int(rng.integers(0, 4)))
    values = (np.abs(values) if kind == "probs" else values).astype(number)
    if rng.random() < 0.5:
        values[rng.random(shape) < 0.1] = np.nan
        values[rng.random(shape) < 0.03] = -np.inf if kind == "cost" else np.inf
        values[rng.random(shape) < rng.choice([0.1, 0.8])] = {"scores": -np.inf, "cost": np.inf, "probs": 0.0}[kind]
    return values


def any_case(seed: int, runtime: Runtime, blocks_of: Callable[[int], None], chunks: bool = False) -> None:
    """Draw an array, what is asked of it, how it is cut and where it comes from; compare with the oracle."""
    rng = np.random.default_rng(seed)
    ndim = 1 + seed % 4
    shape = tuple(int(n) for n in rng.integers(1, (60, 14, 8, 5)[ndim - 1], ndim, endpoint=True))
    axes = tuple(map(int, rng.permutation(ndim)[: int(rng.integers(1, ndim, endpoint=True))]))
    kind: Any = ("scores", "cost", "probs")[seed // 2 % 3]
    values = numbers(rng, shape, DTYPES[seed % len(DTYPES)], kind)
    coords: Any = ("index", "corners", "values", "centers", "circular", "angles")[seed // 3 % 6]
    places = tuple(rng.normal(size=shape[axis]) * 50 + 1000 for axis in axes) if coords == "values" else None
    if coords == "angles":
        places = tuple(rng.random(shape[axis]) * 360 for axis in axes)
    window = (None, None, 0, 1, 3, 1000)[int(rng.integers(6))]
    spec = Spec(
        tuple(axis - ndim * int(rng.integers(2)) for axis in axes),
        kind,
        float(rng.choice([1e-3, 0.3, 1, 20, 1e6])),
        {"values": "index", "angles": "circular"}.get(coords, coords),
        places,
        window,
        ("omit", "propagate")[seed % 2],  # type: ignore[arg-type]
        ("auto", "auto", "single", "double")[int(rng.integers(4))],  # type: ignore[arg-type]
        period=(360.0,) if coords == "angles" else None,
    )
    fields = (EVERYTHING, ONE_PASS, FREE)[int(rng.integers(3))]
    blocks_of(values.itemsize * max(1, int(values.size / rng.choice([0.5, 3, 12]))))
    values = values.copy(("C", "F")[seed // 5 % 2])  # type: ignore[call-overload]
    source: Any = File(values, tuple(int(n) for n in rng.integers(1, 6, ndim)) if chunks else None)
    if not chunks and seed % 3 == 0 and not needs_copy(Pipe(values), spec, fields):
        source = Pipe(values)
    check(values, runtime, spec, fields, source)


@pytest.mark.parametrize("seed", [*range(24), *(pytest.param(k, marks=pytest.mark.slow) for k in range(24, 48))])
def test_any_array_in_any_blocks(seed: int, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    any_case(seed, native_runtime, blocks_of)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
def test_with_the_python_runtime(seed: int, python_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    any_case(seed, python_runtime, blocks_of)


@pytest.mark.slow
@pytest.mark.usefixtures("all_compiled")
@pytest.mark.parametrize("seed", range(200, 208))
def test_in_compiled_programs(seed: int, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    any_case(seed, native_runtime, blocks_of)


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(k, marks=pytest.mark.slow) for k in range(8, 24))])
def test_in_any_chunks(
    seed: int, native_runtime: Runtime, blocks_of: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "SHARE", MEMORY // (8 * (1, 30, 200)[seed % 3]))
    any_case(seed, native_runtime, blocks_of, chunks=True)


class TestCuts:
    def test_the_same_bits_whichever_thread_was_faster(
        self, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(4 * 60)
        values = np.random.default_rng(4).normal(size=(2, 20, 20)).astype("f4")
        runs = [reduced(File(values), native_runtime, Spec((1, 2), beta=2.0, window=6)) for _ in range(4)]
        for field in EVERYTHING:
            assert len({run.column(field).tobytes() for run in runs}) == 1

    def test_long_slices(self, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        blocks_of(48_000)
        values = np.random.default_rng(3).normal(size=(2, 100_000)).astype("f4")
        check(values, native_runtime, Spec(beta=20.0))
        check(values.T.copy(), native_runtime, Spec((0,), beta=1e-3))

    def test_a_window_over_edges(self, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        blocks_of(8 * 3)
        for place in range(0, 14, 2):
            values = np.ones(14)
            values[place] = 2
            check(values, native_runtime, Spec((0,), "probs", window=place % 4))

    def test_slices_of_a_fortran_file_wait_in_files(
        self, native_runtime: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(budget, "BLOCK", 1600)
        values = np.asfortranarray(np.random.default_rng(1).normal(size=(14, 15, 16)).astype("f4"))
        sizes, mapped = list[int](), np.memmap

        def counted(file: Any, *given: Any, **more: Any) -> Any:
            sizes.append(os.fstat(file.fileno()).st_size)
            return mapped(file, *given, **more)

        monkeypatch.setattr(np, "memmap", counted)
        check(values, native_runtime, Spec((1,), beta=5.0))
        assert not sizes
        check(values, native_runtime, Spec((1,), beta=5.0), memory=1 << 12)
        assert sorted({*sizes}) == [14 * 16, 14 * 16 * 8]
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
        with pytest.raises(OutputError, match="temporary file: No such file or directory") as caught:
            check(values, native_runtime, Spec((1,), beta=5.0), memory=1 << 12)
        assert caught.value.remedy == "free some space, or set TMPDIR to a directory with more room"

    def test_several_problems_in_one_pass(self, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        """In order, and as they are found with their numbers; each as it is alone."""
        blocks_of(300)
        values = np.asfortranarray(np.random.default_rng(1).normal(size=(6, 20, 5)))
        source = File(values)
        specs = [Spec((1,), beta=1.0), Spec((1,), beta=30.0), Spec((1,), beta=1.0, window=2)]
        problems = [spec.resolve(values.shape, values.dtype, ONE_PASS) for spec in specs]
        ordered = [*reduce_several(source, problems, native_runtime, memory=MEMORY)]
        found = [*reduce_several(File(values), problems, native_runtime, memory=MEMORY, ordered=False)]
        for k, spec in enumerate(specs):
            alone = reduced(File(values), native_runtime, spec, ONE_PASS)
            one = Slices.joined([answers[k] for answers in ordered])
            other = Slices.joined([answers[k] for answers in found])
            assert other.numbers is not None
            for field in ONE_PASS:
                np.testing.assert_array_equal(one.column(field), alone.column(field))
                np.testing.assert_array_equal(other.column(field), alone.column(field)[..., other.numbers])


class TestFields:
    def test_one_slice_and_none(self, native_runtime: Runtime) -> None:
        got = reduced(File(np.array([3.0, 9.0, 9.0])), native_runtime, Spec())
        assert (got.hard.tolist(), got.soft.tolist(), got.ties.tolist()) == ([[1]], [[1.5]], [2])
        for shape, axis in (((0, 5), 1), ((5, 0), 0), ((4, 5, 0), 1)):
            for values in (np.zeros(shape), np.zeros(shape, order="F")):
                problem = Spec((axis,), window=1).resolve(shape, values.dtype, FREE)
                assert list(reduce(File(values), problem, native_runtime, memory=MEMORY)) == []

    def test_progress_is_told_of_every_byte(self, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        blocks_of(100)
        values = np.random.default_rng(0).normal(size=(30, 40)).astype("f4")
        for spec, passes in ((Spec(), 1), (Spec(window=2), 2), (Spec((0, 1), window=2), 2)):
            moves: list[int] = []
            reduced(File(values), native_runtime, spec, FREE, advance=moves.append)
            assert sum(moves) == passes * values.nbytes


class TestPasses:
    def test_blocks_outside_of_a_window_are_not_read_again(
        self, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(8 * 10)
        values = np.zeros((1, 100))
        values[0, 34] = 1
        for window, again in ((0, {30}), (5, {30, 20}), (16, {10, 20, 30, 40, 50}), (1000, {*range(0, 100, 10)})):
            source = File(values)
            check(values, native_runtime, Spec(window=window, beta=1.0), ONE_PASS, source)
            assert {block.start[1] for block in source.fetched[10:]} == again
        square = np.zeros((12, 12))
        square[5, 5] = 1
        blocks_of(8 * 12)
        source = File(square)
        check(square, native_runtime, Spec((0, 1), window=1, beta=1.0), FREE, source)
        assert {block.start[0] for block in source.fetched[12:]} == {4, 5, 6}

    def test_a_source_that_cannot_be_read_again_is_refused(
        self, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(24)
        for source in (Pipe(np.zeros((6, 5))), Table(np.zeros((6, 5)), [6])):
            assert needs_copy(source, Spec((0, 1)), SECOND)
            with pytest.raises(ValueError, match="copied first"):
                reduced(source, native_runtime, Spec((0, 1)), SECOND)


class TestPipes:
    @pytest.mark.parametrize(("axis", "room", "order"), [(0, 400, "C"), (1, 2000, "F"), (2, 4200, "C"), (0, 4200, "F")])
    def test_blocks_hold_what_lies_side_by_side(
        self, axis: int, room: int, order: Any, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(room)
        values = np.random.default_rng(axis).normal(size=(6, 20, 24)).astype("f4").copy(order)
        check(values, native_runtime, Spec((axis,), beta=3.0), ONE_PASS, Pipe(values))

    def test_a_real_one_says_the_same_as_a_file(self, native_runtime: Runtime) -> None:
        values = np.random.default_rng(5).normal(size=(40, 30)).astype(">f4")
        held = io.BytesIO()
        np.save(held, values)
        read, write = os.pipe()
        with os.fdopen(write, "wb") as writer:
            writer.write(held.getvalue())
        source = NpySource(os.fdopen(read, "rb"), "<stdin>")
        try:
            check(values.astype("f4"), native_runtime, Spec(), EVERYTHING, source)
        finally:
            source.close()

    def test_names_of_rows_longer_than_a_block(self, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        values, names = np.random.default_rng(5).normal(size=(7, 50)), list("abcdefg")
        for nbytes in (160, 400, 960):
            blocks_of(nbytes)
            assert reduced(Pipe(values, names), native_runtime, Spec(beta=3.0), ONE_PASS).ids == names

    def test_one_is_not_read_far_ahead(self, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        blocks_of(4 * 10)
        source = Pipe(np.zeros((500, 10), "f4"))
        slices: Any = reduce(source, Spec().resolve((500, 10), source.dtype, FREE), native_runtime, memory=MEMORY)
        next(slices)
        assert len(source.fetched) <= 2 * (os.cpu_count() or 1) + 2
        slices.close()


class TestMemory:
    @pytest.mark.parametrize(("rows", "memory"), [(1, 1), (60, 10_000), (600, 1_000_000)])
    def test_blocks_keep_within_it(self, rows: int, memory: int, native_runtime: Runtime) -> None:
        source = File(np.zeros((rows, 100), "f4"))
        reduced(source, native_runtime, Spec(), FREE, memory=memory)
        largest = max(math.prod(block.shape) for block in source.fetched)
        assert largest == 1 or largest * 4 * 4 <= memory

    def test_slices_side_by_side_beyond_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(budget, "STATES", 1 << 18)
        monkeypatch.setattr(budget, "BLOCK", 100)
        source = Pipe(np.zeros((4, 1000), "f4"))
        problem = Spec((0,)).resolve(source.shape, source.dtype, FREE)
        assert Budget(REDUCTION, source, problem, 10_000_000).must_seek
        assert not Budget(REDUCTION, source, problem, 1 << 40).must_seek


class TestTables:
    LENGTHS = (7, 1, 0, 30, 2, 60)

    @pytest.mark.parametrize(
        ("axes", "kind"), [((0,), "scores"), ((1,), "cost"), ((0, 1), "probs"), ((1, 0), "scores")]
    )
    def test_blocks_of_any_length(self, axes: tuple[int, ...], kind: Any, native_runtime: Runtime) -> None:
        """The number of rows, and with it the coordinates, is known at the end."""
        values = np.round(np.abs(np.random.default_rng(1).normal(size=(100, 6))), 1) + 1
        nothing = {"scores": -math.inf, "cost": math.inf, "probs": 0.0}[kind]
        values[:, 2] = values[38:40] = nothing
        values[40:, 3] = np.nan
        for coords, nan in (("index", "omit"), ("corners", "propagate")):
            spec = Spec(axes, kind, 0.7, coords, nan=nan)  # type: ignore[arg-type]
            check(values, native_runtime, spec, ONE_PASS, Table(values, self.LENGTHS))

    @pytest.mark.slow
    @pytest.mark.parametrize("axis", [0, 1])
    @pytest.mark.usefixtures("all_compiled")
    def test_padding_has_no_weight(self, axis: int, native_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
        """It neither is the best nor lies next to it; and it spoils nothing, even beside nothing."""
        monkeypatch.setattr(budget, "BLOCK", 8 * 300)
        values = np.round(np.abs(np.random.default_rng(1).normal(size=(100, 6))), 1) + 1
        values[:, 2] = math.inf
        values[99, 4] = -1000
        check(values, native_runtime, Spec((axis,), "cost", 0.7, nan="omit"), ONE_PASS, Table(values, (60, 40)))

    def test_windows_and_values_along_rows(self, native_runtime: Runtime) -> None:
        values = np.abs(np.random.default_rng(1).normal(size=(100, 6)))
        spec = Spec((1,), "probs", values=(np.arange(6.0) ** 2,), window=1)
        check(values, native_runtime, spec, EVERYTHING, Table(values, self.LENGTHS))

    def test_names(self, native_runtime: Runtime) -> None:
        values = np.random.default_rng(1).normal(size=(100, 6))
        table = Table(values, self.LENGTHS, ids=True)
        assert reduced(table, native_runtime, Spec(), FREE).ids == [f"row {k}" for k in range(100)]
        table = Table(values, self.LENGTHS, ids=True)
        assert reduced(table, native_runtime, Spec((0,)), FREE).ids == [f"column {k}" for k in range(6)]
        assert reduced(Table(values, self.LENGTHS, ids=True), native_runtime, Spec((0, 1)), FREE).ids is None

    def test_no_rows(self, native_runtime: Runtime) -> None:
        problem = Spec().resolve((None, 6), np.dtype("f8"), FREE)
        assert list(reduce(Table(np.zeros((0, 6)), []), problem, native_runtime, memory=MEMORY)) == []
        with pytest.raises(InputError, match="no rows"):
            reduced(Table(np.zeros((0, 6)), []), native_runtime, Spec((0,)), FREE)


class TestThreads:
    @staticmethod
    def running() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith("reduce")}

    @pytest.mark.parametrize("number", [1, 7, 30])
    @pytest.mark.parametrize("pending", [True, False])
    def test_an_error_surfaces(
        self, number: int, pending: bool, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        class Failing(File):
            def fetch(self, block: Block) -> Any:
                found, failure = super().fetch(block), InputError("a.npy: ended")
                if len(self.fetched) != number:
                    return found
                if pending:
                    return Ready(np.zeros(block.shape), failure=failure)
                raise failure

        blocks_of(4 * 10)
        before = self.running()
        with pytest.raises(InputError, match=r"a\.npy: ended"):
            reduced(Failing(np.zeros((30, 10), "f4")), native_runtime, Spec())
        assert self.running() == before

    @pytest.mark.parametrize("window", [None, 1])
    def test_a_stream_closed_early(
        self, window: int | None, native_runtime: Runtime, blocks_of: Callable[[int], None]
    ) -> None:
        blocks_of(40)
        before = self.running()
        for source in (File(np.zeros((300, 10))), *([] if window else [Table(np.zeros((300, 10)), [3] * 100)])):
            problem = Spec(window=window).resolve(source.shape, source.dtype, FREE)
            slices: Any = reduce(source, problem, native_runtime, memory=MEMORY)
            next(slices)
            slices.close()
            assert self.running() == before


class TestBoxes:
    @pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 2))])
    def test_the_same_bits_as_in_order(
        self, seed: int, native_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(12, 9, 10))
        monkeypatch.setattr(budget, "BLOCK", 8 * 50)
        monkeypatch.setattr(budget, "SHARE", MEMORY // (8 * 200))
        spec = Spec(((1,), (0, 2), (2,))[seed], beta=2.0, window=(None, 2)[seed % 2])
        problem = spec.resolve(values.shape, values.dtype, EVERYTHING)
        source = File(values, (5, 4, 3))
        whole = reduced(source, native_runtime, spec)
        kept = [values.shape[k] for k in problem.kept]
        for block, slices in reduce_boxes(source, problem, native_runtime, memory=MEMORY):
            region = tuple(slice(block.start[k], block.stop[k]) for k in problem.kept)
            for field in EVERYTHING:
                column = whole.column(field)
                there = column.reshape(*column.shape[:-1], *kept)[(..., *region)]
                assert there.ravel().tobytes() == slices.column(field).ravel().tobytes()


def test_files(tmp_path: Path, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    blocks_of(256)
    rng = np.random.default_rng(9)
    for dtype, order, axis in ((">i2", "C", 0), ("<f2", "F", 1), (">i8", "F", 2), ("g", "C", 2), ("?", "F", 0)):
        values = np.asarray(rng.normal(size=(7, 8, 9)) * 50).astype(dtype).copy(order)  # type: ignore[call-overload]
        np.save(tmp_path / "a.npy", values)
        source = NpySource((tmp_path / "a.npy").open("rb"), "a.npy")
        try:
            check(values.astype(source.dtype), native_runtime, Spec((axis,), beta=0.3), EVERYTHING, source)
        finally:
            source.close()


class TestLookalikes:
    """A hint where scores look like ready-made weights."""

    @staticmethod
    def hint(source: Any, runtime: Runtime, spec: Spec) -> str:
        looks = Lookalike()
        reduced(source, runtime, spec, FREE, lookalike=looks)
        return looks.hint()

    def test_probabilities(self, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
        blocks_of(800)
        values = np.random.default_rng(1).random((40, 10))
        values /= values.sum(-1, keepdims=True)
        sources: Sequence[Any] = (File(values), Pipe(values), Table(values, (8,) * 5))
        for source in sources:
            assert "--kind probs" in self.hint(source, native_runtime, Spec())
        assert self.hint(File(values), native_runtime, Spec((0,))) == ""
        assert self.hint(File(values), native_runtime, Spec(kind="cost")) == ""
        assert self.hint(File(np.eye(4, dtype="u1")), native_runtime, Spec()) == ""
        values[0] *= 1.5
        assert self.hint(File(values), native_runtime, Spec()) == ""
