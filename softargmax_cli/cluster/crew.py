"""Who works on a job: the workers that have been seen to be fit for it, also those that come while it runs.

A worker that is fit gets a resource of the job's name, without which Dask sends it no task of the job. So one that
comes later, be it a stranger or one that its nanny has started again, does no harm before it has been looked at.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Awaitable, Callable, Collection
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, TypeVar

from softargmax_cli.cluster.job import Job, Worker
from softargmax_cli.cluster.session import session_of
from softargmax_cli.errors import ClusterError, InputError, SoftArgmaxError
from softargmax_cli.files.writers.zarrstore import manifest_of

if TYPE_CHECKING:
    from distributed import Client

Answer = TypeVar("Answer")

SILENCE = 10.0
"""Seconds after which a scheduler that does not answer is taken for gone."""
BEGINNING = 60.0
"""Seconds that a worker may take to load TensorFlow and to open the input."""
FAREWELL = 2.0
"""Seconds that they have to forget a job."""
COMPARED = {"tensorflow": "TensorFlow", "numpy": "NumPy", "zarr": "zarr", "dask": "Dask"}
"""Packages beside our own of which workers say the version, and their names."""


class Crew:
    """The workers of a job. Raises ClusterError or InputError where one of those that are there is not fit."""

    def __init__(self, client: Client, job: Job) -> None:
        self._client, self._job = client, job
        self.members: dict[str, Worker] = {}
        """By their addresses."""
        self.refused: dict[str, SoftArgmaxError] = {}
        """Those that are not fit, and why."""
        self.admit()
        for error in self.refused.values():
            raise error

    def admit(self) -> None:
        """See who is there, and look at those who are new. Raises OSError or TimeoutError where nobody answers."""
        there = ask(self._client, self._client.nthreads)
        self.members = {address: worker for address, worker in self.members.items() if address in there}
        new = [address for address in there if address not in self.members and address not in self.refused]
        # Nothing of the package may be named before it is known to be there.
        known = self._asked(new, eval, "__import__('softargmax_cli').__version__", self._known)
        fit = self._asked(known, _described, self._job, self._able)
        self._asked(fit, _marked, self._job.number, lambda address, answer: None)
        self.members.update(fit)

    def dismiss(self) -> None:
        """Let the workers forget the job's name."""
        if self.members and self._client.status == "running":
            with contextlib.suppress(Exception):
                workers = [*self.members]
                ask(self._client, self._client.run, _unmarked, self._job.number, workers=workers, seconds=FAREWELL)

    def _asked(
        self, workers: Collection[str], question: Callable[..., Any], about: Any, fault: Callable[[str, Any], None]
    ) -> dict[str, Any]:
        """What workers answer; those that are gone and those in whose answer there is a fault are left out."""
        from distributed.comm import CommClosedError

        fit: dict[str, Any] = {}
        if not workers:
            return fit
        run = self._client.run
        found = ask(self._client, run, question, about, workers=[*workers], on_error="return", seconds=BEGINNING)
        for address, answer in found.items():
            if isinstance(answer, CommClosedError):
                continue  # it has gone meanwhile, or will be there when we look again
            try:
                fault(address, answer)
            except SoftArgmaxError as error:
                self.refused[address] = error
            else:
                fit[address] = answer
        return fit

    def _known(self, address: str, found: Any) -> None:
        """Raises ClusterError where the package is not there, or is another."""
        remedy = f"install it there: pip install 'softargmax[cluster]=={self._job.version}'"
        if isinstance(found, Exception):
            raise ClusterError(f"the worker {address} has no softargmax: {found}", remedy)
        if found != self._job.version:
            raise ClusterError(f"the worker {address} has softargmax {found}, and here is {self._job.version}", remedy)

    def _able(self, address: str, worker: Any) -> None:
        """Raises InputError where the input cannot be read, ClusterError where something else is not as it is here."""
        job, remedy = self._job, "{} a path or URL that is the same on every worker"
        if isinstance(worker, InputError):
            what = f"the worker {address} cannot read the input: {worker.message}"
            raise InputError(what, remedy.format("name"))
        if isinstance(worker, SoftArgmaxError):
            worker.what, worker.file = f"the worker {address}: {worker.message}", None
            raise worker
        if isinstance(worker, Exception):
            raise ClusterError(f"the worker {address} cannot begin: {worker} ({type(worker).__name__})")
        if (worker.shape, worker.dtype) != (job.problem.shape, job.dtype):
            what = f"the worker {address} reads another {job.input}: {worker.dtype} {worker.shape}"
            raise ClusterError(what, remedy.format("name"))
        if worker.begun != manifest_of(job.chunks):
            what = f"the worker {address} does not see {job.chunks.place}, where results go"
            raise ClusterError(what, remedy.format("write to"))

    @property
    def note(self) -> str | None:
        """What of the members may make a difference to results: other versions of packages than there are here."""
        for package, ours in versions().items():
            others = {worker.versions.get(package) for worker in self.members.values()} - {ours, None}
            if others:
                name = COMPARED.get(package, "Python")
                return f"workers have {name} {', '.join(sorted(map(str, others)))}, and here is {ours}"
        return None

    def __str__(self) -> str:
        """The cluster in one line."""
        count, threads = len(self.members), sum(worker.threads for worker in self.members.values())
        devices = ", ".join(sorted({worker.device for worker in self.members.values()}))
        said = f"{_counted(count, 'worker')}, {_counted(threads, 'thread')} on {devices}"
        dashboard = self._client.scheduler_info(n_workers=0).get("services", {}).get("dashboard")
        return f"{said}, dashboard {self._client.dashboard_link}" if dashboard else said


def ask(
    client: Client, question: Callable[..., Awaitable[Answer]], *about: Any, seconds: float | None = None, **more: Any
) -> Answer:
    """What a method of the client's says, awaited. Raises TimeoutError where that takes more `seconds`, or SILENCE."""
    answer: Answer = client.sync(question, *about, callback_timeout=seconds or SILENCE, **more)
    return answer


def versions() -> dict[str, str]:
    """Of this process's packages, and of Python."""
    found = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for package in COMPARED:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _described(job: Job, dask_worker: Any = None) -> Worker:
    """Run on each worker, which Dask passes."""
    threads = int(dask_worker.state.nthreads)
    session = session_of(job, threads)
    source, begun = session.source, manifest_of(job.chunks)
    return Worker(versions(), session.runtime.device, threads, source.shape, source.stored, begun)


async def _marked(number: str, dask_worker: Any = None) -> None:
    """Give a worker as much of the job's resource as it has threads."""
    from distributed import Status

    await dask_worker.set_resources(**{number: dask_worker.state.nthreads})
    if dask_worker.status == Status.running:
        # It looks for tasks that wait for a worker when one comes, or comes back, but not when one gets a resource.
        dask_worker.status = Status.paused
        dask_worker.status = Status.running


async def _unmarked(number: str, dask_worker: Any = None) -> None:
    await dask_worker.set_resources(**{number: 0})


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
