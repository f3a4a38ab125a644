"""An array that is written box by box, each at its place, as the input is read: C or Fortran order, npy or npz."""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
from collections.abc import Sequence
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from softargmax_cli.files.stretches import stretches
from softargmax_cli.files.suffixes import array_format_of
from softargmax_cli.files.temporary import nameless
from softargmax_cli.files.writers.base import Whole
from softargmax_cli.files.writers.numpyfiles import LONGEST_AXIS, member, npy_header, zip_of
from softargmax_cli.files.writers.target import blaming, open_target
from softargmax_cli.reduction.blocks import Order


class BoxFile(Whole):
    """A file for one array of known shape, or of rows that come in order.

    Where the target can be sought in, an .npy is written there directly; else, and for the one member of an .npz, the
    data wait in a temporary file. OutputError when the target cannot be written.
    """

    def __init__(
        self, path: str, name: str, dtype: np.dtype[Any], shape: tuple[int | None, ...], order: Order, *, force: bool
    ) -> None:
        """`name`: of the array in an .npz; `shape`: None for rows, of which only the end tells how many they are."""
        self._format, self._name, self._order = array_format_of(path), name, order
        self._dtype, self._shape = dtype.newbyteorder("<"), shape
        self._count = 0
        self._file: IO[bytes] | None = None
        super().__init__(open_target(path, force=force))
        try:
            with blaming(self._place):
                self._begin()
        except BaseException:
            self.abort()
            raise

    @property
    def _place(self) -> str:
        """What is written to."""
        if self._file is None or self._file is self._target.stream:
            return self._target.name
        return f"temporary file in {self._target.spool_directory or tempfile.gettempdir()}"

    def _begin(self) -> None:
        header = b""
        if self._format == "npy" and self._target.seekable:
            header = self._header(tuple(LONGEST_AXIS if n is None else n for n in self._shape))
            self._file = cast(IO[bytes], self._target.stream)
            self._file.write(header)
        else:
            self._file = nameless(self._target.spool_directory)
        self._room = len(header)

    def _header(self, shape: tuple[int, ...], size: int = 0) -> bytes:
        return npy_header(self._dtype.str, shape, size, fortran=self._order == "F")

    def write(self, start: Sequence[int], values: npt.NDArray[Any]) -> None:
        """A box that begins at `start`, 0 along axes that are not named; no two may overlap."""
        file = self._file
        assert file is not None
        start = (*start, *[0] * (values.ndim - len(start)))
        lengths = tuple(LONGEST_AXIS if n is None else n for n in self._shape)
        turn = slice(None, None, -1 if self._order == "F" else 1)
        box = np.ascontiguousarray(values.T if self._order == "F" else values, self._dtype)
        places, length = stretches(start[turn], box.shape, lengths[turn])
        stretch, space = length * self._dtype.itemsize, box.reshape(-1).view(np.uint8).data
        with blaming(self._place):
            for number, place in enumerate(places):
                file.seek(self._room + place * self._dtype.itemsize)
                file.write(space[number * stretch : (number + 1) * stretch])
        self._count += box.size

    def commit(self, shape: tuple[int, ...]) -> None:
        """Put the result in place; `shape` is the array's, of which every length is now known."""
        try:
            if self._count != math.prod(shape):
                raise RuntimeError(f"{self._count} entries came where {math.prod(shape)} were due")
            self._finish(shape)
            with blaming(self._target.name):
                self._target.commit()
        except BaseException:
            self.abort()
            raise
        self._open = False
        self._release()

    def _finish(self, shape: tuple[int, ...]) -> None:
        file, header = self._file, self._header(shape, self._room)
        assert file is not None
        with blaming(self._place):  # writes what it still holds, too
            file.seek(0)
        with blaming(self._target.name):
            if file is self._target.stream:
                file.write(header)
            elif self._format == "npy":
                self._target.stream.write(header)
                shutil.copyfileobj(file, self._target.stream, 1 << 20)
            else:
                size = len(header) + self._count * self._dtype.itemsize
                with zip_of(self._target) as archive, archive.open(member(self._name, size), "w") as stream:
                    stream.write(header)
                    shutil.copyfileobj(file, stream, 1 << 20)

    def _release(self) -> None:
        if self._file is not None and self._file is not self._target.stream:
            with contextlib.suppress(OSError):  # what could not be written is not wanted any more
                self._file.close()
