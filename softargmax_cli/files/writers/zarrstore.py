"""Results as a Zarr group, an array a field, written chunk by chunk by whoever has them, and there as a whole or not.

Until the end there are chunks alone: what makes a group of them, Zarr's documents, is kept apart and written last. A
manifest among them says what was asked, so that a run broken off can be gone on with.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import OptionError, OutputError, UndefinedError
from softargmax_cli.files.remote import blaming, files_of, is_url
from softargmax_cli.files.stores import MANIFEST, zarr_python
from softargmax_cli.files.writers.storeplace import place_of
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.fields import BY_NAME, NAMES
from softargmax_cli.reduction.result import Run, Slices, Summary

ROOT = "zarr.json"
LAST = "soft"
"""The field that is written last: its chunk stands for those of all others."""

_DTYPES = {"hard": "int64", "ties": "int64", "agree": "bool"}
_FILL = {"hard": -1, "ties": 0, "agree": False}


@dataclass(frozen=True, slots=True)
class Chunks:
    """Where chunks of results go; it may travel to other machines."""

    place: str
    """A directory or a URL."""
    documents: Mapping[str, bytes]
    """Zarr's, by their keys; they are not in the store yet."""
    kept: tuple[int, ...]
    """The axes of the input that stay."""
    asked: Mapping[str, Any]
    """What the manifest says as long as no other run has begun there."""

    def write(self, block: Block, slices: Slices) -> None:
        """The slices of the block that completes them; the same ones again do no harm.

        Raises OutputError, also where another run has begun, as it may in a place without locks.
        """
        region = tuple(slice(block.start[k], block.stop[k]) for k in self.kept)
        inner = [block.shape[k] for k in self.kept]
        self.check_alone()
        with blaming(self.place, "written", OutputError):
            arrays = self._arrays()

            def put(field: str) -> None:
                arrays[field][region] = _shaped(slices.column(field), inner)

            # A store far away answers after tens of milliseconds, and takes other chunks meanwhile.
            with ThreadPoolExecutor(len(NAMES)) as threads:
                for _ in threads.map(put, (field for field in NAMES if field != LAST)):
                    pass
            put(LAST)

    def read(self, block: Block, start: int) -> Slices:
        """What was written of a block's slices, of which the first has the number `start`."""
        region = (*(slice(block.start[k], block.stop[k]) for k in self.kept), ...)
        parts: dict[str, Any] = {}
        with blaming(self.place, "read", OutputError):
            arrays, size = self._arrays(), math.prod(block.shape[k] for k in self.kept)
            for field in NAMES:
                values = np.asarray(arrays[field][region])
                parts[field] = values.reshape(size, -1).T.copy() if BY_NAME[field].per_axis else values.reshape(size)
        return Slices(start, parts)

    def check_alone(self) -> None:
        """Raise OutputError where another run has begun to write them."""
        if manifest_of(self) != self.asked:
            what = f"{self.place}: another run has begun to write it meanwhile"
            raise OutputError(what, "let one at a time write it, and begin anew with --force")

    def _arrays(self) -> Mapping[str, Any]:
        """Each field's array, which lies in the store but for its document."""
        return _opened(self.place, tuple(self.documents.items()))


@lru_cache(maxsize=4)
def _opened(place: str, documents: tuple[tuple[str, bytes], ...]) -> Mapping[str, Any]:
    zarr = zarr_python()
    from zarr.buffer.cpu import Buffer
    from zarr.storage import FsspecStore, LocalStore, MemoryStore, StorePath

    held = {key: Buffer.from_bytes(text) for key, text in documents}
    arrays = zarr.open_group(MemoryStore(held), mode="r").arrays()
    store = FsspecStore.from_url(place) if is_url(place) else LocalStore(place)
    # A chunk that holds nothing but the fill value is written as well: that it is there says that it is done.
    config = {"write_empty_chunks": True}
    return {
        field: zarr.Array(zarr.AsyncArray(array.metadata, StorePath(store, field), config=config))
        for field, array in arrays
    }


def manifest_of(chunks: Chunks) -> Any:
    """What is said, where chunks go, of what was asked; None where nothing is."""
    with blaming(chunks.place, "read", OutputError):
        files, root = files_of(chunks.place)
        files.invalidate_cache()
        try:
            return _said(files.cat_file(f"{root}/{MANIFEST}"))
        except FileNotFoundError:
            return None


