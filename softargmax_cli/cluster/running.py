"""A job from its first wave of tasks to its last, and what may go wrong on the way.

Columns of slices are sent in waves, so that neither the client nor the scheduler holds more tasks the larger the store
is. What comes back of a column is a report of a few numbers; its results are in the store by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from softargmax_cli.cluster.crew import Crew, ask
from softargmax_cli.cluster.job import Job, Report
from softargmax_cli.cluster.tree import kept, reports, rereports
from softargmax_cli.errors import ClusterError, SoftArgmaxError
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.lookalike import Lookalike
from softargmax_cli.reduction.result import Summary
from softargmax_cli.reduction.stream import LOOK_LIKE_WEIGHTS
from softargmax_cli.reduction.undefined import Undefined

if TYPE_CHECKING:
    from distributed import Client

WAVE = 2048
"""Boxes that are sent at a time; as many again may be on their way."""
FIRST = 128
"""Boxes of the first wave, so that work begins at once."""
LOOK = 0.2
"""Seconds in which reports are gathered before they are asked for."""
ROUND = 2.0
"""Seconds between two looks at who works."""
ALONE = 60.0
"""Seconds that it may be without workers."""
TRIES = 3
"""How often a task is tried again whose failure may pass, as those of a network do."""


def run(
    client: Client,
    job: Job,
    crew: Crew,
    done: Callable[[Block], bool],
    *,
    advance: Callable[[int], None],
    note: Callable[[str], None],
) -> Summary:
    """Reduce all columns that are not `done`, of which workers only read the results; the summary of all.

    `advance` is told how many bytes are read, `note` what the user may want to know. Raises ClusterError where the
    scheduler or all workers are gone; UndefinedError, after the last column; and what tasks raise.
    """
    watch = _Watch(client, job, crew)
    summary, undefined, lookalike = Summary(), Undefined(job.problem), Lookalike()
    try:
        for report in watch.reports(done, advance):
            summary.join(report.summary)
            for misfit in report.misfits:
                undefined.note(misfit, (0,) * len(misfit.first))
            if not report.misfits:
                undefined.note_slices(report.lacking, report.first_lacking)
            lookalike.join(report.lookalike)
    finally:
        watch.close()
    undefined.check()
    for error in crew.refused.values():
        note(f"did without one: {error.message}")
    if lookalike.found:
        note(LOOK_LIKE_WEIGHTS)
    return summary


class _Watch:
    """Sends waves, and gathers what the scheduler says of them."""

    def __init__(self, client: Client, job: Job, crew: Crew) -> None:
        self._client, self._job, self._crew = client, job, crew
        self._finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._bytes: deque[int] = deque()
        self._futures: dict[str, Any] = {}
        self._looked = self._peopled = time.monotonic()
        self._shared = self._persisted(kept(job, f"job-{job.number}"))
        client.subscribe_topic(job.number, lambda event: self._bytes.append(event[1]))

    def _persisted(self, graph: Any) -> Any:
        """A graph on its way to those who may work on it."""
        return self._client.persist(graph, retries=TRIES, resources={self._job.number: 1})

    def reports(self, done: Callable[[Block], bool], advance: Callable[[int], None]) -> Iterator[Report]:
        """The report of every column, as they come."""
        waves = self._waves(done)
        wave = next(waves, None)
        while wave is not None or self._futures:
            while wave is not None and len(self._futures) * self._job.plan.parts < WAVE:
                self._send(*wave)
                wave = next(waves, None)
            finished = self._next()
            while self._bytes:
                advance(self._bytes.popleft())
            yield from self._gathered(finished)

    def _waves(self, done: Callable[[Block], bool]) -> Iterator[tuple[range, bool]]:
        """Runs of columns, and whether they are done."""
        plan, start, size = self._job.plan, 0, FIRST
        while start < plan.columns:
            end, there = start + 1, done(plan.at(start, 0))
            while end < plan.columns and (end - start) * plan.parts < size and done(plan.at(end, 0)) == there:
                end += 1
            yield range(start, end), there
            start, size = end, WAVE

    def _send(self, columns: range, there: bool) -> None:
        from distributed import futures_of

        graph = (rereports if there else reports)(self._job, self._shared, columns)
        for future in futures_of(self._persisted(graph), client=self._client):
            self._futures[future.key] = future
            future.add_done_callback(self._finished.put)

    def _next(self) -> list[Any]:
        """Futures that are done, after a short while at most. Raises ClusterError where nobody is there any more."""
        done: list[Any] = []
        until = time.monotonic() + LOOK
        with contextlib.suppress(queue.Empty):
            # Many at a time: asking for their reports costs the scheduler as much as one of the tasks did.
            while len(done) < len(self._futures) and (left := until - time.monotonic()) > 0:
                done.append(self._finished.get(timeout=left))
        if self._client.status != "running":
            raise self._lost()
        if time.monotonic() - self._looked > ROUND:
            self._look_round()
        return done

    def _look_round(self) -> None:
        """Ask the scheduler who is there, which also says that it is."""
        try:
            self._crew.admit()
        except Exception:  # whatever it is, it is no answer
            raise self._lost() from None
        self._looked = time.monotonic()
        if self._crew.members:
            self._peopled = self._looked
        elif self._looked - self._peopled > ALONE:
            what = f"all workers of {self._client.scheduler.address} are gone, and none came in {ALONE:.0f} s"
            why = next(reversed([error.message for error in self._crew.refused.values()]), None)
            raise ClusterError(f"{what} but: {why}" if why else what, "start workers, and go on with --resume")

    def _gathered(self, finished: list[Any]) -> list[Report]:
        """The reports of futures that are done."""
        ready = []
        for future in finished:
            if future.status == "error":
                raise _reason(future.exception())
            if future.status == "finished":
                ready.append(future)
            elif future.status == "cancelled":
                raise self._lost()
            else:  # the worker that had it has died since; another will make it again
                future.add_done_callback(self._finished.put)
        if not ready:
            return []
        try:
            found: list[Report] = ask(self._client, self._client.gather, ready)
        except asyncio.TimeoutError:
            for future in ready:
                self._finished.put(future)
            self._look_round()
            return []
        except Exception as error:
            raise (error if isinstance(error, SoftArgmaxError) else self._lost()) from None
        for future in ready:
            self._futures.pop(future.key, None)
        return found

    def _lost(self) -> ClusterError:
        what = f"the scheduler {self._client.scheduler.address} is gone"
        return ClusterError(what, "start it again, and go on with --resume")

    def close(self) -> None:
        """Want nothing more."""
        self._futures.clear()
        self._shared = None
        self._crew.dismiss()


def _reason(error: BaseException) -> Exception:
    """Why a task failed, in the words of the project."""
    from distributed import KilledWorker

    if isinstance(error, SoftArgmaxError):
        return error
    if isinstance(error, KilledWorker):
        what = f"{error.allowed_failures + 1} workers died over one box, perhaps for want of memory"
        return ClusterError(what, "give workers more memory or fewer threads, and go on with --resume")
    return ClusterError(f"a worker failed: {' '.join(str(error).split())} ({type(error).__name__})")
