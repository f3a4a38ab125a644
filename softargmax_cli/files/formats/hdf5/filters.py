"""What the filters of HDF5 have made of a chunk, undone within the chunk's own size.

The library does not compare what a chunk unfolds to with what a chunk takes: where it is less, it hands out the memory
behind it. Here that is an error. Formats: "HDF5 File Format Specification", IV.A.2.l; the library's H5Z*.c and
H5checksum.c.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from softargmax_cli.files.formats.hdf5 import lzf

Bytes = npt.NDArray[np.uint8]

DEFLATE, SHUFFLE, FLETCHER32, LZF = 1, 2, 3, 32000
NAMES = {DEFLATE: "gzip", SHUFFLE: "shuffle", FLETCHER32: "fletcher32", LZF: "lzf"}
"""Of filters that are undone here, as h5py calls them."""
CHECKSUM = 4
"""Bytes of a Fletcher checksum."""
SPARE = 1 << 12
"""Bytes that may be stored of a chunk beside twice its own, which no sound filter comes near."""
PIECE = 64 << 10
"""Bytes that are inflated at a time, which then are still in the cache when they are put in their place."""
ROW, STRETCH = 1 << 12, 1 << 16
"""Words whose sums, weighted by their place, are exact in float64; words that are looked at together."""
WEIGHTS = np.stack([np.ones(ROW), np.arange(ROW, 0, -1)], 1)


class UnsoundError(ValueError):
    """A chunk is not what its filters make of one; `misfit` where the library might not notice."""

    def __init__(self, what: str, *, misfit: bool = False) -> None:
        super().__init__(what)
        self.misfit = misfit


class Step(NamedTuple):
    """A filter to be undone."""

    code: int
    most: int
    """Bytes that it may come to."""
    exact: bool
    """Whether it must come to so many."""


class Filters:
    """Those of a dataset: their codes, in the order in which they were applied; bytes of an element and of a chunk."""

    def __init__(self, applied: Sequence[int], itemsize: int, nbytes: int) -> None:
        self.applied, self.itemsize, self.nbytes = tuple(applied), itemsize, nbytes
        self.most = 2 * nbytes + SPARE
        """Bytes that are stored of a chunk at most."""
        self._steps = cache(self._steps_after)

    def noticing(self, mask: int) -> bool:
        """Whether any filter that was applied to a chunk tells what it has made from other bytes."""
        return any(step.code != SHUFFLE for step in self._steps(mask))

    def undo(self, held: list[Bytes], mask: int) -> Bytes:
        """A chunk from what is stored of it, shape (n,) → (nbytes,); bit k of `mask` says that filter k was left out.

        It is the one entry of `held`, which is taken out. Raises UnsoundError for anything that does not come to a
        chunk, to the byte.
        """
        stored = held.pop()
        for code, most, exact in self._steps(mask):
            if code == DEFLATE:
                stored = inflated(stored, most, exact=exact)
            elif code == LZF:
                stored = _of_lzf(stored, most)
            elif code == FLETCHER32:
                stored = checked(stored)
            else:
                stored = unshuffled(stored, self.itemsize)
        if len(stored) != self.nbytes:
            raise UnsoundError(f"it comes to {len(stored):,} of {self.nbytes:,} bytes", misfit=True)
        return stored

    def _steps_after(self, mask: int) -> list[Step]:
        """The last filter first, of those that were applied."""
        left, steps = [code for number, code in enumerate(self.applied) if not mask >> number & 1], []
        while left:
            code = left.pop()
            packed = DEFLATE in left or LZF in left
            most = self.most if packed else self.nbytes + CHECKSUM * left.count(FLETCHER32)
            steps.append(Step(code, most, exact=not packed))
        return steps


def inflated(packed: Bytes, most: int, *, exact: bool) -> Bytes:
    """What one zlib stream unfolds to, `most` bytes or fewer; `exact`: it should be so many."""
    unfolding, size = zlib.decompressobj(), 0
    out = np.empty(most if len(packed) > PIECE else 0, np.uint8)
    try:
        for start in range(0, len(packed), PIECE):
            part = np.frombuffer(unfolding.decompress(packed[start : start + PIECE].data, most - size + 1), np.uint8)
            if size + len(part) > most:
                raise UnsoundError(f"it unfolds to more than {most:,} bytes", misfit=True)
            if len(packed) <= PIECE:
                out = part
            else:
                out[size : size + len(part)] = part
            size += len(part)
            if unfolding.eof and (unfolding.unused_data or start + PIECE < len(packed)):
                raise UnsoundError("bytes follow its compressed data", misfit=True)
    except zlib.error as error:
        raise UnsoundError(f"zlib: {str(error).partition(': ')[2] or error}") from None
    if not unfolding.eof:
        raise UnsoundError("its compressed data are cut off")
    if exact and size < most:
        raise UnsoundError(f"it unfolds to {size:,} of {most:,} bytes", misfit=True)
    return out[:size]


def _of_lzf(packed: Bytes, most: int) -> Bytes:
    out = lzf.unfolded(packed.data, most)
    if out is None:
        raise UnsoundError(f"it is no LZF, or unfolds to more than {most:,} bytes")
    return out


def checked(summed: Bytes) -> Bytes:
    """What precedes a checksum, which must be that of it."""
    if len(summed) < CHECKSUM:
        raise UnsoundError("it ends before its checksum", misfit=True)
    content, told = summed[:-CHECKSUM], int.from_bytes(summed[-CHECKSUM:].data, "little")
    found = fletcher32(content)
    swapped = (found & 0xFF00FF) << 8 | found >> 8 & 0xFF00FF  # as HDF5 1.6.2 and older wrote on little-endian machines
    if told not in (found, swapped):
        raise UnsoundError("its checksum is not that of its bytes")
    return content


def fletcher32(content: Bytes) -> int:
    """The library's Fletcher checksum: of big-endian words, modulo 65535, the last one filled up with 0."""
    words = content[: len(content) & -2].view(">u2")
    head = len(words) % ROW
    pieces = [words[:head].reshape(1, -1)] if head else []
    pieces += [words[k : k + STRETCH].reshape(-1, ROW) for k in range(head, len(words), STRETCH)]
    total = weighted = 0  # of the words so far; of each times how many follow it, and itself
    for piece in pieces:
        width = piece.shape[1]
        for once, more in (piece.astype(np.float64) @ WEIGHTS[-width:]).tolist():
            weighted += total * width + int(more)
            total += int(once)
    if len(content) % 2:
        total += int(content[-1]) << 8
        weighted += total
    return _folded(weighted) << 16 | _folded(total)


def _folded(total: int) -> int:
    """A sum, as adding its halves leaves it: never 0 where it is not."""
    return (total - 1) % 0xFFFF + 1 if total else 0


def unshuffled(planes: Bytes, size: int) -> Bytes:
    """Elements of `size` bytes from their first bytes, their second bytes, and so on; what is left over comes last."""
    count = len(planes) // size
    if size == 1 or count < 2:
        return planes
    if len(planes) < PIECE and len(planes) % size == 0:
        return np.ravel(planes.reshape(size, count).T)
    out = np.empty(len(planes), np.uint8)
    elements, whole = out[: count * size].reshape(count, size), planes[: count * size].reshape(size, count)
    for place in range(size):  # plane by plane, three times as fast as all at once
        elements[:, place] = whole[place]
    out[count * size :] = planes[count * size :]
    return out
