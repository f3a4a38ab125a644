"""The reduction on a cluster, called as `reduction.engine` is: a graph of Dask arrays, and its results in order.

A block of these arrays holds no numbers: first the number of a box, then its `tasks.Part`, then the `tasks.Column` of
the slices that share it. `da.map_blocks` maps and finishes, `da.reduction` merges `FAN_IN` parts at a time, as
`folding.Fold` does on one machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from softargmax_cli.cluster import connection, tasks
from softargmax_cli.cluster.session import Job
from softargmax_cli.cluster.tasks import Column
from softargmax_cli.errors import ClusterError, InputError, SoftArgmaxError, parameter
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.remote import is_url
from softargmax_cli.files.source import Source
from softargmax_cli.files.writers.zarr import Chunks
from softargmax_cli.reduction.boxes import FAN_IN
from softargmax_cli.reduction.fitting import BOXES
from softargmax_cli.reduction.lookalike import Lookalike
from softargmax_cli.reduction.ordering import Scratch, in_row_major_order
from softargmax_cli.reduction.result import Slices, Summary
from softargmax_cli.reduction.spec import Problem
from softargmax_cli.reduction.stream import LOOK_LIKE_WEIGHTS
from softargmax_cli.reduction.undefined import Undefined

if TYPE_CHECKING:
    from distributed import Client

RETRIES = 3
"""How often Dask tries a task again that failed, as those of a network may."""
LOOK = 0.2
"""Seconds between two looks at what has been read."""
FETCHED = 1 << 18
"""Slices that the client fetches at a time, or one column of them."""
META = np.empty((0, 0), object)


@dataclass(frozen=True, slots=True)
class Workers:
    """Workers of a cluster and the input that they read: in place of a runtime, for the functions below."""

    client: Client
    input: str
    reading: Reading
    asked: str
    """The device asked for."""

    @property
    def device(self) -> str:
        """The name of the device, as a runtime has it."""
        return {"auto": "CPU", "gpu": "GPU:0"}.get(self.asked, self.asked.upper())


def reduce(
    source: Source,
    problem: Problem,
    workers: Workers,
    *,
    memory: int,
    advance: Callable[[int], None] = lambda nbytes: None,
    note: Callable[[str], None] = lambda text: None,
    scratch: Scratch | None = None,
) -> Iterator[Slices]:
    """Yield all slices in row-major order, as `engine.reduce` does; `memory` (bytes) is that of each worker.

    Raises as `engine.reduce`, and ClusterError where workers or the scheduler fail.
    """
    run = _Run(source, problem, workers, memory, None, advance, note)
    plan, kept = run.plan, problem.kept

    def boxes() -> Iterator[Any]:
        for column in run.columns(range(plan.columns)):
            assert column.slices is not None
            yield plan.at(column.number, 0), column.slices

    slices: Iterator[Slices]
    if plan.in_order:
        slices = (slices for _, slices in boxes())
    else:
        slices = in_row_major_order(boxes(), kept, [plan.shape[k] for k in kept], memory // 4, scratch)
    yield from run.undefined.watched(slices)


def write(
    source: Source,
    problem: Problem,
    workers: Workers,
    *,
    chunks: Chunks,
    columns: Sequence[int],
    memory: int,
    advance: Callable[[int], None] = lambda nbytes: None,
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[Summary]:
    """Have workers write the results of some columns of slices to a store; yield what is said of each column."""
    run = _Run(source, problem, workers, memory, chunks, advance, note)
    for column in run.columns(columns):
        run.undefined.note_slices(*column.lacking)
        yield column.summary
    run.undefined.check()


class _Run:
    """One job on its way through a cluster."""

    def __init__(
        self,
        source: Source,
        problem: Problem,
        workers: Workers,
        memory: int,
        chunks: Chunks | None,
        advance: Callable[[int], None],
        note: Callable[[str], None],
    ) -> None:
        boxes = BOXES.boxes(source, problem, memory)
        assert boxes is not None
        if remark := boxes.note(memory):
            note(remark)
        place = workers.input if is_url(workers.input) else os.path.abspath(workers.input)
        number = f"softargmax-{uuid.uuid4().hex}"
        self.plan, self.undefined = boxes.plan, Undefined(problem)
        self._job = Job(number, source.name, place, workers.reading, problem, self.plan, memory, workers.asked, chunks)
        self._client, self._stored, self._advance, self._note = workers.client, source.stored, advance, note
        self._read: deque[int] = deque()

    def columns(self, columns: Sequence[int]) -> Iterator[Column]:
        """Yield the results of some columns of slices, in their order; misfits are noted."""
        client, number = self._client, self._job.number
        try:
            with self._in_words():
                self._open()
                client.subscribe_topic(number, lambda event: self._read.append(event[1]))
                for column in self._results(columns):
                    for misfit in column.misfits:
                        self.undefined.note(misfit, (0,) * len(misfit.first))
                    yield column
        finally:
            lookalike = self._end()
        if lookalike.found:
            self._note(LOOK_LIKE_WEIGHTS)

    def _open(self) -> None:
        """Open the job on every worker. Raises ClusterError or InputError where one cannot do it, or sees another."""
        remedy = "{} a path or URL that is the same on every worker"
        found = self._client.run(tasks.opened, self._job, on_error="return")
        for address, seen in found.items():
            if isinstance(seen, InputError):
                raise InputError(f"the worker {address} cannot read the input: {seen.message}", remedy.format("name"))
            if isinstance(seen, SoftArgmaxError):
                seen.what = f"the worker {address}: {seen.message}"
                raise seen
            if isinstance(seen, Exception):
                raise ClusterError(f"the worker {address} cannot begin: {seen} ({type(seen).__name__})")
            if seen != (self._job.problem.shape, self._stored):
                what = f"the worker {address} reads another {self._job.input}: {seen[1]} {seen[0]}"
                raise ClusterError(what, remedy.format("name"))

    def _results(self, columns: Sequence[int]) -> Iterator[Column]:
        from distributed import wait

        # Only the futures hold what is computed: it is let go of when it is fetched.
        futures = deque(_futures(self._client, self._job, columns))
        size = max(1, FETCHED // max(1, np.prod([self.plan.extent[k] for k in self._job.problem.kept], dtype=int)))
        while futures:
            some = [futures.popleft() for _ in range(min(size, len(futures)))]
            while True:
                while self._read:
                    self._advance(self._read.popleft())
                try:
                    wait(some, timeout=LOOK)
                    break
                except asyncio.TimeoutError:
                    self._client.wait_for_workers(1, timeout=connection.PATIENCE)
            found = self._client.gather(some)
            del some
            yield from found

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Turn what Dask raises into a ClusterError."""
        from distributed import KilledWorker

        then = f"go on with {parameter('resume')}" if self._job.chunks else "run again"
        try:
            yield
        except SoftArgmaxError:
            raise
        except KilledWorker as error:
            what = f"{error.allowed_failures + 1} workers died over one box, perhaps for want of memory"
            raise ClusterError(what, f"give workers more memory or fewer threads, and {then}") from None
        except asyncio.TimeoutError:
            what = f"all workers of {self._client.scheduler.address} are gone"
            raise ClusterError(what, f"start workers, and {then}") from None
        except Exception as error:
            if self._client.status != "running":
                what = f"the scheduler {self._client.scheduler.address} is gone"
                raise ClusterError(what, f"start it again, and {then}") from None
            what = f"a worker failed: {' '.join(str(error).split())} ({type(error).__name__})"
            raise ClusterError(what, then) from error

    def _end(self) -> Lookalike:
        """Close the job on every worker; return what its scores look like."""
        lookalike = Lookalike()
        with contextlib.suppress(Exception):
            if self._client.status == "running":
                self._client.unsubscribe_topic(self._job.number)
                for one in self._client.run(tasks.end, self._job.number, on_error="ignore").values():
                    lookalike.join(one)
        return lookalike


