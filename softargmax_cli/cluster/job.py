"""What travels between the client and the workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from softargmax_cli.files.reading import Reading
from softargmax_cli.files.writers.zarrstore import Chunks
from softargmax_cli.reduction.blocks import Plan
from softargmax_cli.reduction.lookalike import Lookalike
from softargmax_cli.reduction.mapping import Misfit
from softargmax_cli.reduction.result import Summary
from softargmax_cli.reduction.spec import Problem
from softargmax_cli.reduction.state import State


@dataclass(frozen=True, slots=True)
class Job:
    """One input and what is asked of it; sent to each worker once."""

    number: str
    """Of this job and no other; also the topic under which workers say how far they are."""
    version: str
    """Of softargmax, which workers must have, too."""
    input: str
    """A path or a URL, by which every worker finds it."""
    reading: Reading
    dtype: str
    """Of the input, as the client sees it."""
    problem: Problem
    plan: Plan
    memory: int
    """Bytes, of each worker."""
    device: str
    chunks: Chunks

    @property
    def twice(self) -> bool:
        """Whether boxes are read a second time, when the maximum of their slices is known."""
        return self.problem.looks_back and self.plan.parts > 1


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of a column of slices, from some of its boxes."""

    column: int
    state: State | None
    """None where the boxes had nothing to say."""
    misfits: tuple[Misfit, ...] = ()
    """With positions in the whole array."""
    careful: bool = False
    """Whether NaN or infinities were found."""
    lookalike: Lookalike = field(default_factory=Lookalike)
    """What scores look like."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the client is told of a column whose results are in the store, or may not go there."""

    column: int
    summary: Summary
    misfits: tuple[Misfit, ...]
    lacking: int
    """Slices that should have an answer and have none."""
    first_lacking: int
    lookalike: Lookalike


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker says of itself."""

    versions: dict[str, str]
    device: str
    threads: int
    shape: tuple[int | None, ...]
    dtype: str
    """Of the input, as the worker sees it."""
    begun: Any
    """What it finds where the results are to go."""