class ZarrStore:
    """A group of results that grows; leaving the `with` block without `commit` keeps what there is, to be resumed.

    extent: how many slices a chunk takes along each axis that stays; asked: what was asked, for the manifest and the
    group's attributes. Raises OutputError where something is there already without `force` or `resume`, OptionError
    where what is there was begun for something else.
    """

    def __init__(
        self,
        target: str,
        run: Run,
        extent: Sequence[int],
        asked: Mapping[str, Any],
        *,
        force: bool = False,
        resume: bool = False,
    ) -> None:
        zarr_python()
        self.name = target
        kept = tuple(k for k in range(len(run.shape)) if k not in run.axes)
        self._extent = tuple(extent)
        lengths = [run.known_shape[k] for k in kept]
        self._grid = [-(-n // size) if n else 0 for n, size in zip(lengths, extent, strict=True)]
        self._asked = {**asked, "chunks": list(extent)}
        documents = _documents(run, lengths, self._extent, self._asked)
        self._done = bytearray(math.prod(self._grid))
        self._open = True
        with blaming(target, "written", OutputError), ExitStack() as undo:
            self._place = place_of(target)
            undo.callback(self._place.close)
            self.chunks = Chunks(self._place.where, documents, kept, self._asked)
            self._begin(force, resume)
            undo.pop_all()

    def _begin(self, force: bool, resume: bool) -> None:
        self._place.refuse_old(force)
        begun = self._place.read(MANIFEST)
        if begun is not None and resume:
            self._compare(_said(begun))
            self._find_done()
            return
        if begun is not None and not force:
            what = f"{self.name}: a run was broken off, and its chunks are in {self.chunks.place}"
            raise OutputError(what, "go on with --resume, or begin anew with --force")
        self._place.clear()
        self._place.write(MANIFEST, json.dumps(self._asked, indent=1).encode())

    def _compare(self, begun: Any) -> None:
        names = [name for name in self._asked if not isinstance(begun, dict) or begun.get(name) != self._asked[name]]
        if names:
            was = begun.get(names[0]) if isinstance(begun, dict) else None
            what = f"--resume: {self.name} was begun with {names[0]} {was}, not {self._asked[names[0]]}"
            raise OptionError(what, "ask for the same again, or begin anew with --force")

    def _find_done(self) -> None:
        """Which chunks are there, from their keys."""
        below = f"{LAST}/c"
        for path in self._place.find(below):
            parts = path.rpartition(below)[2].strip("/").split("/")[: len(self._grid)]
            if len(parts) == len(self._grid) and all(part.isdigit() for part in parts):  # no rest of an atomic write
                self._done[self._number([int(part) for part in parts])] = 1

    def done(self, block: Block) -> bool:
        """Whether the results of a block's slices are there already, from an earlier run."""
        places = [block.start[k] // size for k, size in zip(self.chunks.kept, self._extent, strict=True)]
        return bool(self._done[self._number(places)])

    @property
    def resumed(self) -> int:
        """How many chunks an earlier run has left."""
        return sum(self._done)

    def _number(self, places: Sequence[int]) -> int:
        number = 0
        for at, count in zip(places, self._grid, strict=True):
            number = number * count + at
        return number

    def commit(self, summary: Summary) -> None:
        """Make a group of the chunks and put it in place. Raises OutputError where another run has begun there."""
        with blaming(self.name, "written", OutputError):
            self.chunks.check_alone()
            documents = dict(self.chunks.documents)
            root = json.loads(documents.pop(ROOT))
            root["attributes"]["softargmax"] |= {"complete": True, "summary": summary.as_dict()}
            for key, text in documents.items():
                self._place.write(key, text)
            self._place.write(ROOT, json.dumps(root, indent=2).encode())
            self._place.publish()
        self._open = False

    def abort(self) -> None:
        """Forget all that was written, unless it is another run's by now."""
        self._open = False
        with contextlib.suppress(Exception):  # it is in nobody's way but for its space
            self.chunks.check_alone()
            self._place.remove()

    def __enter__(self) -> ZarrStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        refused = kind is not None and issubclass(kind, UndefinedError)  # and would be again
        if self._open and (refused or not self._kept()):
            self.abort()
        self._place.close()

    def _kept(self) -> bool:
        """Whether there is anything to go on with."""
        with contextlib.suppress(Exception):
            return bool(self._place.find(f"{LAST}/c"))
        return True


def _said(manifest: bytes) -> Any:
    """What a manifest says; None of one that a killed run has not written to its end."""
    try:
        return json.loads(manifest)
    except ValueError:
        return None


def _documents(run: Run, shape: Sequence[int], extent: Sequence[int], asked: Mapping[str, Any]) -> dict[str, bytes]:
    """What makes a group of the chunks."""
    zarr = zarr_python()
    from zarr.storage import MemoryStore

    held: dict[str, Any] = {}
    group = zarr.create_group(MemoryStore(held), attributes={"softargmax": dict(asked)}, zarr_format=3)
    for field in NAMES:
        several = (len(run.axes),) if BY_NAME[field].per_axis and len(run.axes) > 1 else ()
        group.create_array(
            field,
            shape=(*shape, *several),
            chunks=(*extent, *several),
            dtype=_DTYPES.get(field, "float64"),
            fill_value=_FILL.get(field, math.nan),
        )
    return {key: text.to_bytes() for key, text in held.items()}


def _shaped(values: npt.NDArray[Any], inner: Sequence[int]) -> npt.NDArray[Any]:
    """(m,) or (a, m) as an array has it: the axes that stay, and several coordinates last."""
    single = values.ndim == 1 or len(values) == 1
    shaped: npt.NDArray[Any] = values.reshape(inner) if single else values.T.reshape(*inner, len(values))
    return shaped
