"""Boxes: whole chunks, each element once; reduced block by block, and merged as a tree that a cluster builds alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import answer_to, assert_answers

from softargmax_cli.errors import OptionError, as_typed
from softargmax_cli.files.memory import ArraySource
from softargmax_cli.files.reading import selection_of
from softargmax_cli.files.select import selected
from softargmax_cli.reduction import budget
from softargmax_cli.reduction.blocks import Block, Remaining
from softargmax_cli.reduction.budget import BOXES, FAN_IN, HELD, REDUCTION, boxes_of, held_bytes
from softargmax_cli.reduction.engine import reduce, reduce_boxes
from softargmax_cli.reduction.fields import BY_NAME, FREE, NAMES
from softargmax_cli.reduction.problem import Problem, Spec
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.slopes import differentiate
from softargmax_cli.reduction.state import Fold, folded
from softargmax_cli.tensorflow.base import Runtime

pytestmark = pytest.mark.sampled(3)

Array = npt.NDArray[Any]
MEMORY, STATE = 64 << 20, 48


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int]:
    """A shape, reduced axes, chunks of any lengths, and a memory that holds one of them."""
    shape = tuple(draw(st.lists(st.integers(0, 9), min_size=1, max_size=4)))
    axes = draw(st.lists(st.sampled_from(range(len(shape))), min_size=1, max_size=len(shape), unique=True))
    chunks = tuple(draw(st.integers(1, 12)) for _ in shape)
    size = 8 * math.prod(chunks)
    return shape, tuple(axes), chunks, HELD * size + draw(st.integers(0, 20_000))


@given(cases())
def test_each_element_lies_in_one_box_and_each_box_has_a_number(case: Any) -> None:
    shape, axes, chunks, memory = case
    cut = boxes_of(shape, axes, "C", 8, memory, chunks, STATE)
    plan, seen = cut.plan, np.zeros(shape, np.int64)
    listed = list(plan)
    for block in listed:
        seen[tuple(map(slice, block.start, block.stop))] += 1
        assert 8 * math.prod(block.shape) <= cut.nbytes <= memory
    assert (seen == 1).all()
    assert [plan.at(column, part) for column in range(plan.columns) for part in range(plan.parts)] == listed
    kept = [k for k in range(len(shape)) if k not in axes]
    for k, size in enumerate(plan.extent):
        assert cut.again > 1 or size % min(chunks[k], max(1, shape[k])) == 0 or size >= shape[k]
    unfinished = math.prod(plan.extent[k] for k in kept) * held_bytes(STATE, plan.parts)
    assert plan.parts <= 1 or unfinished <= memory // 2 or all(plan.extent[k] == 1 for k in kept)
    assert 1 <= cut.threads(4, memory) <= max(1, min(4, memory // (HELD * cut.nbytes)))


@given(cases())
def test_slices_come_in_order_where_the_plan_says_so(case: Any) -> None:
    shape, axes, chunks, memory = case
    plan = boxes_of(shape, axes, "C", 8, memory, chunks, STATE).plan
    kept = [k for k in range(len(shape)) if k not in axes]
    numbers = np.arange(math.prod(shape[k] for k in kept)).reshape([shape[k] for k in kept])
    ends = [block for block in plan if plan.completes(block)]
    listed = [numbers[tuple(slice(block.start[k], block.stop[k]) for k in kept)].ravel() for block in ends]
    if listed and plan.in_order:
        assert (np.concatenate(listed) == numbers.ravel()).all()


def test_a_chunk_that_does_not_fit() -> None:
    with pytest.raises(OptionError) as caught:
        boxes_of((100_000, 100), (1,), "C", 8, 120 << 20, (80_000, 100), STATE)
    assert as_typed(caught.value.what) == (
        "--memory: one chunk of the input, 80000 × 100, takes 64 MB, and as much again while it is decoded"
    )
    assert as_typed(caught.value.remedy) == "use --memory 123MiB, or store the array in smaller chunks"
    boxes_of((100_000, 100), (1,), "C", 8, 123 << 20, (80_000, 100), STATE)


def test_what_is_left_of_a_plan() -> None:
    left = Remaining((4, 6), (1,), "C", (2, 3), [1])
    assert [block.start for block in left] == [(2, 0), (2, 3)]
    assert [[block.start for block in box] for box in left.boxes()] == [[(2, 0), (2, 3)]]


@given(st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=70), st.integers(2, 5))
def test_a_fold_is_the_tree_of_groups(states: list[int | None], width: int) -> None:
    both: Any = lambda a, b: (a, b)  # noqa: E731 - what was merged with what
    fold, tree = Fold(both, width), list(states)
    for state in states:
        fold.add(state)  # type: ignore[arg-type]
    while len(tree) > 1:
        tree = [folded(tree[k : k + width], both) for k in range(0, len(tree), width)]  # type: ignore[arg-type, misc]
    assert fold.result() == (tree[0] if tree else None)
    assert FAN_IN > 1


def any_case(seed: int) -> tuple[Array, Spec, tuple[int, ...]]:
    """A small array with NaN and infinities, what is asked of it, and chunks."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, (60, 16, 9, 5)[seed % 4], 1 + seed % 4, endpoint=True))
    values = np.round(rng.normal(size=shape), 1).astype(("f4", "f8")[seed % 2])
    for what, chance in ((np.nan, 0.05), (np.inf, 0.02), (-np.inf, 0.1)):
        values[rng.random(shape) < chance * (seed % 3 > 0)] = what
    axes = tuple(map(int, rng.permutation(len(shape))[: int(rng.integers(1, len(shape), endpoint=True))]))
    window = (None, 1, 4)[int(rng.integers(3))]
    places = tuple(np.sort(rng.normal(size=shape[axis])) for axis in axes) if seed % 5 == 0 else None
    kind: Any = ("scores", "cost")[seed % 7 == 0]
    nan: Any = ("omit", "propagate")[seed // 2 % 2]
    spec = Spec(axes=axes, beta=float(rng.choice([0.3, 3, 100])), kind=kind, window=window, nan=nan, values=places)
    return values, spec, tuple(int(n) for n in rng.integers(1, 6, len(shape)))


def put(whole: dict[str, Array], problem: Problem, block: Block, slices: Slices) -> None:
    """The slices of a box where they belong."""
    region = (..., *(slice(block.start[k], block.stop[k]) for k in problem.kept))
    for field in NAMES:
        part, inner = slices.column(field), [block.shape[k] for k in problem.kept]
        whole[field][region] = part.reshape([*part.shape[:-1], *inner])


@pytest.mark.parametrize("seed", range(40))
def test_any_array_in_any_chunks(seed: int, native_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compared with the oracle; box by box they are the same bits as in order."""
    values, spec, chunks = any_case(seed)
    monkeypatch.setattr(budget, "BLOCK", values.itemsize * (1, 7, 50)[seed % 3])
    monkeypatch.setattr(budget, "SHARE", MEMORY // (values.itemsize * (1, 30, 200)[seed // 3 % 3]))
    source = ArraySource(values)
    source.chunks = chunks
    problem = spec.resolve(values.shape, values.dtype, frozenset(NAMES))
    moved: list[int] = []
    found = list(reduce(source, problem, native_runtime, memory=MEMORY, advance=moved.append))
    whole = Slices.joined(found)
    assert_answers(whole, answer_to(values, spec), single=problem.precision == np.float32)
    assert sum(moved) == REDUCTION.passes(source, problem, MEMORY) * values.nbytes
    kept = [values.shape[k] for k in problem.kept]
    boxed: dict[str, Array] = {}
    for field in NAMES:
        shape = (*([len(problem.axes)] if BY_NAME[field].per_axis else []), *kept)
        boxed[field] = np.zeros(shape, whole.column(field).dtype)
    assert BOXES.plan(source, problem, MEMORY) == REDUCTION.plan(source, problem, MEMORY)
    columns = range(BOXES.plan(source, problem, MEMORY).columns)
    for block, slices in reduce_boxes(source, problem, native_runtime, memory=MEMORY, columns=columns):
        put(boxed, problem, block, slices)
    for field in NAMES:
        assert boxed[field].tobytes() == whole.column(field).tobytes(), field


@pytest.mark.parametrize("seed", range(5))
def test_gradients_in_any_chunks(seed: int, native_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compared with the same without chunks, which other tests hold to the oracle."""
    values, spec, chunks = any_case(seed)
    problem = spec.resolve(values.shape, values.dtype, frozenset(FREE))
    monkeypatch.setattr(budget, "SHARE", MEMORY // (values.itemsize * (1, 30, 200)[seed // 3 % 3]))
    found: list[Any] = []
    for cut in (None, chunks):
        monkeypatch.setattr(budget, "BLOCK", values.itemsize * ((9, 50, 400)[seed % 3] if cut else 1 << 20))
        source = ArraySource(values)
        source.chunks = cut
        whole = np.full((*values.shape, *[len(spec.axes)] * (len(spec.axes) > 1)), 7, problem.precision)

        def write(start: Any, part: Array, whole: Array = whole, ndim: int = values.ndim) -> None:
            whole[tuple(slice(a, a + n) for a, n in zip(start, part.shape[:ndim], strict=True))] = part

        slopes = [*differentiate(source, problem, native_runtime, by="x", memory=MEMORY, write=write)]
        by_beta = [*differentiate(source, problem, native_runtime, by="beta", memory=MEMORY)]
        found.append((whole, *(np.concatenate([one.norm for one in each]) for each in (slopes, by_beta))))
    rough = 1e-4 if problem.precision == np.float32 else 1e-9
    for alone, in_chunks in zip(*found, strict=True):
        np.testing.assert_allclose(in_chunks, alone, rtol=rough, atol=rough)


@pytest.mark.parametrize("select", ["::2", "1:,-1", "-1::-3,1::2", "...,1:4", "2"])
def test_a_part_of_chunks(select: str, native_runtime: Runtime) -> None:
    values = np.random.default_rng(1).normal(size=(9, 8, 7))
    source = ArraySource(values)
    source.chunks = (4, 3, 2)
    part, wanted = selected(source, selection_of(select)), eval(f"values[{select}]")
    assert part.chunks is not None
    assert len(part.chunks) == wanted.ndim
    problem = Spec(axes=(0,), beta=2.0).resolve(wanted.shape, wanted.dtype, frozenset(NAMES))
    found = Slices.joined(list(reduce(part, problem, native_runtime, memory=MEMORY)))
    assert_answers(found, answer_to(np.asarray(wanted), Spec(axes=(0,), beta=2.0)), single=False)
