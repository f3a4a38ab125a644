"""What a worker keeps between the tasks of one job: the open input, TensorFlow, and memory for boxes."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import numpy.typing as npt

from softargmax_cli.cluster.job import Job
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.stores import share_threads
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.boxing import BoxReducer
from softargmax_cli.reduction.buffer import Buffer
from softargmax_cli.reduction.fitting import BOXES
from softargmax_cli.reduction.mapping import BlockReducer
from softargmax_cli.reduction.stream import worth_compiling
from softargmax_cli.tensorflow.choice import shared, tune

KEPT = 4
"""Jobs that a worker remembers; several clients may share it."""
TOLD = {
    # A worker's own threads run tasks side by side; pools within each of them would multiply.
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # As in a process of its own, to the same bits: see `tensorflow.choice`.
    "TF_ENABLE_ONEDNN_OPTS": "0",
}
"""Variables that tell libraries to leave the threads to Dask, and how to compute; they stay as they are if set."""

_lock = threading.Lock()
_sessions: dict[str, Session] = {}


class Session:
    """One job in this process. Raises InputError where the input cannot be read here."""

    def __init__(self, job: Job, threads: int) -> None:
        self.job = job
        self._open = ExitStack()
        self.source = self._open.enter_context(closing(open_source(job.input, job.reading)))
        self.runtime = shared(job.device)
        tune(self.runtime.version)
        self._buffers: queue.LifoQueue[Buffer] = queue.LifoQueue()
        boxes = BOXES.boxes(self.source, job.problem, job.memory)
        for _ in range(boxes.threads(threads, job.memory) if boxes else 1):
            self._buffers.put(Buffer())
        self.worth = worth_compiling(job.plan, self.source.dtype.itemsize)

    def reducer(self) -> BoxReducer:
        """A new one, which has found nothing so far."""
        job, source = self.job, self.source
        _, elements = BOXES.fit(source, job.problem, job.memory)
        return BoxReducer(BlockReducer(job.problem, self.runtime), job.problem, source.order, elements)

    @contextmanager
    def loaded(self, block: Block) -> Iterator[npt.NDArray[Any]]:
        """The values of a box, while they are needed; threads wait where the memory holds fewer boxes."""
        buffer = self._buffers.get()
        try:
            pending = self.source.fetch(block)
            assert pending is not None
            yield pending.load(buffer).values
        finally:
            self._buffers.put(buffer)

    def close(self) -> None:
        """Let go of the input."""
        self._open.close()


def session_of(job: Job, threads: int | None = None) -> Session:
    """The job's session in this process, opened by the first task that needs it; `threads`: of the worker."""
    with _lock:
        session = _sessions.get(job.number)
        if session is None:
            for name, value in TOLD.items():
                os.environ.setdefault(name, value)
            threads = threads or _threads()
            share_threads(threads)
            session = _sessions[job.number] = Session(job, threads)
            if len(_sessions) > KEPT:
                _sessions.pop(next(iter(_sessions))).close()
        return session


def _threads() -> int:
    """How many this worker has."""
    from distributed import get_worker

    return int(get_worker().state.nthreads)
