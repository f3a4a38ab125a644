"""The reduction on a cluster, called as `reduction.engine` is: a graph of Dask arrays, and its results in order.

A block of these arrays holds no numbers: first the number of a box, then its `tasks.Part`, then the `tasks.Column` of
the slices that share it. `da.map_blocks` maps and finishes, `da.reduction` merges `FAN_IN` parts at a time, as
`state.Fold` does on one machine.
"""

from __future__ import annotations

import asyncio
import math
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
from softargmax_cli.cluster.session import Job, end
from softargmax_cli.cluster.tasks import Column
from softargmax_cli.errors import ClusterError, InputError, OutputError, SoftArgmaxError
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.remote import is_url
from softargmax_cli.files.source import Source
from softargmax_cli.files.writers.zarr import Chunks
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.budget import BOXES, FAN_IN
from softargmax_cli.reduction.finish import Scratch, in_row_major_order
from softargmax_cli.reduction.hints import Lookalike
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.result import Slices, Summary
from softargmax_cli.reduction.undefined import Undefined

if TYPE_CHECKING:
    from distributed import Client

RETRIES = 3
"""How often Dask tries a task again that failed, as those of a network may."""
LOOK = 5
"""Seconds between two looks at whether there are workers."""
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
        return "GPU:0" if self.asked == "gpu" else self.asked.upper()


