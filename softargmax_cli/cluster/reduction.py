"""The reduction on a cluster, called as `reduction.engine` is: a Dask graph of `tasks`, and its results in order.

Each box of the input is mapped, `FAN_IN` parts at a time are merged, as `state.Fold` does on one machine, and each
merged column of slices is finished.
"""

from __future__ import annotations

import math
import os
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from softargmax_cli.cluster import tasks
from softargmax_cli.cluster.tasks import Assignment, Finished
from softargmax_cli.errors import ClusterError, InputError, OutputError, SoftArgmaxError
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.remote import is_url
from softargmax_cli.files.source import Source
from softargmax_cli.files.writers.zarr import Chunks
from softargmax_cli.reduction.budget import BOXES, FAN_IN, Budget
from softargmax_cli.reduction.finish import in_row_major_order
from softargmax_cli.reduction.hints import Lookalike
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.undefined import Undefined

if TYPE_CHECKING:
    from distributed import Client

RETRIES = 3
"""The number of times that Dask retries a failed task, as networks fail."""
FETCHED = 1 << 18
"""The slices that the client fetches at a time; at least one column."""
Key = tuple[str, "int | str"]


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers of a cluster and the input that they read; the functions below take it in place of a runtime."""

    client: Client
    input: str
    reading: Reading
    asked: str
    """The device asked for."""

    @property
    def device(self) -> str:
        """The name of the device, as in a runtime."""
        return "GPU:0" if self.asked == "gpu" else self.asked.upper()


def reduce(source: Source, problem: Problem, workers: Workers, *, memory: int, **callbacks: Any) -> Iterator[Slices]:
    """Yield all slices in row-major order, as `engine.reduce` does; `memory` (bytes) is that of each worker.

    Raises as `engine.reduce`, and ClusterError if workers or the scheduler fail.
    """
    plan = Budget(BOXES, source, problem, memory).plan
    columns = reduce_columns(source, problem, workers, memory=memory, **callbacks)
    runs: Iterator[Sequence[Slices]] = ([slices] for slices in columns)
    if not plan.in_order:
        runs = in_row_major_order(runs, math.prod(plan.shape[k] for k in problem.kept), memory // 4)
    for (slices,) in runs:
        yield slices


def reduce_columns(
    source: Source,
    problem: Problem,
    workers: Workers,
    *,
    memory: int,
    chunks: Chunks | None = None,
    advance: Callable[[int], None],
    note: Callable[[str], None],
    lookalike: Lookalike,
) -> Iterator[Any]:
    """Yield the slices of each column, in order; if workers write them to `chunks`, the summary of each column.

    Raises as `reduce`: a slice that is an error ends it after the columns before.
    """
    budget = Budget(BOXES, source, problem, memory)
    if budget.note:
        note(budget.note)
    client, plan, undefined = workers.client, budget.plan, Undefined(problem)
    number, place = uuid.uuid4().hex, workers.input if is_url(workers.input) else os.path.abspath(workers.input)
    job = Assignment(number, source.name, place, workers.reading, problem, plan, memory, workers.asked, chunks)
    nbytes = budget.passes * (source.nbytes or 0) // max(1, plan.columns)
    try:
        with _as_cluster_errors(client):
            _open(client, job, (source.shape, source.stored))
            for column in _results(client, job):
                advance(nbytes)
                for misfit in column.misfits:
                    undefined.note(misfit)
                if not undefined.found:
                    yield column.result
    finally:
        if client.status == "running":
            for one in client.run(tasks.ended, number, on_error="ignore").values():
                lookalike.join(one)
    undefined.check(source)


def _open(client: Client, job: Assignment, here: tuple[tuple[int | None, ...], str]) -> None:
    """Open the job on every worker. Raises ClusterError if one fails, or sees another input than `here`."""
    same = "name paths or URLs that are the same on every worker"
    for address, seen in client.run(tasks.opened, job, on_error="return").items():
        if isinstance(seen, Exception):
            remedy = same if isinstance(seen, InputError | OutputError) else getattr(seen, "remedy", "")
            raise ClusterError(f"the worker {address} cannot begin: {getattr(seen, 'message', seen)}", remedy)
        if seen != here:
            raise ClusterError(f"the worker {address} reads another input: {seen[1]} {seen[0]}", same)


def _results(client: Client, job: Assignment) -> Iterator[Finished]:
    """Send the graph; yield what comes back, in order."""
    graph, columns = _graph(job)
    futures = deque(client.get(graph, columns, sync=False, retries=RETRIES))
    del graph
    size = max(1, FETCHED // max(1, math.prod(job.plan.extent[k] for k in job.problem.kept)))
    while futures:  # a result is held by its future alone, and released when it is fetched
        some = [futures.popleft() for _ in range(min(size, len(futures)))]
        found = client.gather(some)
        del some
        yield from found


@contextmanager
def _as_cluster_errors(client: Client) -> Iterator[None]:
    from distributed import KilledWorker

    try:
        yield
    except SoftArgmaxError:
        raise
    except KilledWorker:
        what = "workers died over one box again and again, perhaps for want of memory"
        raise ClusterError(what, "give workers more memory or fewer threads, and run again") from None
    except Exception as error:
        what = f"a worker failed: {' '.join(str(error).split())} ({type(error).__name__})"
        if client.status != "running":
            what = f"the scheduler {client.scheduler.address} is gone"
        raise ClusterError(what, "run again") from error


def _graph(job: Assignment) -> tuple[dict[Key, Any], list[Key]]:
    """Build the graph of tasks; return it with the keys of the columns, in order."""
    shared: Key = ("job", job.number)
    graph: dict[Key, Any] = {shared: job}

    def task(work: Callable[..., Any], *arguments: Any) -> Key:
        key = (f"{work.__name__}-{job.number}", len(graph))
        graph[key] = (work, shared, *arguments)
        return key

    def tree(work: Callable[..., Any], keys: list[Key]) -> Key:
        while len(keys) > 1:
            keys = [task(work, keys[k : k + FAN_IN]) for k in range(0, len(keys), FAN_IN)]
        return keys[0]

    columns = []
    for blocks in job.plan.boxes():
        sums = None
        found = tree(tasks.merged, [task(tasks.mapped, block) for block in blocks])
        if job.twice:
            sums = tree(tasks.added_up, [task(tasks.again, block, found) for block in blocks])
        columns.append(task(tasks.finished, blocks[-1], found, sums))
    return graph, columns
