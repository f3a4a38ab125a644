"""`softargmax run --scheduler ADDRESS` or `--workers N`: the same reduction on a Dask cluster, from store to store."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from softargmax_cli import __version__
from softargmax_cli.cli.asking import Asked, spec_of
from softargmax_cli.cli.destinations import Destination
from softargmax_cli.cli.saying import FAILED, say_error, say_note
from softargmax_cli.cli.signals import before_ending
from softargmax_cli.cli.storing import say_stored
from softargmax_cli.errors import OptionError, SoftArgmaxError, naming
from softargmax_cli.files.writers import STORE
from softargmax_cli.report.progress import Progress

if TYPE_CHECKING:
    from softargmax_cli.cluster.reducing import Distribution


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
    from softargmax_cli.cluster.connecting import connected, end_processes

    code, several, spec = 0, len(names) > 1, spec_of(asked)
    with before_ending(end_processes), connected(cluster.scheduler, cluster.workers or 1) as client:
        from softargmax_cli.cluster.reducing import Distribution, Wanted  # which needs Dask, that is there now

        wanted = Wanted(spec, asked.reading, asked.memory, asked.device, __version__)
        for name, destination in zip(names, chosen, strict=True):
            try:
                with Distribution(client, name, destination.path or "", wanted, force=force, resume=resume) as work:
                    _carry_out(work, asked, several=several)
            except SoftArgmaxError as error:
                say_error(error, verbose=asked.verbose)
                code = FAILED
    return code


def _carry_out(work: Distribution, asked: Asked, *, several: bool) -> None:
    """Reduce one input, and say what there is to be said."""
    if asked.verbose:
        say_note(f"{work.name}: {work}")
    stream = io.StringIO() if asked.quiet else None
    with naming(work.name), Progress(work.nbytes, stream) as progress:
        summary = work.reduce(progress.advance)
    if not asked.quiet:
        for note in work.notes:
            say_note(f"{work.name}: {note}")
        say_stored(work.run, summary, work.resumed, several=several)