def _futures(client: Client, job: Job, columns: Sequence[int]) -> list[Any]:
    """Send the graph of some columns; return a future of each `Column`, in their order."""
    persisted = client.persist(_graph(job, columns), retries=RETRIES)
    graph = persisted.__dask_graph__()
    return [graph[row[0]] for row in persisted.__dask_keys__()]


def _graph(job: Job, columns: Sequence[int]) -> Any:
    """Lay down the graph: a Dask array (columns, 1) of `Column`s."""
    import dask
    import dask.array as da

    parts = job.plan.parts
    # One key of the graph, that all tasks share.
    shared = dask.delayed(job, name=f"job-{job.number}", pure=True, traverse=False)
    blocks = {"dtype": object, "meta": META, "job": shared}
    numbers = np.array(columns, np.int64)[:, None] * parts + np.arange(parts)
    boxes = da.from_array(numbers, chunks=1, name=f"boxes-{job.number}")
    found = da.map_blocks(tasks.mapped, boxes, name=f"map-{job.number}", **blocks)
    if parts > 1:
        found = _tree(found, partial(tasks.merged, beta=job.problem.beta), f"merge-{job.number}")
    if not job.twice:
        return da.map_blocks(tasks.finished, found, name=f"finish-{job.number}", **blocks)
    ones = {"chunks": ((1,) * len(columns), (1,) * parts)}
    sums = da.map_blocks(tasks.again, found, boxes, name=f"again-{job.number}", **blocks, **ones)
    sums = _tree(sums, tasks.added_up, f"add-{job.number}")
    return da.map_blocks(tasks.completed, found, sums, name=f"finish-{job.number}", **blocks)


def _tree(parts: Any, both: Callable[[Any], Any], name: str) -> Any:
    import dask.array as da

    combine = partial(_without_axes, both)
    return da.reduction(
        parts,
        chunk=lambda part, axis, keepdims: part,
        combine=combine,
        aggregate=combine,
        axis=1,
        keepdims=True,
        dtype=object,
        split_every=FAN_IN,
        concatenate=False,
        name=name,
        meta=META,
    )


def _without_axes(both: Callable[[Any], Any], parts: Any, axis: Any, keepdims: bool) -> Any:
    return both(parts)
