"""NumPy arrays: .npy files, read block by block into reused memory, and arrays in memory.

Files are read with positioned reads rather than mapped: a mapped file that shrinks kills the process,
and mapped pages count as its memory.
"""

from __future__ import annotations

import io
import math
import os
import stat
import threading
import warnings
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, naming
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import COPY_AGAIN, BoxSource, Facts
from softargmax_cli.reduction.blocks import Block, Order, stretches
from softargmax_cli.reduction.readable import Buffer, Loaded, Pending

LONGEST_HEADER = 1 << 16
LONGEST_AXIS = (1 << 63) - 1
MOST_AXES = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32
REMEDY = "write it again with numpy.save"


@dataclass(frozen=True, slots=True)
class Header:
    """The shape, dtype and order of bare numbers in a file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: Order = "C"
    version: str | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of data."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream: BinaryIO) -> Header:
    """Parse the head of an .npy stream; nothing in it is executed or unpickled. Raises InputError, or as NumPy does."""
    magic = stream.read(8)
    if magic not in (b"\x93NUMPY\1\0", b"\x93NUMPY\2\0", b"\x93NUMPY\3\0"):
        raise InputError("not an .npy file of version 1.0, 2.0 or 3.0", REMEDY)
    major = magic[6]
    width = 2 if major == 1 else 4
    length = stream.read(width)
    size = int.from_bytes(length, "little")
    text = stream.read(min(size, LONGEST_HEADER))
    if len(length) < width or len(text) < size:
        raise InputError("the file ends within its header, or that is longer than any array's", REMEDY)
    # Version 3 differs from 2 in the names of fields alone, and arrays of real numbers have none.
    parse = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd spellings, which do not concern the user
        shape, fortran, dtype = parse(io.BytesIO(length + text), max_header_size=LONGEST_HEADER)
    native_dtype(dtype)  # raises for objects
    possible = len(shape) <= MOST_AXES and all(type(n) is int and 0 <= n <= LONGEST_AXIS for n in shape)
    if not possible or (0 in shape and math.prod(filter(None, shape)) * dtype.itemsize > LONGEST_AXIS):
        raise InputError(f"the .npy header gives an impossible shape, {str(shape)[:80]}", REMEDY)
    return Header(shape, dtype, "F" if fortran else "C", f"{major}.0")


def native_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which a source yields its numbers: native byte order, 8 bytes at most, as in TensorFlow.

    Small floats of other packages (bfloat16) become float32, which is exact. Raises InputError for other than real
    numbers.
    """
    if dtype.isbuiltin == 2 and np.can_cast(dtype, np.float32):
        return np.dtype(np.float32)
    if dtype.kind not in "biuf" or dtype.isbuiltin == 2:
        held = "objects, which are never unpickled" if dtype.hasobject else "no real numbers"
        described = "structured" if dtype.names is not None else dtype
        raise InputError(f"dtype {described} holds {held}", "make them real numbers: array.astype('float32')")
    return np.dtype("float64") if dtype.itemsize > 8 else dtype.newbyteorder("=")


def open_npy(stream: BinaryIO, name: str, reading: Reading) -> NpySource:
    """Open an .npy file, or a pipe of one, at its first byte."""
    return NpySource(stream, name)


