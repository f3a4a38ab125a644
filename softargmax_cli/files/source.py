"""What every input looks like to the reduction: a shape, a dtype, and blocks read one at a time.

Reading has two halves, so that files can be read in order while blocks are decoded in parallel:
`Source.fetch` is called for one block after the other by a single thread and does only what must
happen in order; the `Pending` it returns is loaded by any thread.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from softargmax_cli.files.watching import Watch
from softargmax_cli.reduction.blocks import Block, Order
from softargmax_cli.reduction.buffer import Buffer


@dataclass(frozen=True, slots=True)
class Loaded:
    """A block's values, shaped as the block along every axis, in any memory order, native byte order.

    A table of unknown length may return fewer or more rows than the block asked for.
    """

    values: npt.NDArray[Any]
    ids: Sequence[str] | None = None
    """The name of each row, where the file has a column of names."""


@dataclass(frozen=True, slots=True)
class Member:
    """An array of a file that holds several."""

    name: str
    shape: tuple[int, ...] | None
    """None where the file does not say it soundly."""
    dtype: str


class Pending(Protocol):
    """A block that has been fetched and not yet decoded."""

    @property
    def nbytes(self) -> int:
        """How far it moves the reader through the file, in bytes, for the progress bar."""

    def load(self, buffer: Buffer) -> Loaded:
        """The values; they may lie in `buffer`. Called once, by any thread."""


class Source(ABC):
    """An open input. Attributes are set by the time the constructor returns."""

    name: str
    """As the user named it; "<stdin>" for "-"."""
    shape: tuple[int | None, ...]
    """None for the first axis of a table, whose length only its end tells."""
    dtype: np.dtype[Any]
    """Of what `Loaded.values` holds, in native byte order."""
    stored: str
    """The file's own dtype, as a person reads it: "float32", ">f8"."""
    format: str = ""
    """What a file is: "npy", "csv", "csv.gz"."""
    version: str | None = None
    """Of the format, where files say it."""
    order: Order = "C"
    """Which axis is contiguous in the file: the last (C) or the first (F)."""
    chunks: tuple[int, ...] | None = None
    """Lengths of the boxes that are stored, and decoded, each as a whole; None where any block is as good to read."""
    shards: tuple[int, ...] | None = None
    """Lengths of the boxes of several chunks that lie in one object, where there are such; best read as a whole."""
    unpacked: int = 0
    """Bytes that are there beside a box while it is read, of chunks that it is only a part of."""
    surplus: int = 0
    """How many more threads than cores keep these busy, as threads that load blocks wait for others meanwhile."""
    codecs: Sequence[str] = ()
    """What a chunk goes through when it is stored, but for its bytes' order."""
    sequential: bool = False
    """Whether blocks must be contiguous in the file, and fetched in file order; else any thread may fetch any."""
    nbytes: int | None = None
    """Bytes to read in all; None where the end is not known."""
    labels: Sequence[str] | None = None
    """Names of the positions along the last axis, as the class names of a CSV header."""
    has_ids: bool = False
    """Whether the positions along the first axis have names (`Loaded.ids`)."""

    rows: int = 0
    """How many rows have been loaded, where the first axis has no known length."""
    notes: tuple[str, ...] = ()
    """What the user should know of the file, though it can be read."""
    watch: Watch | None = None
    """Tells whether a file is still what it was when it was opened; set by `open_source`."""

    delimiter: str | None = None
    """Between the cells of text."""
    header: Sequence[str] | None = None
    """The names of a table's columns, that of the names of rows included."""
    id_column: str | int | None = None
    """The column of these, as --id-column takes it."""
    members: Sequence[Member] = ()
    """The arrays of the file, where it holds them by name and it was asked what it holds."""

    def appear_as(self, other: Source) -> None:
        """Take over what people are told of another source, which holds the same numbers, or more."""
        for attribute in _SHOWN:
            setattr(self, attribute, getattr(other, attribute))

    @abstractmethod
    def fetch(self, block: Block) -> Pending | None:
        """The next block, read as far as order requires; None past the end of a table."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file."""


_SHOWN = (
    *("name", "dtype", "stored", "format", "version", "order", "labels", "notes", "codecs"),
    *("delimiter", "header", "id_column", "members"),
)


class BoxReader(Protocol):
    """A source of which any thread may read any box."""

    dtype: np.dtype[Any]

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        """The values of a box."""


@dataclass(frozen=True, slots=True)
class BoxPending:
    """A box that is read by the thread that wants it."""

    source: BoxReader
    block: Block

    @property
    def nbytes(self) -> int:
        return math.prod(self.block.shape) * self.source.dtype.itemsize

    def load(self, buffer: Buffer) -> Loaded:
        return self.source.read(self.block, buffer)
