"""Results as a Zarr group with an array for each field, written chunk by chunk, on one machine or by many.

On a disk a store grows in NAME.partial, which is renamed when it is complete. A URL cannot be renamed: there the
document that makes a group of the arrays is written last.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import OutputError, parameter
from softargmax_cli.files.remote import DOCUMENTS, PARTIAL, UNFINISHED, blaming, files_of, is_url, located, zarr_python
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.fields import FIELDS, NAMES
from softargmax_cli.reduction.result import Run, Slices, Summary

if TYPE_CHECKING:
    from typing_extensions import Self

Shape = tuple[int | None, ...]


class Chunks:
    """The arrays of a store that is being written; may be sent to other machines that see the same `place`."""

    def __init__(self, place: str, kept: tuple[int, ...]) -> None:
        """kept: the axes of the input that stay."""
        self.place, self._kept = place, kept

    def __reduce__(self) -> Any:
        return Chunks, (self.place, self._kept)

    def open(self) -> None:
        """Open the arrays. Raises OutputError where they are not seen from here."""
        with blaming(self.place, "written", OutputError):
            _ = self._arrays

    def write(self, block: Block, slices: Slices) -> None:
        """Write the slices that end with a block, in row-major order of the kept axes. Raises OutputError."""
        inner = [block.shape[k] for k in self._kept]

        def put(field: str) -> None:
            values = slices.column(field)
            single = values.ndim == 1 or len(values) == 1
            shaped: npt.NDArray[Any] = values.reshape(inner) if single else values.T.reshape(*inner, len(values))
            self._arrays[field][self._region(block)] = shaped

        # A store far away answers after tens of milliseconds, and takes other chunks meanwhile.
        with blaming(self.place, "written", OutputError), ThreadPoolExecutor(len(NAMES)) as threads:
            list(threads.map(put, NAMES))

    def _region(self, block: Block) -> tuple[Any, ...]:
        return (*(slice(block.start[k], block.stop[k]) for k in self._kept), ...)

    @cached_property
    def _arrays(self) -> Mapping[str, Any]:
        zarr = zarr_python()
        return {field: zarr.open_array(located(f"{self.place}/{field}"), mode="r+") for field in NAMES}


class _Store:
    """A group of arrays that grows beside its name, and takes that name when it is complete.

    Leaving the `with` block before that removes what there is of it. Raises OutputError where something is there
    already, but for a store that `force` replaces.
    """

    def __init__(self, target: str, *, force: bool) -> None:
        zarr_python()
        self._name, self._force, self._open = target, force, True
        self._url = is_url(target)
        with blaming(target, "written", OutputError):
            self._target = target.rstrip("/") if self._url else os.path.realpath(target.rstrip(os.sep))
            self._place = self._target if self._url else self._target + PARTIAL
            self._files, self._root = files_of(self._place)

    def _begin(self) -> None:
        """Make room for the group."""
        old, begun = _found(self._target), _found(self._place)
        for name, found in ((self._name, old), (self._place, begun)):
            if found == "other":
                raise OutputError(f"{name}: is in the way, and no Zarr store", "move it, or choose another name")
        self._refuse(old)
        if begun != "nothing" and not (self._url and begun == "store") and not self._force:
            what = f"{self._name}: {self._place} is unfinished: another run writes it, or one was killed"
            raise OutputError(what, f"wait, or begin anew with {parameter('force')}")
        if self._files.exists(self._root):
            self._files.rm(self._root, recursive=True)
        if not self._url:
            os.mkdir(self._place)

    def _refuse(self, old: str) -> None:
        if old == "store" and not self._force:
            raise OutputError(f"{self._name}: the store exists", f"replace it with {parameter('force')}")

    def _commit(self, attributes: Mapping[str, Any]) -> None:
        """Make a group of the arrays and put it in place. Raises OutputError."""
        target = self._target
        with blaming(self._name, "written", OutputError):
            zarr_python().open_group(located(self._place), mode="a", attributes={"softargmax": attributes})
            if not self._url:
                self._refuse(_found(target))
                aside = tempfile.mkdtemp(prefix=".softargmax-", dir=os.path.dirname(target))
                if os.path.lexists(target):
                    os.rename(target, os.path.join(aside, "old"))
                os.rename(self._place, target)
                shutil.rmtree(aside, ignore_errors=True)
        self._open = False

    def abort(self) -> None:
        """Remove what is written."""
        self._open = False
        with contextlib.suppress(Exception):  # it is in nobody's way but for its space
            self._files.rm(self._root, recursive=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._open:
            self.abort()


class ZarrBoxWriter(_Store):
    """One array that is written box by box."""

    def __init__(
        self, target: str, name: str, dtype: np.dtype[Any], shape: Shape, chunks: Sequence[int], *, force: bool
    ) -> None:
        """Open `target`. name: of the array; shape: the first length is None where only the end tells it."""
        super().__init__(target, force=force)
        with blaming(target, "written", OutputError):
            self._begin()
            lengths = tuple(n or 0 for n in shape)
            given: dict[str, Any] = {"shape": lengths, "chunks": tuple(chunks), "dtype": dtype}
            self._array = zarr_python().create_array(located(f"{self._place}/{name}"), **given)

    def write(self, start: Sequence[int], values: npt.NDArray[Any]) -> None:
        """Write a box that begins at `start`; no two may overlap."""
        stop = [first + n for first, n in zip(start, values.shape, strict=True)]
        with blaming(self._place, "written", OutputError):
            if stop and stop[0] > self._array.shape[0]:
                self._array.resize((stop[0], *self._array.shape[1:]))
            self._array[tuple(map(slice, start, stop))] = values

    def commit(self, shape: tuple[int, ...]) -> None:
        """Put the result in place; `shape` is the array's, of which every length is now known."""
        if self._array.shape != shape:
            raise RuntimeError(f"an array of shape {self._array.shape} was written where {shape} was due")
        self._commit({"complete": True})


class ZarrWriter(_Store):
    """An array for each field of a run.

    extent: how many slices a chunk has along each kept axis; asked: what was asked, for the group's attributes.
    """

    def __init__(
        self, target: str, run: Run, extent: Sequence[int], asked: Mapping[str, Any], *, force: bool = False
    ) -> None:
        super().__init__(target, force=force)
        self._asked = {**asked, "chunks": list(extent)}
        self.chunks = Chunks(self._place, tuple(k for k in range(len(run.shape)) if k not in run.axes))
        shape = [n for k, n in enumerate(run.known_shape) if k not in run.axes]
        with blaming(target, "written", OutputError):
            self._begin()
            for field in FIELDS:
                axes = [len(run.axes)] if field.per_axis and len(run.axes) > 1 else []
                given: dict[str, Any] = {"shape": (*shape, *axes), "chunks": (*extent, *axes), "dtype": field.dtype}
                zarr_python().create_array(located(f"{self._place}/{field.name}"), **given)

    def commit(self, summary: Summary) -> None:
        """Make a group of the arrays and put it in place. Raises OutputError."""
        self._commit({**self._asked, "complete": True, "summary": summary.as_dict()})


def _found(place: str) -> str:
    """Tell what lies at a place: a "store", an "unfinished" one, something "other" or "nothing"."""
    files, root = files_of(place)
    files.invalidate_cache()
    if any(files.exists(f"{root}/{document}") for document in DOCUMENTS):
        return "store"
    if any(files.exists(f"{root}/{part}") for part in UNFINISHED):
        return "unfinished"
    return "other" if files.exists(root) and (files.isfile(root) or files.ls(root)) else "nothing"
