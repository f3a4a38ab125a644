"""One input to one store on a cluster: what is settled before the first task, and where the results end up."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from softargmax_cli.api.describing import asked_of, described
from softargmax_cli.cluster.crew import Crew
from softargmax_cli.cluster.job import Job
from softargmax_cli.cluster.running import run
from softargmax_cli.errors import OptionError, naming
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.remote import is_url
from softargmax_cli.files.writers.zarrstore import ZarrStore
from softargmax_cli.reduction.fields import NAMES
from softargmax_cli.reduction.fitting import BOXES
from softargmax_cli.reduction.result import Summary
from softargmax_cli.reduction.spec import Spec

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of every input."""

    spec: Spec
    reading: Reading
    memory: int
    """Bytes, of each worker."""
    device: str
    version: str
    """Of softargmax."""


class Distribution:
    """An input on its way to `target`, a store that is there as a whole when `reduce` returns, or can be gone on with.

    Raises what opening either raises; OptionError where the input cannot be read at any place; and as `Crew`.
    """

    def __init__(
        self, client: Client, name: str, target: str, wanted: Wanted, *, force: bool = False, resume: bool = False
    ) -> None:
        self._client, self._open = client, ExitStack()
        with ExitStack() as undo:
            undo.callback(self._open.close)
            source = self._open.enter_context(closing(open_source(name, wanted.reading)))
            self.name = source.name
            undo.enter_context(naming(source.name))
            problem = wanted.spec.resolve(source.shape, source.dtype, frozenset(NAMES))
            boxes = BOXES.boxes(source, problem, wanted.memory)
            if boxes is None:
                what = "a cluster reads what can be read at any place: Zarr stores, HDF5 and .npy files"
                raise OptionError(what, "convert it first")
            self.run = described(source, problem, "cluster")
            extent = [boxes.plan.extent[k] for k in problem.kept]
            asked = asked_of(self.run, problem, wanted.reading, wanted.version)
            self._store = ZarrStore(target, self.run, extent, asked, force=force, resume=resume)
            self._open.enter_context(self._store)
            self._job = Job(
                f"softargmax-{uuid.uuid4().hex}",
                wanted.version,
                name if is_url(name) else os.path.abspath(name),
                wanted.reading,
                source.stored,
                problem,
                boxes.plan,
                wanted.memory,
                wanted.device,
                self._store.chunks,
            )
            self.notes = [*source.notes, *filter(None, [boxes.note(wanted.memory)])]
            self.nbytes = None if source.nbytes is None else source.nbytes * (2 if self._job.twice else 1)
            self.crew = Crew(client, self._job)
            most = max((worker.threads for worker in self.crew.members.values()), default=1)
            if (held := boxes.threads(most, wanted.memory)) < most:
                self.notes.append(
                    f"workers have {most} threads each, and --memory lets them hold {held} boxes at a time"
                )
            self.notes += filter(None, [self.crew.note])
            undo.pop_all()

    @property
    def resumed(self) -> int:
        """How many chunks of results were there already."""
        return self._store.resumed

    def __str__(self) -> str:
        """What is to be done, in one line."""
        plan = self._job.plan
        boxes = plan.columns * plan.parts
        return f"{boxes:,} box{'' if boxes == 1 else 'es'} of {' × '.join(map(str, plan.extent))}; {self.crew}"

    def reduce(self, advance: Callable[[int], None]) -> Summary:
        """The summary of all slices, whose results are in the store; raises as `running.run`."""
        done, notes = self._store.done, self.notes
        summary = run(self._client, self._job, self.crew, done, advance=advance, note=notes.append)
        self._store.commit(summary)
        return summary

    def __enter__(self) -> Distribution:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)
