"""A dataset of real numbers, as its file describes it: what can be trusted of that, and what must be compared first.

The library knows no threads. h5py has a lock around it, `phil`, but not around the functions for single chunks; while
one of these reads from a Python stream, other threads would go on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.hdf5.filters import DEFLATE, NAMES, SHUFFLE, Bytes, Filters
from softargmax_cli.files.formats.npy import native_dtype
from softargmax_cli.files.gridded import Array
from softargmax_cli.files.members import damaged
from softargmax_cli.reduction.blocks import Block

LARGEST_CHUNK = 256 << 20
"""Bytes of a chunk, which is unpacked as a whole."""
SIZES = frozenset((1, 2, 4, 8, 12, 16))
"""Bytes of a number: those of NumPy's and, of extended floats, other machines'."""
NBIT, SCALEOFFSET = 5, 6
"""Filters that are told by a third value how many numbers a chunk has, by a fifth of which size, and trust it."""
REMEDY = "copy the file again, or write it again"


def damage(name: str) -> AbstractContextManager[None]:
    """Turn what h5py raises at a file that is not sound into an InputError that names it."""
    many = (OSError, RuntimeError, LookupError, ValueError, TypeError, OverflowError, AttributeError)
    return damaged(name, "HDF5", *many)


class Dataset:
    """Raises InputError for what holds no real numbers, lies in other files, or says what cannot be so."""

    def __init__(self, dataset: Any, name: str) -> None:
        self.name, self._dataset = name, dataset
        with damage(name):
            self._describe(dataset)

    def _describe(self, dataset: Any) -> None:
        import h5py
        from h5py._objects import phil

        name = self.name
        if dataset.is_virtual or dataset.external:
            what = "its numbers lie in other files, which are not opened"
            raise InputError(f"{name}: {what}", "copy them into one file, as with h5repack")
        if dataset.shape is None:
            raise InputError(f"{name}: an empty dataset, without a shape", "name another, or store numbers in it")
        self._type = dataset.id.get_type()
        dtype = self._numpy_dtype(dataset)
        if dtype.kind not in "biuf":
            described = "structured" if dtype.names else dtype
            held = "objects" if dtype.hasobject else "no real numbers"
            raise InputError(f"{name}: dtype {described} holds {held}", "store real numbers")
        self.shape: tuple[int, ...] = tuple(map(int, dataset.shape))
        self.stored, self.held, self.dtype = str(dtype), dtype.newbyteorder("="), native_dtype(dtype)
        self.nbytes = math.prod(self.shape) * self.dtype.itemsize
        self.chunks: tuple[int, ...] | None = None if dataset.chunks is None else tuple(map(int, dataset.chunks))
        self._as_stored = dtype if self._type.equal(h5py.h5t.py_create(dtype)) else None
        self._id, self._library = dataset.id, phil
        self._check_filters()

    def _numpy_dtype(self, dataset: Any) -> np.dtype[Any]:
        """What h5py makes of the type, which may be one that only HDF5 has. Raises InputError for such."""
        import h5py

        try:
            dtype: np.dtype[Any] = dataset.dtype
        except TypeError as error:
            if self._type.get_class() != h5py.h5t.INTEGER:
                raise InputError(f"{self.name}: of a type that NumPy has not: {error}", "store numbers") from None
            what = f"{self.name}: integers of {self._type.get_size()} bytes, a type that NumPy has not"
            remedy = "convert them: dataset.id.read(h5py.h5s.ALL, h5py.h5s.ALL, numpy.empty(dataset.shape, 'i8'))"
            raise InputError(what, remedy) from None
        return dtype

    def _check_filters(self) -> None:
        """Compare what filters are told with the dataset: the library reads past the end of chunks that are others'."""
        import h5py

        size, listed = self._type.get_size(), self._dataset.id.get_create_plist()
        self._fills = listed.get_fill_time() != h5py.h5d.FILL_TIME_NEVER
        self._fills = self._fills and listed.fill_value_defined() != h5py.h5d.FILL_VALUE_UNDEFINED
        applied = [listed.get_filter(number) for number in range(listed.get_nfilters())]
        if any(code == DEFLATE and (len(values) != 1 or values[0] > 9) for code, _, values, _ in applied):
            raise InputError(f"{self.name}: a gzip of no level from 0 to 9", REMEDY)
        shuffled = [values for code, _, values, _ in applied if code == SHUFFLE and values != (size,)]
        if size not in SIZES or shuffled:
            by = f", shuffled by {', '.join(map(str, shuffled[0])) or 'none'}" if shuffled else ""
            raise InputError(f"{self.name}: numbers of {size} bytes{by}", REMEDY)
        self.filters: Filters | None = None
        self.codecs: tuple[str, ...] = ()
        if self.chunks is None:
            return
        count = math.prod(self.chunks)
        if count * max(size, self.held.itemsize) > LARGEST_CHUNK:
            what = f"chunks of shape {self.chunks}, which do not fit into {LARGEST_CHUNK >> 20} MiB"
            raise InputError(f"{self.name}: {what}", "store it in smaller chunks, as with h5repack -l CHUNK=...")
        for code, _, values, name in applied:
            told = values[2:5:2]
            if code in (NBIT, SCALEOFFSET) and told not in ((count, size), (count,)):
                what = (
                    f"chunks of shape {self.chunks}, {size} bytes a number, and {_shown(code, values, name)} for others"
                )
                raise InputError(f"{self.name}: {what}", REMEDY)
        if applied and all(code in NAMES for code, *_ in applied):
            self.filters = Filters(tuple(code for code, *_ in applied), size, count * size)
        self.codecs = tuple(_shown(code, values, name) for code, _, values, name in applied)

    def holds_chunks(self) -> bool:
        """Whether any is stored."""
        return self._first_chunk(lambda chunk: True) is not None

    def check_lengths(self) -> None:
        """Raise InputError where a chunk without filters is stored in more or fewer bytes than it takes.

        The library reads past the end of such. Every chunk is asked for its length, at a microsecond each.
        """
        nbytes = math.prod(self.chunks or ()) * self._type.get_size()
        odd = self._first_chunk(lambda chunk: chunk if chunk.size != nbytes else None)
        if odd is not None:
            what = f"the chunk at {odd.chunk_offset} is damaged: {odd.size:,} bytes are stored of {nbytes:,}"
            raise InputError(f"{self.name}: {what}", REMEDY)

    def _first_chunk(self, such: Callable[[Any], Any]) -> Any:
        """What `such` says of the first stored chunk of which it says anything."""
        with damage(self.name), self._library:
            return self._id.chunk_iter(such)

    def stored_chunk(self, start: tuple[int, ...], space: Bytes) -> tuple[int, Bytes]:
        """Which filters the chunk at a place was not given to, as bits, and its bytes, in `space`.

        Raises ValueError where it takes more than that, OSError or RuntimeError where it is not stored or not sound.
        """
        with self._library:
            mask, stored = self._id.read_direct_chunk(start, out=space)
        return mask, np.frombuffer(stored, np.uint8)

    def converted(self, content: Bytes) -> Array:
        """The bytes of a chunk as numbers that NumPy knows, shape (n,), in the file's byte order."""
        if self._as_stored is not None:
            return content.view(self._as_stored)
        import h5py

        # Floats that NumPy has not, bit fields and the like.
        size = self._type.get_size()
        count = len(content) // size
        space = np.zeros(count * max(size, self.held.itemsize), np.uint8)
        space[: len(content)] = content
        with self._library:
            h5py.h5t.convert(self._type, h5py.h5t.py_create(self.held), count, space)
        return space[: count * self.held.itemsize].view(self.held)

    def native(self, values: Array) -> Array:
        """The same numbers in native byte order; `values` may be written to, where they can be."""
        if not values.dtype.isnative:
            values = values.byteswap(inplace=values.flags.writeable).view(self.held)
        return _truth(values)

    def read(self, block: Block, values: Array) -> None:
        """Have the library read a box into an array of its shape."""
        if not self._fills:
            values[...] = 0  # as h5py has it
        with damage(self.name):
            if block.shape:
                self._dataset.read_direct(values, tuple(map(slice, block.start, block.stop)))
            else:
                values[()] = self._dataset[()]
        _truth(values)


def _truth(values: Array) -> Array:
    """Of booleans a file may hold any byte; what is not 0 is true."""
    if values.dtype.kind != "b":
        return values
    return np.not_equal(values.view(np.uint8), 0, out=values if values.flags.writeable else None)


def _shown(code: int, values: tuple[int, ...], name: bytes) -> str:
    """A filter as a person reads it: "gzip 4"."""
    known = NAMES.get(code) or name.decode("utf-8", "replace") or str(code)
    return f"{known} {values[0]}" if code == DEFLATE and values else known
