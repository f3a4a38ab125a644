"""The tasks of workers: a box becomes a part (map), parts become one (merge), one becomes results (finish)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from dask.core import flatten

from softargmax_cli.cluster.session import Job, session
from softargmax_cli.files.remote import share_threads
from softargmax_cli.reduction.finish import finish_block
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.reducer import Misfit
from softargmax_cli.reduction.result import Slices, Summary
from softargmax_cli.reduction.state import State, added, folded, merge
from softargmax_cli.reduction.stream import concerns
from softargmax_cli.reduction.undefined import lacking


@dataclass(frozen=True, slots=True)
class Part:
    """The state of a column of slices over some of its boxes."""

    column: int
    state: State | None
    """None where the boxes have nothing to say in a second pass."""
    misfits: tuple[Misfit, ...] = ()
    """With positions in the whole array."""


@dataclass(frozen=True, slots=True)
class Column:
    """The results of a column of slices, as the client gets them."""

    number: int
    slices: Slices | None
    """None where the worker has written them."""
    summary: Summary
    misfits: tuple[Misfit, ...]
    lacking: tuple[int, int]
    """How many slices have no answer, and the row-major number of the first."""


def opened(job: Job, dask_worker: Any = None) -> tuple[tuple[int | None, ...], str]:
    """Open a job on a worker, which Dask passes; return the shape and the dtype of the input as it is seen there."""
    share_threads(dask_worker.state.nthreads)
    with session(job) as here:
        if job.chunks is not None:
            job.chunks.open()
        return here.source.shape, here.source.stored


def mapped(number: Any, job: Job) -> Part:
    """Reduce one box, which is the only number in an array, to its state."""
    column, part = divmod(int(number.item()), job.plan.parts)
    block, problem = job.plan.at(column, part), job.problem
    with session(job) as here, here.loaded(block) as values:
        reducer, compiled = here.reducer, here.compiled[block.shape]
        if job.plan.parts == 1:
            if problem.kind == "scores":
                here.lookalike.look(values, problem.axes)
            state, misfit = reducer.whole(values, compiled=compiled)
        else:
            state, misfit = reducer.part(values, block.start, compiled=compiled)
            state = state.shifted([block.start[axis] for axis in problem.ascending])
    return Part(column, state, () if misfit is None else (misfit.moved(block.start),))


def merged(parts: Any, problem: Problem) -> Part:
    """Merge parts of one column, nested in lists as Dask has them."""
    return _folded(parts, lambda a, b: merge(a, b, problem))


def again(found: Part, number: Any, job: Job) -> Part:
    """Reduce one box in a second pass, about what the first found; nothing where the box is too far from that."""
    assert found.state is not None
    column, part = divmod(int(number.item()), job.plan.parts)
    plan, problem, known = job.plan, job.problem, found.state
    block = plan.at(column, part)
    # Beside NaN, hard is nowhere and no box is near: then the last one stands for all.
    others = (concerns(plan.at(column, k), known, problem) for k in range(plan.parts))
    if not concerns(block, known, problem) and (part < plan.parts - 1 or any(others)):
        return Part(column, None)
    with session(job) as here, here.loaded(problem.read_again(block)) as values:
        return Part(column, here.reducer.about(values, block, known, compiled=here.compiled[block.shape]))


def added_up(parts: Any) -> Part:
    """Add the sums of a second pass over one column."""
    return _folded(parts, added)


def completed(found: Part, sums: Part, job: Job) -> Column:
    """Finish a column from the sums of both passes."""
    assert found.state is not None
    assert sums.state is not None
    state = found.state.completed(sums.state, job.problem.window is not None)
    return finished(replace(found, state=state), job)


def finished(part: Part, job: Job) -> Column:
    """Finish a column: results from its state, written from here where the job says so."""
    assert part.state is not None
    block = job.plan.at(part.column, job.plan.parts - 1)
    slices = finish_block(part.state, job.problem, block, job.plan.order)
    summary = Summary()
    summary.add(slices)
    if job.chunks is not None:
        job.chunks.write(block, slices)
    back = slices if job.chunks is None else None
    return Column(part.column, back, summary, part.misfits, lacking(slices))


def _folded(parts: Any, both: Any) -> Part:
    several = list(flatten(parts if isinstance(parts, list) else [parts]))
    state = folded((part.state for part in several), both)
    misfits = tuple(misfit for part in several for misfit in part.misfits)
    return Part(several[0].column, state, misfits)
