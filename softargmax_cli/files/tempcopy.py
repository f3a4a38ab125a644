"""Copies of what can be read only once, in nameless temporary files, for those who must read at any place or again.

Two things are copied: the bytes of a pipe, where its format or a second reading asks for it, and the numbers of a
source whose blocks come in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import BinaryIO, cast

import numpy as np

from softargmax_cli.files.formats.npy import Header, NpySource
from softargmax_cli.files.source import Loaded, Source
from softargmax_cli.files.streams import refusals, watching
from softargmax_cli.files.temporary import PIECE, Names, Scratch
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block, Order
from softargmax_cli.reduction.readable import Buffer

BLOCK = 4 << 20
"""Bytes of numbers copied at a time, where memory allows."""
REMEDY = "set TMPDIR to a directory with more room, or give the input as an .npy file, which needs no copy"


def _scratch(name: str) -> Scratch:
    return Scratch(what=f"{name}: cannot be copied to ", remedy=REMEDY)


def copied_stream(stream: BinaryIO, name: str) -> BinaryIO:
    """Return the same bytes as a file that can be read at any place, and begins with them.

    A stream that is such a file is returned as it is. A pipe is read to its end and closed. Raises OutputError where
    the copy finds no room.
    """
    if stream.seekable() and stream.tell() == 0:
        return stream
    with ExitStack() as undo:
        copy = _scratch(name)
        undo.callback(copy.close)
        while True:
            with refusals(name):
                piece = stream.read(PIECE)
            if not piece:
                break
            copy.write(piece)
        copy.seek(0)
        undo.pop_all()
    stream.close()
    return cast(BinaryIO, copy.file)


def copied(source: Source, memory: int, advance: Callable[[int], None] = lambda nbytes: None) -> Source:
    """Return the same array as a source that reads any block at any time; a table's number of rows is known.

    A source that can do so already is returned as it is. `memory` (bytes) bounds the blocks held; `advance` is told
    how many bytes of the input are copied. Closing the copy closes `source`, which otherwise stays the caller's, where
    this raises, too. Raises OutputError where the copy finds no room, InputError where the input is not what it seemed.
    """
    if not source.sequential:
        return source
    # A block is there up to four times: read, decoded, turned and, as text, before all that.
    elements = max(1, min(BLOCK, memory // 4) // source.dtype.itemsize)
    notes, buffer, rows = [*source.notes], Buffer(), 0
    with ExitStack() as undo:
        scratch, names = _scratch(source.name), Names() if source.has_ids else None
        undo.callback(scratch.close)
        if names is not None:
            undo.callback(names.close)
        with watching(source.watch, notes):
            for block in in_order(source, elements, source.order):
                pending = source.fetch(block)
                if pending is None:
                    break
                loaded = pending.load(buffer)
                scratch.write(np.ravel(loaded.values, source.order).data)
                rows += loaded.values.shape[0] if loaded.values.ndim else 0
                if names is not None:
                    # A row that is longer than a block comes in several, with its name in each.
                    known = 0 if source.shape[0] is None else names.count - block.start[0]
                    names.add((loaded.ids or ())[known:])
                advance(pending.nbytes)
        scratch.seek(0)
        source.notes = tuple(notes)
        shape = tuple(rows if n is None else n for n in source.shape)
        undo.pop_all()
        return Copy(source, shape, scratch, names)


def in_order(source: Source, elements: int, order: Order) -> Iterator[Block]:
    """Yield blocks that follow each other in an order; in that of the file, each is one stretch of it."""
    lengths = tuple(n for n in source.shape if n is not None)
    if len(lengths) < len(source.shape):
        return blocks.rows(lengths[0], elements)
    if not lengths:
        return iter((Block((), ()),))
    fastest = len(lengths) - 1 if order == "C" else 0
    return iter(blocks.plan(lengths, (fastest,), order, elements, contiguous=True))


class Copy(NpySource):
    """The numbers of a source in native byte order, and the names of its rows; else it is like the source."""

    def __init__(self, source: Source, shape: tuple[int, ...], scratch: Scratch, names: Names | None) -> None:
        super().__init__(cast(BinaryIO, scratch.file), source.name, Header(shape, source.dtype, source.order, 0))
        self.appear_as(source)
        self.rows = shape[0] if shape else 0
        self.names, self.has_ids = names, names is not None
        self._copied = source

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        loaded = super().read(block, buffer)
        if self.names is None:
            return loaded
        return replace(loaded, ids=self.names.read(range(block.start[0], block.stop[0])))

    def close(self) -> None:
        with ExitStack() as closing:
            closing.callback(self._copied.close)
            if self.names is not None:
                closing.callback(self.names.close)
            closing.callback(super().close)
