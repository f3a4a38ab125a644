"""A worker's session of one job: the open input and TensorFlow, kept from task to task."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.writers.zarr import Chunks
from softargmax_cli.reduction.blocks import Block, Plan
from softargmax_cli.reduction.box_reducer import BoxReducer
from softargmax_cli.reduction.budget import BOXES, cores
from softargmax_cli.reduction.hints import Lookalike
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Buffer, fetch
from softargmax_cli.reduction.reducer import BlockReducer
from softargmax_cli.reduction.stream import worth_compiling
from softargmax_cli.tensorflow.choice import shared, tune

KEPT = 4
"""Sessions that stay open without a user, as those do whose client ended without a word."""
ENVIRONMENT = {
    # A worker's threads run tasks side by side; pools within each of them would multiply.
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    # As on one machine, to the same bits.
    "TF_ENABLE_ONEDNN_OPTS": "0",
}
"""Variables of TensorFlow that a worker sets where they are not set."""


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
    """One job in this process. Raises InputError where the input cannot be read here."""

    def __init__(self, job: Job) -> None:
        self.lookalike = Lookalike()
        self.users, self.ended = 0, False
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        with ExitStack() as stack:
            self.source = stack.enter_context(closing(open_source(job.input, job.reading)))
            self.source.name = job.name
            runtime = shared(job.device)
            tune(runtime.version)
            boxes = BOXES.boxes(self.source, job.problem, job.memory)
            self._room = threading.Semaphore(boxes.threads(cores(), job.memory) if boxes else 1)
            _, elements = BOXES.fit(self.source, job.problem, job.memory)
            blocks = BlockReducer(job.problem, runtime)
            self.reducer = BoxReducer(blocks, job.problem, self.source.order, elements)
            self.compiled = worth_compiling(job.plan, self.source.dtype.itemsize)
            self.close = stack.pop_all().close

    @contextmanager
    def loaded(self, block: Block) -> Iterator[npt.NDArray[Any]]:
        """Lend the values of a box; threads wait where the memory holds fewer boxes than there are threads."""
        with self._room:
            pending = fetch(self.source, block)
            assert pending is not None
            yield pending.load(Buffer()).values


_lock = threading.Lock()
_sessions: dict[str, Session] = {}


@contextmanager
def session(job: Job) -> Iterator[Session]:
    """Lend the job's session in this process, which its first user opens."""
    with _lock:
        found = _sessions.get(job.number)
        if found is None:
            found = _sessions[job.number] = Session(job)
        found.users += 1
    try:
        yield found
    finally:
        with _lock:
            found.users -= 1
            _close_unused()


def end(number: str) -> Lookalike:
    """Close a job's session when its last user is done; return what its scores look like."""
    with _lock:
        found = _sessions.get(number)
        if found is None:
            return Lookalike()
        found.ended = True
        _close_unused()
        return found.lookalike


def _close_unused() -> None:
    """Close sessions without users that have ended, and the oldest where there are more than `KEPT`."""
    unused = [number for number, session in _sessions.items() if not session.users]
    ended = [number for number in unused if _sessions[number].ended]
    for number in {*ended, *unused[: max(0, len(unused) - KEPT)]}:
        _sessions.pop(number).close()