class NpySource(BoxSource):
    """An array stored as bare numbers in a stream. Raises InputError if it is cut short.

    The stream stands at its header, or, if `header` is given, at its first number. Any thread reads a file at any
    place; a pipe or a `packed` stream is read in order.
    """

    def __init__(self, stream: BinaryIO, name: str, header: Header | None = None, *, packed: bool = False) -> None:
        self.name, self.closes = name, (stream,)
        self._stream: Any = stream
        alone = header is None
        header = header or read_header(stream)
        self.facts = Facts("npy", header.version)
        self.shape, self.order, self._lengths, self._held = header.shape, header.order, header.shape, header.dtype
        self.dtype, self.stored = native_dtype(header.dtype), str(header.dtype)
        self.nbytes = math.prod(header.shape) * self.dtype.itemsize
        self.sequential = packed or not stream.seekable()
        self._lock = threading.Lock()
        self._left = header.nbytes
        """The number of bytes that are still to be read in order."""
        if self.sequential:
            return
        self._begin, status = stream.tell(), os.fstat(stream.fileno())
        present, needed = status.st_size - self._begin, header.nbytes
        if stat.S_ISREG(status.st_mode) and present < needed:
            what = f"shape {self.shape} of {self.stored} takes {needed:,} bytes, the file has {present:,}"
            raise InputError(f"truncated: {what}", COPY_AGAIN, self.name)
        if stat.S_ISREG(status.st_mode) and alone and present > needed:
            self.notes = (f"{present - needed:,} bytes after the array are ignored",)

    def fetch(self, block: Block) -> Pending:
        if not self.sequential:
            return super().fetch(block)
        values = np.empty(math.prod(block.shape), self._held)
        with self.reads():
            self._fill(values.view(np.uint8).data)
            self._left -= values.nbytes
            if not self._left and self._stream.read(1):
                # This waits for the writer to end, so that a second array is noticed.
                self.notes += ("bytes after the array are ignored",)
        return Pending(values.size * self.dtype.itemsize, lambda buffer: Loaded(self._native(values, block)))

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        turn = slice(None, None, -1 if self.order == "F" else 1)
        places, length = stretches(block.start[turn], block.shape[turn], self._lengths[turn])
        values = buffer.array((math.prod(block.shape),), self._held)
        size, space = self._held.itemsize, values.view(np.uint8).data
        stretch = length * size
        for number, place in enumerate(places):
            self._fill(space[number * stretch : (number + 1) * stretch], self._begin + place * size)
        return Loaded(self._native(values, block))

    def _fill(self, space: memoryview, place: int | None = None) -> None:
        """Fill `space` with the bytes at a place of the file, or the next ones of the stream."""
        while space:
            if place is None:
                count = self._stream.readinto(space)
            elif hasattr(os, "preadv"):
                # A closed stream raises here; its old descriptor may be another file's.
                count = os.preadv(self._stream.fileno(), (space,), place)
                place += count
            else:
                with self._lock:
                    self._stream.seek(place)
                    count = self._stream.readinto(space)
                place += count
            if not count:
                what = f"ended before all of shape {self.shape} of {self.stored} was read"
                raise InputError(what, "is something still writing it, or was it cut short?", self.name)
            space = space[count:]

    def _native(self, values: npt.NDArray[Any], block: Block) -> npt.NDArray[Any]:
        """Turn stored values, (n,) in file order, into the axes of a block and native byte order."""
        if self._held.kind == "b":  # a file may hold any byte; what is not 0 is true
            values = np.not_equal(values.view(np.uint8), 0, out=values)
        with np.errstate(over="ignore", invalid="ignore"):  # for extended floats and signalling NaNs
            return values.reshape(block.shape, order=self.order).astype(self.dtype, copy=False)


class ArraySource(BoxSource):
    """A NumPy array of real numbers, of any shape and memory order; it is read, never written.

    Blocks are views if possible, else copies; the array must not change while it is read. Raises InputError for masked
    arrays, and for other than real numbers.
    """

    def __init__(self, array: npt.NDArray[Any], name: str = "<array>") -> None:
        if isinstance(array, np.ma.MaskedArray):
            what = "a masked array, of which masked entries have no value"
            raise InputError(f"{name}: {what}", "pass array.astype(float).filled(nan)")
        self.name, self._array, self.shape, self.stored = name, array, array.shape, str(array.dtype)
        with naming(name):
            self.dtype = native_dtype(array.dtype)
        self.nbytes = array.size * self.dtype.itemsize
        self.order = "F" if array.flags.fnc else "C"

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        """Return the box, read-only, contiguous in the order of the array."""
        place: Any = (*map(slice, block.start, block.stop), ...)  # "..." for a view where there is no axis
        with np.errstate(over="ignore", invalid="ignore"):  # for extended floats and signalling NaNs
            values = np.require(self._array[place], self.dtype, [self.order, "A"]).view()
        values.flags.writeable = False
        return Loaded(values)
