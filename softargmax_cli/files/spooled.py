"""A copy of what can be read only once, for a reduction that must read its input twice.

The copy lies in a temporary file that has no name, so that no crash leaves it behind; TMPDIR says where.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, BinaryIO, cast

import numpy as np

from softargmax_cli.errors import OutputError
from softargmax_cli.files.formats.npy import Header, NpySource
from softargmax_cli.files.source import Source
from softargmax_cli.files.watching import watching
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.buffer import Buffer

BLOCK = 4 << 20
"""Bytes copied at a time, where memory allows."""
REMEDY = "set TMPDIR to a directory with more room, or give the input as an .npy file, which needs no copy"


def spooled(source: Source, memory: int, advance: Callable[[int], None] = lambda nbytes: None) -> Source:
    """The same array as a source that reads any block at any time; a table's number of rows is known.

    A source that can do so already is returned as it is. `memory` (bytes) bounds the blocks held; `advance` is told
    how many bytes of the input are copied. Closing the copy closes `source`, which otherwise stays the caller's:
    where this raises, too. Names of rows are not kept, those of columns are. Raises OutputError where the copy finds
    no room, InputError where the input is not what it seemed.
    """
    if not source.sequential:
        return source
    with blaming(source.name):
        file = tempfile.TemporaryFile("w+b", 1 << 18)  # noqa: SIM115
    try:
        notes = [*source.notes]
        with watching(source.watch, notes):
            rows = _copied(source, file, memory, advance)
        source.notes = tuple(notes)
        return SpooledSource(source, tuple(rows if n is None else n for n in source.shape), cast(BinaryIO, file))
    except BaseException:
        with contextlib.suppress(OSError):  # what could not be written is not wanted any more
            file.close()
        raise


def _copied(source: Source, file: IO[bytes], memory: int, advance: Callable[[int], None]) -> int:
    """Write all values to `file`, in the order of `source`, and rewind it; the number of a table's rows."""
    # A block is there up to four times: read, decoded, turned and, as text, before all that.
    elements = max(1, min(BLOCK, memory // 4) // source.dtype.itemsize)
    rows, buffer = 0, Buffer()
    for block in in_file_order(source, elements):
        pending = source.fetch(block)
        if pending is None:
            break
        values = pending.load(buffer).values
        with blaming(source.name):
            file.write(np.ravel(values, source.order).data)
        rows += values.shape[0] if values.ndim else 0
        advance(pending.nbytes)
    with blaming(source.name):
        file.seek(0)  # which writes what the file object still holds
    return rows


def in_file_order(source: Source, elements: int) -> Iterator[Block]:
    """Blocks that are one stretch of the file each, and follow each other in it."""
    lengths = tuple(n for n in source.shape if n is not None)
    if len(lengths) < len(source.shape):
        return blocks.rows(lengths[0], elements)
    if not lengths:
        return iter((Block((), ()),))
    fastest = len(lengths) - 1 if source.order == "C" else 0
    return iter(blocks.plan(lengths, (fastest,), source.order, elements, contiguous=True))


class SpooledSource(NpySource):
    """The copy: bare values in native byte order, `source`'s other properties."""

    def __init__(self, source: Source, shape: tuple[int, ...], file: BinaryIO) -> None:
        super().__init__(file, source.name, Header(shape, source.dtype, source.order, 0))
        self.appear_as(source)
        self.rows = shape[0] if shape else 0
        self._copied = source

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._copied.close()


@contextlib.contextmanager
def blaming(name: str) -> Iterator[None]:
    """Turn the system's refusals into OutputErrors that say what was written, and where."""
    try:
        yield
    except OSError as error:
        # Not gettempdir(): what is refused may be just that.
        place = f"a temporary file in {tempfile.tempdir}" if tempfile.tempdir else "a temporary file"
        what = f"{name}: cannot be copied to {place}: {error.strerror or error}"
        raise OutputError(what, REMEDY) from error
