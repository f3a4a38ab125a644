"""The tasks of workers: a box becomes a part (map), parts become one (merge), one becomes results (finish)."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy.typing as npt

from softargmax_cli.errors import ClusterError
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
from softargmax_cli.reduction.undefined import Undefined
from softargmax_cli.tensorflow.choice import shared, tune

KEPT_SESSIONS = 4
"""The most jobs that a worker keeps; later ones close those of clients that have vanished."""
ENVIRONMENT = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_ENABLE_ONEDNN_OPTS": "0"}
"""Variables of TensorFlow that a worker sets unless they are set: its threads run tasks in parallel, and thread pools
within each would be too many; without oneDNN results are bit for bit those of one machine."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One input and the request for it, sent to each worker once."""

    number: str
    """A unique identifier."""
    name: str
    """The input as the user named it."""
    input: str
    """The path or URL by which every worker finds it."""
    reading: Reading
    problem: Problem
    plan: Plan
    memory: int
    device: str
    chunks: Chunks | None
    """The store to which workers write; None if results go back to the client."""

    @property
    def twice(self) -> bool:
        """True if boxes are read again when the maximum of their slices is known."""
        return self.problem.reviews > 0 and self.plan.parts > 1


class Session:
    """A job in this process: the open input and TensorFlow. Raises InputError if the input cannot be read here."""

    def __init__(self, job: Assignment) -> None:
        self.lookalike, self._over = Lookalike(), False
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self.source = open_source(job.input, job.reading)
        self._close = weakref.finalize(self, self.source.close)  # after the last task that uses it
        self.source.name = job.name
        runtime = shared(job.device)
        tune(runtime.version)
        budget = Budget(BOXES, self.source, job.problem, job.memory)
        self._places, self._count = threading.Semaphore(budget.workers), budget.workers
        self.reducer = BoxReducer(BlockReducer(job.problem, runtime), job.problem, self.source.order, budget.elements)
        self.compiled = worth_compiling(job.plan, self.source.dtype.itemsize)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Wait until the memory has room for one more thread that works on a box."""
        with self._places:
            if self._over:
                raise ClusterError("the run has ended")
            yield

    @contextmanager
    def loaded(self, block: Block) -> Iterator[npt.NDArray[Any]]:
        """Lend the values of a box."""
        with self.place():
            pending = fetch(self.source, block)
            assert pending is not None
            yield pending.load(Buffer()).values

    def end(self) -> None:
        """Refuse new work, wait for threads that read or write, and close the input."""
        self._over = True
        for _ in range(self._count):
            self._places.acquire()
        self._places.release(self._count)
        self._close()


_lock = threading.Lock()
_sessions: dict[str, Session] = {}  # by the number of their job, the one used last at the end


def session(job: Assignment) -> Session:
    """Return the job's session in this process, which its first task opens."""
    with _lock:
        found = _sessions.pop(job.number, None) or Session(job)
        _sessions[job.number] = found
        if len(_sessions) > KEPT_SESSIONS:
            del _sessions[next(iter(_sessions))]
        return found


def ended(number: str) -> Lookalike:
    """End a job's session; return what its scores look like."""
    if (found := _sessions.get(number)) is None:
        return Lookalike()
    found.end()
    return found.lookalike


class Mapped(NamedTuple):
    """The state of a column of slices over some of its boxes, and misfits with positions in the whole array."""

    state: State
    misfits: tuple[Misfit, ...]


class Finished(NamedTuple):
    """The results of a column for the client: its slices, or their summary if the worker has written them."""

    result: Slices | Summary
    misfits: tuple[Misfit, ...]


def opened(job: Assignment) -> tuple[tuple[int | None, ...], str]:
    """Open a job on a worker; return the shape and the dtype of the input as it is seen there."""
    source = session(job).source
    if job.chunks is not None:
        _ = job.chunks.arrays
    return source.shape, source.stored


def mapped(job: Assignment, block: Block) -> Mapped:
    """Reduce one box to its state."""
    problem, here = job.problem, session(job)
    compiled = here.compiled[block.shape]
    with here.loaded(block) as values:
        if job.plan.parts == 1:
            if problem.kind == "scores":
                here.lookalike.look(values, problem.axes)
            (state,), misfits, _ = here.reducer.whole(values, [problem], compiled=compiled)
        else:
            (state,), misfits, _ = here.reducer.part(values, block.start, compiled=compiled)
            state = state.shifted([block.start[axis] for axis in problem.ascending])
    return Mapped(state, tuple(misfit.moved(block.start) for misfit in misfits))


def merged(job: Assignment, parts: Sequence[Mapped]) -> Mapped:
    """Merge parts of one column."""
    both = functools.partial(merge, problem=job.problem)
    misfits = tuple(misfit for part in parts for misfit in part.misfits)
    return Mapped(functools.reduce(both, (part.state for part in parts)), misfits)


def again(job: Assignment, block: Block, found: Mapped) -> State:
    """Reduce one box in a second pass, with the state that the first found."""
    here = session(job)
    with here.loaded(job.problem.read_again(block)) as values:
        return here.reducer.about(values, block, found.state, compiled=here.compiled[block.shape])


def added_up(job: Assignment, sums: Sequence[State]) -> State:
    """Add the sums of a second pass over one column."""
    return functools.reduce(added, sums)


def finished(job: Assignment, block: Block, found: Mapped, sums: State | None) -> Finished:
    """Finish a column, which ends with `block`, and write it if the job has a store. sums: those of a second pass."""
    state = found.state
    if sums is not None:
        state = state.completed(sums, job.problem.window)
    slices, undefined = finish_block(state, job.problem, block, job.plan.order), Undefined(job.problem)
    undefined.passes(slices)
    misfits = (*found.misfits, *undefined.found.values())
    if job.chunks is None:
        return Finished(slices, misfits)
    with session(job).place():
        job.chunks.write(block, slices)
    summary = Summary()
    summary.add(slices)
    return Finished(summary, misfits)
