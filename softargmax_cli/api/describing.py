"""What is known of a reduction before its first slice."""

from __future__ import annotations

from typing import Any

from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import Source
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.result import Run


def described(source: Source, problem: Problem, device: str) -> Run:
    """The heading of a table, the head of a document."""
    last = len(source.shape) - 1
    names_of_rows, names_of_columns = source.has_ids, source.labels is not None
    return Run(
        input=source.name,
        shape=source.shape,
        dtype=source.stored,
        axes=problem.axes,
        beta=problem.beta,
        device=device,
        kind=problem.kind,
        coords=problem.coords,
        window=problem.window,
        epsilon=1e-6 if problem.precision.itemsize == 4 else 1e-11,
        steps=tuple(problem.along(axis).step(problem.shape[axis] or 1) for axis in problem.axes),
        has_ids=(problem.keeps_rows and names_of_rows) or (problem.keeps_columns and names_of_columns),
        labels=source.labels if problem.axes == (last,) else None,
    )


def asked_of(run: Run, problem: Problem, reading: Reading, version: str) -> dict[str, Any]:
    """What is asked of an input, as a store's attributes say it: what must be the same for a run to be gone on with.

    version: of softargmax.
    """
    import hashlib  # which takes a hundredth of a short run to load

    digest = hashlib.sha256()
    for places in problem.values or ():
        digest.update(places.tobytes())
    return {
        "version": version,
        "input": run.input,
        "select": None if reading.select is None else str(reading.select),
        "shape": list(run.known_shape),
        "dtype": run.dtype,
        "axis": list(problem.axes),
        "kind": problem.kind,
        "beta": problem.beta,
        "coords": run.coords,
        "values": None if problem.values is None else f"sha256:{digest.hexdigest()}",
        "window": problem.window,
        "nan": problem.nan,
        "precision": problem.precision.name,
    }