def reduce(
    source: Source,
    problem: Problem,
    workers: Workers,
    *,
    memory: int,
    advance: Callable[[int], None],
    note: Callable[[str], None],
    scratch: Scratch | None = None,
) -> Iterator[Slices]:
    """Yield all slices in row-major order, as `engine.reduce` does; `memory` (bytes) is that of each worker.

    Raises as `engine.reduce`, and ClusterError where workers or the scheduler fail.
    """
    plan, kept, undefined = BOXES.plan(source, problem, memory), problem.kept, Undefined(problem)

    def boxes() -> Iterator[tuple[Block, Sequence[Slices]]]:
        for column in _columns(source, problem, workers, memory, None, undefined, advance, note):
            assert column.slices is not None
            yield plan.at(column.number, 0), [column.slices]

    runs: Iterator[Sequence[Slices]] = (answers for _, answers in boxes())
    if not plan.in_order:
        runs = in_row_major_order(boxes(), kept, [plan.shape[k] for k in kept], memory // 4, scratch)
    for (slices,) in runs:
        if undefined.passes(slices):
            yield slices
    undefined.check()


def write(
    source: Source,
    problem: Problem,
    workers: Workers,
    *,
    chunks: Chunks,
    memory: int,
    advance: Callable[[int], None],
    note: Callable[[str], None],
) -> Iterator[Summary]:
    """Have workers write the results to a store; yield the summary of each column of slices."""
    undefined = Undefined(problem)
    for column in _columns(source, problem, workers, memory, chunks, undefined, advance, note):
        undefined.note_slices(*column.lacking)
        yield column.summary
    undefined.check()


def _columns(
    source: Source,
    problem: Problem,
    workers: Workers,
    memory: int,
    chunks: Chunks | None,
    undefined: Undefined,
    advance: Callable[[int], None],
    note: Callable[[str], None],
) -> Iterator[Column]:
    """Yield the results of the columns of slices, in their order; misfits are noted."""
    boxes = BOXES.boxes(source, problem, memory)
    assert boxes is not None
    if remark := boxes.note(memory):
        note(remark)
    client, plan, lookalike = workers.client, boxes.plan, Lookalike()
    number, place = uuid.uuid4().hex, workers.input if is_url(workers.input) else os.path.abspath(workers.input)
    job = Job(number, source.name, place, workers.reading, problem, plan, memory, workers.asked, chunks)
    nbytes = BOXES.passes(source, problem, memory) * (source.nbytes or 0) // max(1, plan.columns)
    try:
        with _in_words(client, job):
            _open(client, job, (source.shape, source.stored))
            for column in _results(client, job):
                advance(nbytes)
                for misfit in column.misfits:
                    undefined.note(misfit)
                yield column
    finally:
        if client.status == "running":
            for one in client.run(end, number, on_error="ignore").values():
                lookalike.join(one)
    if hint := lookalike.hint():
        note(hint)


def _open(client: Client, job: Job, here: tuple[tuple[int | None, ...], str]) -> None:
    """Open the job on every worker. Raises ClusterError where one cannot do it, or sees another input than `here`."""
    same = "name paths or URLs that are the same on every worker"
    for address, seen in client.run(tasks.opened, job, on_error="return").items():
        if isinstance(seen, Exception):
            remedy = same if isinstance(seen, InputError | OutputError) else getattr(seen, "remedy", "")
            raise ClusterError(f"the worker {address} cannot begin: {getattr(seen, 'message', seen)}", remedy)
        if seen != here:
            raise ClusterError(f"the worker {address} reads another input: {seen[1]} {seen[0]}", same)


def _results(client: Client, job: Job) -> Iterator[Column]:
    """Send the graph; yield what comes back, in order."""
    from distributed import wait

    # Only the futures hold what is computed: it is let go of when it is fetched.
    futures = deque(_futures(client, job))
    size = max(1, FETCHED // max(1, math.prod(job.plan.extent[k] for k in job.problem.kept)))
    while futures:
        some = [futures.popleft() for _ in range(min(size, len(futures)))]
        while True:
            try:
                wait(some, timeout=LOOK)
                break
            except asyncio.TimeoutError:
                client.wait_for_workers(1, timeout=connection.PATIENCE)
        found = client.gather(some)
        del some
        yield from found


@contextmanager
def _in_words(client: Client, job: Job) -> Iterator[None]:
    """Turn what Dask raises into a ClusterError."""
    from distributed import KilledWorker

    address = client.scheduler.address
    try:
        yield
    except SoftArgmaxError:
        raise
    except KilledWorker as error:
        what = f"{error.allowed_failures + 1} workers died over one box, perhaps for want of memory"
        raise ClusterError(what, "give workers more memory or fewer threads, and run again") from None
    except asyncio.TimeoutError:
        raise ClusterError(f"all workers of {address} are gone", "start workers, and run again") from None
    except Exception as error:
        if client.status != "running":
            raise ClusterError(f"the scheduler {address} is gone", "start it again, and run again") from None
        what = f"a worker failed: {' '.join(str(error).split())} ({type(error).__name__})"
        raise ClusterError(what, "run again") from error


def _futures(client: Client, job: Job) -> list[Any]:
    """Send the graph; return a future of each `Column`, in their order."""
    if not job.plan.columns:
        return []
    persisted = client.persist(_graph(job), retries=RETRIES)
    graph = persisted.__dask_graph__()
    return [graph[row[0]] for row in persisted.__dask_keys__()]


def _graph(job: Job) -> Any:
    """Lay down the graph: a Dask array (columns, 1) of `Column`s."""
    import dask
    import dask.array as da

    columns, parts = job.plan.columns, job.plan.parts
    # One key of the graph, that all tasks share.
    shared = dask.delayed(job, name=f"job-{job.number}", pure=True, traverse=False)
    blocks = {"dtype": object, "meta": META, "job": shared}
    numbers = np.arange(columns * parts).reshape(columns, parts)
    boxes = da.from_array(numbers, chunks=1, name=f"boxes-{job.number}")
    found = da.map_blocks(tasks.mapped, boxes, name=f"map-{job.number}", **blocks)
    if parts > 1:
        found = _tree(found, partial(tasks.merged, problem=job.problem), f"merge-{job.number}")
    if not job.twice:
        return da.map_blocks(tasks.finished, found, name=f"finish-{job.number}", **blocks)
    ones = {"chunks": ((1,) * columns, (1,) * parts)}
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
