"""The tasks of workers: a box becomes a part (map), parts become one (merge), one becomes results (finish)."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt
from dask.core import flatten

from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.writers.zarr import Chunks
from softargmax_cli.reduction.blocks import Block, Plan
from softargmax_cli.reduction.box_reducer import BoxReducer
from softargmax_cli.reduction.budget import BOXES, Budget
from softargmax_cli.reduction.finish import finish_block
from softargmax_cli.reduction.hints import Lookalike
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Buffer, fetch
from softargmax_cli.reduction.reducer import BlockReducer, Misfit
from softargmax_cli.reduction.result import Slices, Summary
from softargmax_cli.reduction.state import State, added, merge
from softargmax_cli.reduction.stream import worth_compiling
from softargmax_cli.reduction.undefined import lacking
from softargmax_cli.tensorflow.choice import shared, tune

KEPT = 4
"""Jobs that stay open in a worker at most; those of a client that ended without a word are closed by later ones."""
ENVIRONMENT = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_ENABLE_ONEDNN_OPTS": "0"}
"""Variables of TensorFlow that a worker sets where they are not set: its threads run tasks side by side, and pools
within each would multiply; without oneDNN there are the bits of one machine."""


@dataclass(frozen=True, slots=True)
class Job:
    """One input and what is asked of it, sent to each worker once."""

    number: str
    """Unique."""
    name: str
    """The input as the user named it."""
    input: str
    """The path or URL by which every worker finds it."""
    reading: Reading
    problem: Problem
    plan: Plan
    memory: int
    """Bytes, of each worker."""
    device: str
    chunks: Chunks | None
    """Where workers write results; None where results go back to the client."""

    @property
    def twice(self) -> bool:
        """True where boxes are read a second time, when the maximum of their slices is known."""
        return self.problem.looks_back and self.plan.parts > 1


class Session:
    """A job in this process: the open input and TensorFlow. Raises InputError where the input cannot be read here."""

    def __init__(self, job: Job) -> None:
        self.lookalike = Lookalike()
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self.source = open_source(job.input, job.reading)
        weakref.finalize(self, self.source.close)  # when the last task is done with it
        self.source.name = job.name
        runtime = shared(job.device)
        tune(runtime.version)
        budget = Budget(BOXES, self.source, job.problem, job.memory)
        self._room = threading.Semaphore(budget.workers)
        self.reducer = BoxReducer(BlockReducer(job.problem, runtime), job.problem, self.source.order, budget.elements)
        self.compiled = worth_compiling(job.plan, self.source.dtype.itemsize)

    @contextmanager
    def loaded(self, block: Block) -> Iterator[npt.NDArray[Any]]:
        """Lend the values of a box; threads wait where the memory holds fewer boxes than there are threads."""
        with self._room:
            pending = fetch(self.source, block)
            assert pending is not None
            yield pending.load(Buffer()).values


_lock = threading.Lock()
_sessions: dict[str, Session] = {}
"""Sessions by the number of their job, the one used last at the end."""


def session(job: Job) -> Session:
    """Return the job's session in this process, which its first task opens."""
    with _lock:
        found = _sessions.pop(job.number, None) or Session(job)
        _sessions[job.number] = found
        if len(_sessions) > KEPT:
            del _sessions[next(iter(_sessions))]
        return found


def ended(number: str) -> Lookalike:
    """Let go of a job's session; return what its scores look like."""
    with _lock:
        found = _sessions.pop(number, None)
    return Lookalike() if found is None else found.lookalike


@dataclass(frozen=True, slots=True)
class Part:
    """The state of a column of slices over some of its boxes."""

    block: Block
    """The last of them."""
    state: State
    misfits: tuple[Misfit, ...] = ()
    """With positions in the whole array."""


@dataclass(frozen=True, slots=True)
class Column:
    """The results of a column of slices, as the client gets them."""

    slices: Slices | None
    """None where the worker has written them."""
    summary: Summary
    misfits: tuple[Misfit, ...]
    lacking: tuple[int, int]
    """How many slices have no answer, and the row-major number of the first."""


def opened(job: Job) -> tuple[tuple[int | None, ...], str]:
    """Open a job on a worker; return the shape and the dtype of the input as it is seen there."""
    source = session(job).source
    if job.chunks is not None:
        _ = job.chunks.arrays
    return source.shape, source.stored


def mapped(number: Any, job: Job) -> Part:
    """Reduce one box, which is the only number in an array, to its state."""
    block, problem, here = job.plan.block(int(number.item())), job.problem, session(job)
    reducer, compiled = here.reducer, here.compiled[block.shape]
    with here.loaded(block) as values:
        if job.plan.parts == 1:
            if problem.kind == "scores":
                here.lookalike.look(values, problem.axes)
            state, misfit = reducer.whole(values, compiled=compiled)
        else:
            state, misfit = reducer.part(values, block.start, compiled=compiled)
            state = state.shifted([block.start[axis] for axis in problem.ascending])
    return Part(block, state, () if misfit is None else (misfit.moved(block.start),))


def merged(parts: Any, problem: Problem) -> Part:
    """Merge parts of one column, nested in lists as Dask has them."""
    return _folded(parts, lambda a, b: merge(a, b, problem))


def again(found: Part, number: Any, job: Job) -> Part:
    """Reduce one box in a second pass, about what the first found."""
    block, here = job.plan.block(int(number.item())), session(job)
    with here.loaded(job.problem.read_again(block)) as values:
        return Part(block, here.reducer.about(values, block, found.state, compiled=here.compiled[block.shape]))


def added_up(parts: Any) -> Part:
    """Add the sums of a second pass over one column."""
    return _folded(parts, added)


def completed(found: Part, sums: Part, job: Job) -> Column:
    """Finish a column from the sums of both passes."""
    state = found.state.completed(sums.state, job.problem.window is not None)
    return finished(replace(found, state=state), job)


def finished(part: Part, job: Job) -> Column:
    """Finish a column: results from its state, written from here where the job says so."""
    slices, summary = finish_block(part.state, job.problem, part.block, job.plan.order), Summary()
    summary.add(slices)
    if job.chunks is not None:
        job.chunks.write(part.block, slices)
    back = slices if job.chunks is None else None
    return Column(back, summary, part.misfits, lacking(slices))


def _folded(parts: Any, both: Any) -> Part:
    several = list(flatten(parts if isinstance(parts, list) else [parts]))
    misfits = tuple(misfit for part in several for misfit in part.misfits)
    return Part(several[-1].block, functools.reduce(both, (part.state for part in several)), misfits)
