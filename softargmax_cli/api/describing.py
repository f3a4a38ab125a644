"""What is known of a reduction before its first slice."""

from __future__ import annotations

from softargmax_cli.arrays.source import Source
from softargmax_cli.reduction.result import Run
from softargmax_cli.reduction.spec import Problem


def described(source: Source, problem: Problem, device: str) -> Run:
    """The heading of a table, the head of a document."""
    last = len(source.shape) - 1
    return Run(
        input=source.name,
        shape=source.shape,
        dtype=source.stored,
        axes=problem.axes,
        beta=problem.beta,
        device=device,
        kind=problem.kind,
        coords=problem.coords if problem.values is None else "values",
        window=problem.window,
        has_ids=source.labels is not None if problem.kept == (last,) else source.has_ids,
        labels=source.labels if problem.axes == (last,) else None,
    )
