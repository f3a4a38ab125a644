"""Datasets of HDF5 files, through h5py: any layout and filter that the library knows, read a block at a time.

Nothing outside of the file is read: no external links, no virtual datasets, no external storage.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, BinaryIO

from softargmax_cli.arrays.containers.members import MOST, chosen, damaged, shown
from softargmax_cli.arrays.npy import native_dtype
from softargmax_cli.arrays.reading import Reading
from softargmax_cli.arrays.source import BoxPending, Loaded, Member, Source
from softargmax_cli.errors import InputError, MissingDependencyError
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.buffer import Buffer

CACHE = 32 << 20
"""Bytes of chunks that are kept unpacked, as blocks seldom end where chunks do."""
LARGEST_CHUNK = 256 << 20
"""Bytes of a chunk; the library unpacks each as a whole."""
MOST_OBJECTS = 10_000
"""Groups and datasets that are looked at for a list of names."""
SIZES = frozenset((1, 2, 4, 8, 12, 16))
"""Bytes of a number: those of NumPy's and, of extended floats, other machines'."""
REMEDY = "copy the file again, or write it again"


def open_hdf5(stream: BinaryIO, name: str, reading: Reading) -> Source:
    """The dataset called `reading.key`, as "group/name", of a seekable stream; the only one where there is no key.

    Raises InputError for what is not sound or lies in other files, MissingDependencyError without h5py.
    """
    try:
        import h5py
    except ImportError:
        what = f"{name}: an HDF5 file, and h5py, which reads them, is not installed"
        raise MissingDependencyError(what, "pip install 'softargmax[hdf5]'") from None
    with _damaged(name):
        file = h5py.File(stream, "r", rdcc_nbytes=CACHE)
    try:
        with _damaged(name):
            key = None if reading.key is None else reading.key.strip("/")
            dataset = None if key is None else _named(file, key)
            found = {} if dataset is not None and not reading.inspected else dict(_datasets(file))
            if dataset is None:
                key = chosen(name, "hdf5", list(found), key, lambda key: _member(key, found[key]))
                dataset = found[key]
            source = Hdf5Source(stream, file, dataset, f"{name}[{shown(key or '')}]")
            source.members = [_member(each, found[each]) for each in islice(found, MOST)]
            return source
    except BaseException:
        file.close()
        raise


def _named(file: Any, path: str) -> Any:
    """The dataset at a path of groups of this file; None where there is none, or a link is on the way."""
    import h5py

    found = file
    for part in path.split("/"):
        if not isinstance(found, h5py.Group) or part in ("", ".", ".."):
            return None
        if not isinstance(found.get(part, getlink=True), h5py.HardLink):
            return None
        found = found[part]
    return found if isinstance(found, h5py.Dataset) else None


def _datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """The first datasets by their paths, each once, those of outer groups first. Links are not followed."""
    import h5py

    looked, seen, waiting = 0, set(), deque([("", file)])
    while waiting:
        path, group = waiting.popleft()
        for name in group:
            looked += 1
            if looked > MOST_OBJECTS:
                return
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            found = group[name]
            address = h5py.h5o.get_info(found.id).addr
            if address in seen:  # groups may even contain each other
                continue
            seen.add(address)
            if isinstance(found, h5py.Dataset):
                yield f"{path}{name}", found
            elif isinstance(found, h5py.Group):
                waiting.append((f"{path}{name}/", found))


def _member(key: str, dataset: Any) -> Member:
    try:
        return Member(key, None if dataset.shape is None else tuple(dataset.shape), str(dataset.dtype))
    except (TypeError, ValueError, OSError, RuntimeError):
        return Member(key, None, "")


def _damaged(name: str) -> AbstractContextManager[None]:
    return damaged(name, "HDF5", OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, AttributeError)


class Hdf5Source(Source):
    """One dataset. h5py reads one block at a time, whatever the number of threads that ask."""

    format = "hdf5"

    def __init__(self, stream: BinaryIO, file: Any, dataset: Any, name: str) -> None:
        self.name, self._stream, self._file, self._dataset = name, stream, file, dataset
        if dataset.is_virtual or dataset.external:
            what = "its numbers lie in other files, which are not opened"
            raise InputError(f"{name}: {what}", "copy them into one file, as with h5repack")
        if dataset.shape is None:
            raise InputError(f"{name}: an empty dataset, without a shape")
        dtype = dataset.dtype
        if dtype.kind not in "biuf":
            described = "structured" if dtype.names else dtype
            held = "objects" if dtype.hasobject else "no real numbers"
            raise InputError(f"{name}: dtype {described} holds {held}", "store real numbers")
        _check_sizes(dataset, name)
        shape = tuple(map(int, dataset.shape))
        self.shape, self.stored, self.dtype = shape, str(dtype), native_dtype(dtype)
        if dataset.chunks is not None and math.prod(dataset.chunks) * dtype.itemsize > LARGEST_CHUNK:
            what = f"chunks of shape {dataset.chunks}, which do not fit into {LARGEST_CHUNK >> 20} MiB"
            raise InputError(f"{name}: {what}", "store it in smaller chunks, as with h5repack -l CHUNK=...")
        self.nbytes = math.prod(shape) * self.dtype.itemsize

    def fetch(self, block: Block) -> BoxPending:
        return BoxPending(self, block)

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        """A box, in C order and native byte order."""
        values = buffer.array(block.shape, self.dtype)
        with _damaged(self.name):
            if block.shape:
                self._dataset.read_direct(values, tuple(map(slice, block.start, block.stop)))
            else:
                values[()] = self._dataset[()]
        return Loaded(values)

    def close(self) -> None:
        self._file.close()
        self._stream.close()


def _check_sizes(dataset: Any, name: str) -> None:
    """Raise InputError where numbers have a size that no number has, or another than the one they were shuffled by.

    The library would read past the end of what a chunk unfolds to.
    """
    import h5py

    with _damaged(name):
        size, filters = dataset.id.get_type().get_size(), dataset.id.get_create_plist()
        applied = (filters.get_filter(number) for number in range(filters.get_nfilters()))
        shuffled = [values[0] for code, _, values, _ in applied if code == h5py.h5z.FILTER_SHUFFLE and values]
    if size not in SIZES or any(by != size for by in shuffled):
        raise InputError(f"{name}: numbers of {size} bytes{f', shuffled by {shuffled[0]}' if shuffled else ''}", REMEDY)
