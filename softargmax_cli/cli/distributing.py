"""`softargmax run --scheduler ADDRESS` or `--workers N`: the same reduction on a Dask cluster, from store to store."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from softargmax_cli import __version__
from softargmax_cli.arrays.formats import STORE
from softargmax_cli.cli.asking import Asked, naming, spec_of
from softargmax_cli.cli.destinations import Destination
from softargmax_cli.cli.saying import FAILED, say_error, say_note
from softargmax_cli.cli.storing import asked_of, say_stored
from softargmax_cli.errors import OptionError, SoftArgmaxError
from softargmax_cli.report.progress import Progress

if TYPE_CHECKING:
    from distributed import Client

    from softargmax_cli.cluster.job import Job, Worker
    from softargmax_cli.reduction.spec import Spec


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where tasks run."""

    scheduler: str | None
    """Its address, or the file that says it."""
    workers: int | None
    """So many processes of this machine instead."""

    def __post_init__(self) -> None:
        if self.scheduler is not None and self.workers is not None:
            raise OptionError("--scheduler and --workers both say where to run", "give one of them")

    @property
    def wanted(self) -> bool:
        """Whether a cluster is asked for at all."""
        return self.scheduler is not None or self.workers is not None


def distribute(
    names: Sequence[str],
    chosen: Sequence[Destination],
    asked: Asked,
    cluster: Cluster,
    *,
    force: bool,
    resume: bool,
) -> int:
    """Reduce each input on the cluster; 0, or 2 where one of them failed."""
    if any(destination.format != STORE for destination in chosen):
        raise OptionError("a cluster writes Zarr stores alone, each worker its part", "write it with -o NAME.zarr")
    from softargmax_cli.cluster.connecting import connected

    code, spec = 0, spec_of(asked)
    with connected(cluster.scheduler, cluster.workers or 1) as client:
        for name, destination in zip(names, chosen, strict=True):
            try:
                _reduce(client, name, destination.path or "", spec, asked, force, resume, len(names) > 1)
            except SoftArgmaxError as error:
                say_error(error, verbose=asked.verbose)
                code = FAILED
    return code


def _reduce(
    client: Client, name: str, target: str, spec: Spec, asked: Asked, force: bool, resume: bool, several: bool
) -> None:
    from softargmax_cli.api.describing import described
    from softargmax_cli.arrays.opening import open_source
    from softargmax_cli.arrays.remote import is_url
    from softargmax_cli.arrays.sinks.zarrstore import ZarrStore
    from softargmax_cli.cluster.connecting import look_at
    from softargmax_cli.cluster.job import Job
    from softargmax_cli.cluster.running import run as run_job
    from softargmax_cli.reduction.fitting import BOXES
    from softargmax_cli.reduction.result import FIELDS

    with ExitStack() as stack:
        source = stack.enter_context(closing(open_source(name, asked.reading)))
        stack.enter_context(naming(source.name))
        problem = spec.resolve(source.shape, source.dtype, frozenset(FIELDS))
        boxes = BOXES.boxes(source, problem, asked.memory)
        if boxes is None:
            what = "a cluster reads what can be read at any place: Zarr stores, HDF5 and .npy files"
            raise OptionError(f"{source.name}: {what}", "convert it first")
        run, extent = described(source, problem, "cluster"), [boxes.plan.extent[k] for k in problem.kept]
        store = ZarrStore(target, run, extent, asked_of(run, problem, asked.reading), force=force, resume=resume)
        stack.enter_context(store)
        path = name if is_url(name) else os.path.abspath(name)
        number = f"softargmax-{uuid.uuid4().hex}"
        job = Job(
            number,
            __version__,
            path,
            asked.reading,
            source.stored,
            problem,
            boxes.plan,
            asked.memory,
            asked.device,
            store.chunks,
        )
        notes = [*source.notes, *filter(None, [boxes.note(asked.memory)])]
        workers = look_at(client, job)
        if asked.verbose:
            _say_workers(workers, job)
        stream = io.StringIO() if asked.quiet else None
        total = None if source.nbytes is None else source.nbytes * (2 if job.twice else 1)
        with Progress(total, stream) as progress:
            summary = run_job(client, job, store.done, advance=progress.advance, note=notes.append)
        store.commit(summary)
    if not asked.quiet:
        for note in notes:
            say_note(f"{run.input}: {note}")
        say_stored(run, summary, store.resumed, several=several)


def _say_workers(workers: Sequence[Worker], job: Job) -> None:
    threads = sum(worker.threads for worker in workers)
    plan = job.plan
    say_note(f"{len(workers)} workers, {threads} threads; {plan.columns:,} × {plan.parts:,} boxes of {plan.extent}")
    for worker in workers:
        say_note(f"on {worker.device}: {', '.join(f'{name} {version}' for name, version in worker.versions.items())}")
