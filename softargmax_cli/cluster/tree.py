"""The reduction as a graph of Dask arrays: blocks are not numbers, but places, then parts, then reports."""

from __future__ import annotations

from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np

from softargmax_cli.cluster import tasks
from softargmax_cli.cluster.job import Job
from softargmax_cli.reduction.boxes import FAN_IN

META = np.empty((0, 0), object)


def kept(value: Any, name: str) -> Any:
    """A value that tasks share: one key of the graph, which Dask can make again where a worker took it along."""
    return dask.delayed(value, name=name, pure=True, traverse=False)


def reports(job: Job, shared: Any, columns: range) -> Any:
    """The reports of some columns of slices: a dask array of as many blocks, one for each.

    shared: the job, as `kept` gives it. Its boxes become parts, parts are merged `FAN_IN` at a time, as one machine
    does it; where a second pass is needed, what the first found meets the boxes once more.
    """
    name = f"{job.number}-{columns.start}"
    ones, parts = (1,) * len(columns), (1,) * job.plan.parts
    shape = {"chunks": (ones, parts), "dtype": object, "meta": META}
    at = da.map_blocks(tasks.place, first=columns.start, name=f"place-{name}", **shape)
    if job.plan.parts == 1:
        return da.map_blocks(tasks.answered, at, job=shared, name=f"box-{name}", **shape)
    mapped = da.map_blocks(tasks.reduced, at, job=shared, name=f"box-{name}", **shape)
    found = _tree(mapped, partial(_without_axes, tasks.merged, beta=job.problem.beta), f"merge-{name}")
    ends = {**shape, "chunks": (ones, (1,))}
    if not job.twice:
        return da.map_blocks(tasks.written, found, job=shared, name=f"write-{name}", **ends)
    again = da.map_blocks(tasks.about, found, at, job=shared, name=f"again-{name}", **shape)
    sums = _tree(again, partial(_without_axes, tasks.summed), f"add-{name}")
    return da.map_blocks(tasks.completed, found, sums, job=shared, name=f"write-{name}", **ends)


def rereports(job: Job, shared: Any, columns: range) -> Any:
    """The same of columns whose results are in the store."""
    name = f"{job.number}-{columns.start}"
    ends = {"chunks": ((1,) * len(columns), (1,)), "dtype": object, "meta": META}
    at = da.map_blocks(tasks.place, first=columns.start, name=f"place-{name}", **ends)
    return da.map_blocks(tasks.read_again, at, job=shared, name=f"read-{name}", **ends)


def _tree(parts: Any, both: Any, name: str) -> Any:
    return da.reduction(
        parts,
        chunk=_same,
        combine=both,
        aggregate=both,
        axis=1,
        keepdims=True,
        dtype=object,
        split_every=FAN_IN,
        concatenate=False,
        name=name,
        meta=META,
    )


def _same(part: Any, axis: Any, keepdims: bool) -> Any:
    """A part is what a chunk of a Dask reduction becomes; it is one already."""
    return part


def _without_axes(both: Any, parts: Any, axis: Any, keepdims: bool, **more: Any) -> Any:
    return both(parts, **more)
