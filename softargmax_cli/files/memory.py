"""An array that is in memory already, as a source."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.npy import native_dtype
from softargmax_cli.files.source import BoxSource, Loaded
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer


class ArraySource(BoxSource):
    """A NumPy array of real numbers, of any shape and memory order; it is read, never written.

    Blocks are views where their memory has no gaps and holds what a file's would, copies otherwise. The array must
    not change while it is read. Small floats of other packages (bfloat16) become float32. Raises InputError for what
    holds no real numbers, and for masked arrays.
    """

    def __init__(self, array: npt.NDArray[Any], name: str = "<array>") -> None:
        if isinstance(array, np.ma.MaskedArray):
            what = "a masked array, of which masked entries have no value"
            raise InputError(f"{name}: {what}", "pass array.astype(float).filled(nan)")
        self.name = name
        self._array = np.asarray(array)
        self.dtype, self.stored = _computed(self._array.dtype, name), str(self._array.dtype)
        self.shape, self.nbytes = self._array.shape, self._array.size * self.dtype.itemsize
        # An array that is contiguous in neither order is copied block by block, from wherever it lies.
        self.order = "F" if self._array.flags.fnc else "C"

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        """Return the box, contiguous in the order of the array; read-only where it is the caller's memory."""
        place: tuple[Any, ...] = (*map(slice, block.start, block.stop), ...)  # "..." for a view where there is no axis
        box = self._array[place]
        contiguous = box.flags.c_contiguous if self.order == "C" else box.flags.f_contiguous
        # The bytes of truth values may be any; what is not 0 is true.
        if box.dtype == self.dtype and self.dtype.kind != "b" and contiguous and box.flags.aligned:
            values = box.view()
            values.flags.writeable = False
            return Loaded(values)
        if self.order == "C":
            values = buffer.array(box.shape, self.dtype)
        else:
            values = buffer.array(box.shape[::-1], self.dtype).T
        if self.dtype.kind == "b":
            np.not_equal(box.view(np.uint8), 0, out=values)
        else:
            with np.errstate(over="ignore", invalid="ignore"):  # of extended floats, of signalling NaN
                np.copyto(values, box, casting="unsafe")
        return Loaded(values)


def _computed(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    """The dtype of blocks of an array of `dtype`; InputError where that holds no real numbers."""
    if dtype.isbuiltin == 2 and np.can_cast(dtype, np.float32):  # another package's, as ml_dtypes has them
        return np.dtype("float32")
    if dtype.kind not in "biuf" or dtype.isbuiltin == 2:
        described = "structured" if dtype.names else dtype
        held = "objects" if dtype.hasobject else "no real numbers"
        raise InputError(f"{name}: dtype {described} holds {held}", "pass real numbers: array.astype('float32')")
    return native_dtype(dtype)
