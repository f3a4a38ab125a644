"""Results as a Zarr group with an array for each field, written chunk by chunk, on one machine or by many.

On a disk a store grows in NAME.partial, which is renamed when it is complete. A URL cannot be renamed: there the
document that makes a group of the arrays is written last.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import OutputError, parameter
from softargmax_cli.files.remote import DOCUMENTS, files_of, is_url, located, store_errors, zarr_python
from softargmax_cli.files.writers.atomic import Target, displaced, remove, unfinished
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.fields import FIELDS, NAMES
from softargmax_cli.reduction.result import Run, Slices, Summary

if sys.platform != "win32":
    import fcntl

PARTS = (*DOCUMENTS, "hard/zarr.json", "weights/zarr.json")
"""Every store has one of these, also a store of results whose own document is still missing."""


@dataclass(frozen=True)
class Chunks:
    """The arrays of a store that is being written; may be sent to other machines that see the same `place`."""

    place: str
    kept: tuple[int, ...]
    """The axes of the input that stay."""

    @cached_property
    def arrays(self) -> Mapping[str, Any]:
        """The arrays, opened. Raises OutputError if they are not seen from here."""
        with store_errors(self.place, "written", OutputError):
            return {field: zarr_python().open_array(located(f"{self.place}/{field}"), mode="r+") for field in NAMES}

    def write(self, block: Block, slices: Slices) -> None:
        """Write the slices that end with a block, in row-major order of the kept axes. Raises OutputError."""
        inner = [block.shape[k] for k in self.kept]
        box = (*(slice(block.start[k], block.stop[k]) for k in self.kept), ...)
        arrays = self.arrays

        def put(field: str) -> None:
            values = slices.column(field)
            single = values.ndim == 1 or len(values) == 1
            arrays[field][box] = values.reshape(inner) if single else values.T.reshape(*inner, len(values))

        # A remote store takes tens of milliseconds to answer, and accepts other chunks meanwhile.
        with store_errors(self.place, "written", OutputError), ThreadPoolExecutor(len(NAMES)) as threads:
            list(threads.map(put, NAMES))


class _Store(Target):
    """A group of arrays that grows beside its name, and takes that name when it is complete.

    Raises OutputError if the target exists, unless it is a store that `force` replaces.
    """

    def __init__(self, target: str, arrays: Mapping[str, Mapping[str, Any]], *, force: bool) -> None:
        """arrays: the name of each, and its arguments of `zarr.create_array`."""
        self._name, self._force, self._url = target, force, is_url(target)
        self._target = target.rstrip("/") if self._url else os.path.realpath(target)
        self.place = self._target if self._url else f"{self._target}.partial"
        create = zarr_python().create_array
        with store_errors(target, "written", OutputError), contextlib.ExitStack() as self.files:
            self._refuse_to_replace()
            files, root = files_of(self.place)
            if files.exists(root):
                self._lock()
                if files.ls(root):
                    _refuse_others(files, root, f"{target}: {self.place}")
                if not force:
                    what = f"{target}: {self.place} is unfinished, since a run was killed"
                    raise OutputError(what, f"begin anew with {parameter('force')}")
                files.rm(root, recursive=True)
            if not self._url:
                os.mkdir(self.place)
                unfinished.add(self.place)
            self.files.callback(self._remove)
            self._lock()
            self.arrays = {name: create(located(f"{self.place}/{name}"), **given) for name, given in arrays.items()}
            self.files = self.files.pop_all()

    def _refuse_to_replace(self) -> None:
        files, root = files_of(self._target)
        files.invalidate_cache()
        if not files.exists(root):
            return
        _refuse_others(files, root, f"{self._name}:")
        if not self._force:
            raise OutputError(f"{self._name}: the store exists", f"replace it with {parameter('force')}")

    def _lock(self) -> None:
        """Lock the folder of an unfinished store, if its disk can. Raises OutputError if another run has locked it."""
        if sys.platform == "win32" or self._url:
            return
        folder = os.open(self.place, os.O_RDONLY)
        self.files.callback(os.close, folder)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what = f"{self._name}: another run writes {self.place}"
            raise OutputError(what, "wait for its end, or choose another name") from None
        except OSError:  # a disk of another machine need not know locks
            return

    def _remove(self) -> None:
        if not self._url:
            remove(self.place)
            return
        with contextlib.suppress(Exception):  # it only takes space
            files, root = files_of(self.place)
            files.rm(root, recursive=True)

    def _commit(self, attributes: Mapping[str, Any]) -> None:
        """Make a group of the arrays and put it in place. Raises OutputError."""
        with store_errors(self._name, "written", OutputError):
            zarr_python().open_group(located(self.place), mode="a", attributes=attributes)
            if not self._url:
                self._refuse_to_replace()
                with displaced(self._target):
                    os.rename(self.place, self._target)
                unfinished.discard(self.place)
        if self._url:
            self.files.pop_all()


def _refuse_others(files: Any, root: str, name: str) -> None:
    """Raise OutputError if a folder, to which an error refers by `name`, is no store."""
    if not any(files.exists(f"{root}/{part}") for part in PARTS):
        raise OutputError(f"{name} is in the way, and no Zarr store", "move it, or choose another name")


class ZarrBoxWriter(_Store):
    """One array that is written box by box."""

    def __init__(
        self,
        target: str,
        name: str,
        dtype: np.dtype[Any],
        shape: Sequence[int | None],
        chunks: Sequence[int],
        *,
        force: bool,
    ) -> None:
        """Open `target`. name: of the array; shape: the first length is None if only the end tells it."""
        lengths = tuple(n or 0 for n in shape)
        super().__init__(target, {name: {"shape": lengths, "chunks": tuple(chunks), "dtype": dtype}}, force=force)
        self._array = self.arrays[name]

    def write(self, start: Sequence[int], values: npt.NDArray[Any]) -> None:
        """Write a box that begins at `start`; no two may overlap."""
        stop = [first + n for first, n in zip(start, values.shape, strict=True)]
        with store_errors(self.place, "written", OutputError):
            if stop and stop[0] > self._array.shape[0]:
                self._array.resize((stop[0], *self._array.shape[1:]))
            self._array[tuple(map(slice, start, stop))] = values

    def commit(self, shape: tuple[int, ...]) -> None:
        """Put the result in place; `shape` is that of all boxes together."""
        self._commit({})


class ZarrWriter(_Store):
    """An array for each field of a run."""

    def __init__(
        self, target: str, run: Run, extent: Sequence[int], asked: Mapping[str, Any], *, force: bool = False
    ) -> None:
        """extent: the number of slices of a chunk along each kept axis; asked: attributes of the group."""
        self._asked = asked
        kept = tuple(k for k in range(len(run.shape)) if k not in run.axes)
        shape, arrays = [run.known_shape[k] for k in kept], {}
        for field in FIELDS:
            axes = [len(run.axes)] if field.per_axis and len(run.axes) > 1 else []
            arrays[field.name] = {"shape": (*shape, *axes), "chunks": (*extent, *axes), "dtype": field.dtype}
        super().__init__(target, arrays, force=force)
        self.chunks = Chunks(self.place, kept)

    def commit(self, summary: Summary) -> None:
        """Make a group of the arrays and put it in place. Raises OutputError."""
        self._commit({"softargmax": {**self._asked, "summary": summary.as_dict()}})
