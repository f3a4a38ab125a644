"""What goes to a worker thread of the stream, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass

from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.mapping import Misfit
from softargmax_cli.reduction.readable import Pending
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.state import State


@dataclass(frozen=True, slots=True)
class Task:
    """A block to be reduced."""

    block: Block
    pending: Pending
    compiled: bool
    first: bool = False
    known: State | None = None
    """The maximum of its slices and where that is, when it is read for the second time."""


@dataclass(frozen=True, slots=True)
class Part:
    """A block after its reduction."""

    block: Block
    nbytes: int
    rows: int
    """Along the first axis, of which only the file may know how many there are."""
    misfit: Misfit | None = None
    state: State | None = None
    """Where other blocks hold the rest of the slices."""
    slices: Slices | None = None
    """Where the block holds whole slices."""
    lookalike: bool = False
    """Whether the scores look like ready-made weights."""
