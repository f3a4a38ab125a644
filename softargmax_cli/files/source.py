"""An open input, as the reduction sees it: a shape, a dtype, and blocks read one at a time.

Reading has two halves, so that files can be read in order while blocks are decoded in parallel:
`Source.fetch` is called for one block after the other by a single thread and does only what must
happen in order; the `Pending` it returns is loaded by any thread.
"""

from __future__ import annotations

import errno
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from softargmax_cli.errors import InputError, SoftArgmaxError, naming
from softargmax_cli.files.streams import Watch
from softargmax_cli.reduction.blocks import Block, Order
from softargmax_cli.reduction.readable import Buffer, Loaded, Pending

COPY_AGAIN = "copy the file again, or write it again"
"""Advice for damaged files."""


@dataclass(frozen=True, slots=True)
class Member:
    """An array of a file that holds several."""

    name: str
    shape: tuple[int, ...] | None
    """None if it cannot be read."""
    dtype: str
    why_not: str = ""
    """The reason why it cannot be read as real numbers, if so."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Properties of a file that `inspect` reports beside its shape and dtype."""

    format: str = ""
    """"npy", "csv", "csv.gz"."""
    version: str | None = None
    """The version of the format, if files state it."""
    delimiter: str | None = None
    header: Sequence[str] | None = None
    """Titles of a table's columns, that of the names of rows included."""
    id_column: str | int | None = None
    """Title or number (from 1) of the column of names."""
    columns: str | None = None
    """The columns of scores, as --columns takes them, if the file alone does not determine them."""
    members: Sequence[Member] = ()
    """Named arrays of the file, if `Reading.inspected` asks for them."""
    chunks: tuple[int, ...] | None = None
    shards: tuple[int, ...] | None = None
    """The lengths of the boxes of chunks that are stored as one object."""
    codecs: Sequence[str] = ()
    """Compressors and filters of a chunk, in the order in which they were applied."""


class Source(ABC):
    """An open input. Attributes are set by the time the constructor returns."""

    name: str
    """Name as the user gave it; "<stdin>" for "-"."""
    kind = "file"
    """The format as errors call it, "HDF5 file"; set by `open_source`."""
    shape: tuple[int | None, ...]
    """None for the first axis of a table whose length is known only at its end."""
    dtype: np.dtype[Any]
    """Dtype of `Loaded.values`, in native byte order."""
    stored: str
    """The file's own dtype, as a person reads it: "float32", ">f8"."""
    order: Order = "C"
    """The axis that is contiguous in the file: the last (C) or the first (F)."""
    chunks: tuple[int, ...] | None = None
    """The lengths of the boxes that are stored and decoded as a whole; None if any block reads equally well."""
    sequential: bool = False
    """True if blocks must be contiguous in the file and fetched in its order; else any thread may fetch any."""
    nbytes: int | None = None
    """The number of bytes to read; None if it is unknown."""
    labels: Sequence[str] | None = None
    """Names of the positions along the last axis, as the class names of a CSV header."""
    has_ids: bool = False
    """True if the positions along the first axis have names (`Loaded.ids`)."""
    rows: int = 0
    """The number of rows loaded so far, if the length of the first axis is unknown."""
    notes: tuple[str, ...] = ()
    """Remarks for the user on a file that can be read all the same."""
    facts: Facts = Facts()
    watch: Watch = Watch("-")
    """Checks that a file is unchanged since it was opened; set by `open_source`."""
    closes: Sequence[Any] = ()
    """Objects that are closed with the source: streams, files of libraries, other sources."""
    closed: bool = False

    def appear_as(self, other: Source) -> None:
        """Take over the description of another source, which holds the same numbers, or more."""
        for attribute in ("name", "dtype", "stored", "order", "labels", "notes", "facts", "watch"):
            setattr(self, attribute, getattr(other, attribute))

    def missing(self) -> Sequence[str]:
        """Locate the first NaNs that were loaded, ten at most; none if their indices are location enough."""
        return ()

    @abstractmethod
    def fetch(self, block: Block) -> Pending | None:
        """Read the next block as far as order requires; None past the end of a table. InputError when closed."""

    def close(self) -> None:
        """Close the file; a later read raises InputError."""
        self.closed = True
        for each in self.closes:
            each.close()

    def check_open(self) -> None:
        """Raise InputError after `close`: a descriptor may be another file's by then."""
        if self.closed:
            raise InputError(f"{self.name}: closed, so nothing can be read from it", "open it again")

    @contextmanager
    def reads(self) -> Iterator[None]:
        """Raise InputError if the source is closed, and for anything that a library raises while it reads."""
        self.check_open()
        with parsing(self.name, self.kind):
            yield


class BoxSource(Source):
    """A source of which any thread may read any box."""

    def fetch(self, block: Block) -> Pending:
        """Return the box unread; the thread that loads it reads it."""
        self.check_open()
        return Pending(math.prod(block.shape) * self.dtype.itemsize, partial(self._load, block))

    def _load(self, block: Block, buffer: Buffer) -> Loaded:
        with self.reads():
            return self.read(block, buffer)

    @abstractmethod
    def read(self, block: Block, buffer: Buffer) -> Loaded:
        """Read the values of a box; they may lie in `buffer`."""


@contextmanager
def parsing(name: str, kind: str) -> Iterator[None]:
    """Turn anything that a parser of `kind` raises for a damaged file into an InputError that names the file."""
    try:
        with naming(name):
            yield
    except (SoftArgmaxError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # of the disk, not the content
            remedy = "is its disk, or the network, still there?"
            raise InputError(f"cannot be read: {error.strerror}", remedy, name) from error
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:150]
        raise InputError(f"damaged, or no {kind}: {first}", COPY_AGAIN, name) from error
