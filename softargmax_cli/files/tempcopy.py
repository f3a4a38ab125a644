"""Copies of inputs in nameless temporary files, for random access or a second reading.

Two things are copied: the bytes of a pipe, and the numbers of a source whose blocks come in order.
"""

from __future__ import annotations

import json
import shutil
import threading
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import IO, BinaryIO

import numpy as np

from softargmax_cli.errors import disk_errors
from softargmax_cli.files.formats.npy import Header, NpySource
from softargmax_cli.files.source import Source
from softargmax_cli.files.writers.atomic import COPIED, TemporaryFile
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block, Order
from softargmax_cli.reduction.readable import Buffer, Loaded

COPIED_BLOCK = 4 << 20
"""Bytes of numbers copied at a time, if the memory allows it."""
WHAT = "cannot be copied to a temporary file"
REMEDY = "set TMPDIR to a directory with more room, or give the input as an .npy file, which needs no copy"


def copied_stream(stream: BinaryIO, name: str) -> BinaryIO:
    """Return a seekable stream that begins with the bytes of `stream`.

    If that is one already it is returned; a pipe is read to its end and closed. Raises OutputError if there is no room.
    """
    if stream.seekable() and stream.tell() == 0:
        return stream
    with disk_errors(f"{name}: {WHAT}", REMEDY), ExitStack() as files:
        copy = files.enter_context(TemporaryFile())
        shutil.copyfileobj(stream, copy, COPIED)
        copy.seek(0)
        files.pop_all()
    stream.close()
    return copy


def copied(source: Source, memory: int, advance: Callable[[int], None] = lambda nbytes: None) -> Source:
    """Return a source with random access to the same array, and with a known number of rows.

    A source that has it already is returned. `memory` (bytes) bounds the blocks held; `advance` is told the bytes of
    the input as they are copied. Closing the copy closes `source`, but an error here leaves it open. Raises OutputError
    if there is no room, InputError if the input is damaged.
    """
    if not source.sequential:
        return source
    # A block is held up to four times: as text, read, decoded and transposed.
    elements = max(1, min(COPIED_BLOCK, memory // 4) // source.dtype.itemsize)
    buffer, rows = Buffer(), 0
    with disk_errors(f"{source.name}: {WHAT}", REMEDY), ExitStack() as files:
        file = files.enter_context(TemporaryFile())
        names = Names(files.enter_context(TemporaryFile())) if source.has_ids else None
        for block in in_order(source, elements, source.order):
            pending = source.fetch(block)
            if pending is None:
                break
            loaded = pending.load(buffer)
            file.write(np.ravel(loaded.values, source.order).data)
            rows += loaded.values.shape[0] if loaded.values.ndim else 0
            if names is not None:
                # A row that is longer than a block comes in several, each with its name.
                known = 0 if source.shape[0] is None else names.count - block.start[0]
                names.add((loaded.ids or ())[known:])
            advance(pending.nbytes)
        source.watch.check()
        file.seek(0)
        shape = tuple(rows if n is None else n for n in source.shape)
        return Copy(source, shape, file, names, files.pop_all())


def in_order(source: Source, elements: int, order: Order) -> Iterator[Block]:
    """Yield all blocks in an order; in the order of the file, each is contiguous in it."""
    lengths = tuple(n for n in source.shape if n is not None)
    if len(lengths) < len(source.shape):
        return iter(blocks.rows(lengths[0], elements))
    if not lengths:
        return iter((Block((), ()),))
    fastest = len(lengths) - 1 if order == "C" else 0
    return iter(blocks.plan(lengths, (fastest,), order, elements, contiguous=True))


class Names:
    """A long list of texts, kept in a file with a line of JSON for each batch."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._lock, self.count = file, threading.Lock(), 0
        self._firsts: list[int] = []  # the position of the first name of each batch
        self._places: list[int] = []  # where the batch lies in the file

    def add(self, names: Sequence[str]) -> None:
        """Append a batch of names."""
        if names:
            self._firsts.append(self.count)
            self._places.append(self._file.tell())
            self._file.write(json.dumps([*names]).encode() + b"\n")
            self.count += len(names)

    def read(self, positions: range) -> list[str]:
        """Read the names at some positions; once all have been added, any thread may do so."""
        names: list[str] = []
        first, batch = 0, list[str]()
        for at in positions:
            if not first <= at < first + len(batch):
                number = bisect(self._firsts, at) - 1
                with self._lock:
                    self._file.seek(self._places[number])
                    first, batch = self._firsts[number], json.loads(self._file.readline())
            names.append(batch[at - first])
        return names


class Copy(NpySource):
    """A copy of a source: its numbers in native byte order, the names of its rows, and its description."""

    def __init__(
        self, source: Source, shape: tuple[int, ...], file: BinaryIO, names: Names | None, files: ExitStack
    ) -> None:
        super().__init__(file, source.name, Header(shape, source.dtype, source.order))
        self.appear_as(source)
        self.rows = shape[0] if shape else 0
        self.names, self.has_ids = names, names is not None
        self.closes = (file, files, source)

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        loaded = super().read(block, buffer)
        if self.names is None:
            return loaded
        return replace(loaded, ids=self.names.read(range(block.start[0], block.stop[0])))
