"""What workers do: box → part, parts → one, one → results in the store. Called by Dask, as tree.py lays it down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from softargmax_cli.cluster.job import Job, Part, Report
from softargmax_cli.cluster.session import Session, session_of
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.boxing import located
from softargmax_cli.reduction.finish import finish_block
from softargmax_cli.reduction.folding import folded
from softargmax_cli.reduction.lookalike import Lookalike
from softargmax_cli.reduction.mapping import Misfit
from softargmax_cli.reduction.ordering import logical
from softargmax_cli.reduction.result import Summary
from softargmax_cli.reduction.state import State, added, merge
from softargmax_cli.reduction.stream import concerns
from softargmax_cli.reduction.undefined import lacking


def place(first: int, block_id: tuple[int, int]) -> tuple[int, int]:
    """Which column of slices a block of Dask's stands for, counted from the `first`, and which of its boxes."""
    return first + block_id[0], block_id[1]


def reduced(at: tuple[int, int], job: Job) -> Part:
    """The state of one box."""
    session, block = session_of(job), job.plan.at(*at)
    reducer, compiled = session.reducer(), session.worth[block.shape]
    problem, lookalike = job.problem, Lookalike()
    with session.loaded(block) as values:
        if job.plan.parts == 1:
            if problem.kind == "scores":
                lookalike.look(values, problem.axes)
            state, misfit = reducer.whole(values, compiled=compiled)
        else:
            state, misfit = reducer.part(values, block.start, compiled=compiled)
            state = state.shifted([block.start[axis] for axis in problem.ascending])
    _say(job, block)
    misfits = () if misfit is None else (_moved(misfit, block),)
    return Part(at[0], state, misfits, reducer.careful, lookalike)


def answered(at: tuple[int, int], job: Job) -> Report:
    """A box of whole slices, to its results in the store."""
    return written(reduced(at, job), job)


def read_again(at: tuple[int, int], job: Job) -> Report:
    """What an earlier run has put into the store."""
    block, summary = job.plan.at(*at), Summary()
    summary.add(job.chunks.read(block, 0))
    _say(job, *(job.plan.at(at[0], part) for part in range(job.plan.parts)), times=2 if job.twice else 1)
    return Report(at[0], summary, (), 0, 0, Lookalike())


def merged(parts: Any, beta: float | None) -> Part:
    """Parts of one column as one; `parts` is nested as Dask has them."""
    return _joined(parts, lambda a, b: merge(a, b, beta))


def written(part: Part, job: Job) -> Report:
    """The results of a column, to the store from here; none where they would be refused."""
    return _stored(part, part, job)


def about(found: Part, at: tuple[int, int], job: Job) -> Part:
    """Of one box the sums about what a first pass found; nothing where it is too far from that."""
    assert found.state is not None
    state, block = located(found.state, job.problem), job.plan.at(*at)
    if not concerns(block, state, job.problem) and not (at[1] == job.plan.parts - 1 and _far(at[0], state, job)):
        _say(job, block)
        return Part(at[0], None)
    session = session_of(job)
    reducer, compiled = session.reducer(), session.worth[block.shape]
    with session.loaded(block) as values:
        sums = reducer.about(values, block.start, state, careful=found.careful, compiled=compiled)
    _say(job, block)
    return Part(at[0], sums)


def summed(parts: Any) -> Part:
    """Sums about one maximum as one."""
    return _joined(parts, added)


def completed(found: Part, sums: Part, job: Job) -> Report:
    """Both passes, to the results of a column in the store."""
    assert found.state is not None
    assert sums.state is not None
    known = located(found.state, job.problem)
    whole = known.completed(sums.state, job.problem.window is not None)
    return _stored(found, replace(found, state=whole), job)


def _far(column: int, found: State, job: Job) -> bool:
    """Whether no box of the column has anything to say: beside NaN, hard is nowhere."""
    boxes = (job.plan.at(column, number) for number in range(job.plan.parts))
    return not any(concerns(block, found, job.problem) for block in boxes)


def _joined(parts: Any, both: Any) -> Part:
    several, lookalike = list(_flat(parts)), Lookalike()
    for part in several:
        lookalike.join(part.lookalike)
    return Part(
        several[0].column,
        folded((part.state for part in several), both),
        tuple(misfit for part in several for misfit in part.misfits),
        any(part.careful for part in several),
        lookalike,
    )


def _flat(parts: Any) -> Any:
    """Dask nests blocks in lists, one list an axis."""
    if isinstance(parts, Part):
        yield parts
    else:
        for part in parts:
            yield from _flat(part)


def _stored(found: Part, whole: Part, job: Job) -> Report:
    assert whole.state is not None
    session: Session = session_of(job)
    block = job.plan.at(whole.column, job.plan.parts - 1)
    slices = finish_block(whole.state, job.problem, block)
    slices = logical(slices, [block.shape[k] for k in job.problem.kept], session.source.order)
    summary = Summary()
    summary.add(slices)
    missing, first = lacking(slices, block, job.problem)
    if not found.misfits and (job.problem.nan != "error" or not missing):
        job.chunks.write(block, slices)
    return Report(whole.column, summary, _counted(found.misfits), missing, first, found.lookalike)


def _moved(misfit: Misfit, block: Block) -> Misfit:
    return replace(misfit, first=tuple(a + b for a, b in zip(block.start, misfit.first, strict=True)))


def _counted(misfits: Sequence[Misfit]) -> tuple[Misfit, ...]:
    """One of each kind."""
    kinds: dict[str, Misfit] = {}
    for misfit in misfits:
        before = kinds.get(misfit.name)
        if before is not None:
            misfit = Misfit(misfit.name, before.count + misfit.count, min(before.first, misfit.first))
        kinds[misfit.name] = misfit
    return tuple(kinds.values())


def _say(job: Job, *boxes: Block, times: int = 1) -> None:
    """Tell the client how many bytes are done, by an event of the scheduler's."""
    from distributed import get_worker

    elements = times * sum(math.prod(block.shape) for block in boxes)
    get_worker().log_event(job.number, elements * session_of(job).source.dtype.itemsize)
