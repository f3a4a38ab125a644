"""HDF5 files, read by h5py: datasets of real numbers, and such fields of compound ones.

Nothing outside of the file is read: links into other files, virtual datasets and external storage are refused.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np

from softargmax_cli.errors import InputError, MissingDependencyError, OptionError, naming, parameter
from softargmax_cli.files.formats.npy import native_dtype
from softargmax_cli.files.members import MOST, chosen, damaged, described, shown, unapplied
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import BoxSource, Facts, Loaded, Member, Source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

CACHE = 32 << 20
"""Bytes of chunks that h5py keeps decoded."""
MOST_OBJECTS = 10_000
"""Groups and datasets that are looked at for a list of names."""
OF_MATLAB = ("#refs#", "#subsystem#")
"""Groups in which MATLAB keeps parts of its cells and objects."""
GZIP = 1
"""The number of the filter that HDF5 itself calls deflate."""
ERRORS = (OSError, RuntimeError, LookupError, ValueError, TypeError, OverflowError, AttributeError)
"""Exceptions of h5py at files that are not sound."""
STORE = "store real numbers"
OTHER = f"name another array with {parameter('key')}, if the file holds one"

Place = tuple[Any, tuple[str, ...]]
"""A dataset, and the names that lead to a field of it."""


def open_hdf5(stream: BinaryIO, name: str, reading: Reading) -> Source:
    """Open the dataset `reading.key`, as "group/name" or "group/name.field"; the only one of numbers without a key.

    Raises InputError for what is not sound or lies in other files, MissingDependencyError without h5py or a filter.
    """
    try:
        import h5py  # noqa: F401
    except ImportError:
        what = f"{name}: an HDF5 file, and h5py, which reads them, is not installed"
        raise MissingDependencyError(what, "pip install h5py hdf5plugin\nthey are the extra named hdf5") from None
    file = _opened(stream, name)
    try:
        with damaged(name, "HDF5", *ERRORS):
            key = None if reading.key is None else reading.key.strip("/")
            place = None if key is None else _found(file, name, key)
            places = {} if place is not None and not reading.inspected else dict(_places(file))
            if place is None:
                key = chosen(name, "hdf5", list(places), key, lambda key: _member(key, places[key]))
                place = places[key] or _found(file, name, key)  # which says where a link leads
            if place is None:
                raise InputError(f"{name}[{shown(key or '')}]: damaged", "copy the file again, or write it again")
            members = [_member(each, places[each]) for each in list(places)[:MOST]] if reading.inspected else ()
            return Hdf5Source(stream, file, f"{name}[{shown(key or '')}]", place, members)
    except BaseException:
        file.close()
        raise


def _opened(stream: BinaryIO, name: str) -> Any:
    """Open a file by its path where it has one, as the library checks more of what it opens itself."""
    import h5py

    path, never = getattr(stream, "name", None), f"{name}: its writer has not closed it"
    remedy = "close it there; if that program has died, try a copy of the file: h5clear -s COPY"
    with damaged(name, "HDF5", *ERRORS):
        opened = os.fstat(stream.fileno())
        if isinstance(path, str) and os.path.exists(path) and os.path.samestat(os.stat(path), opened):
            try:
                return h5py.File(path, "r", rdcc_nbytes=CACHE)
            except OSError as error:
                if "open for write" not in str(error) and "lock file" not in str(error):
                    raise
                raise InputError(f"{never}: {error}", remedy) from None
        head = stream.read(2048 + 12)
        superblock = head[head.index(b"\x89HDF") :]
        if superblock[8] >= 3 and superblock[11] & 1:
            raise InputError(never, remedy)
        return h5py.File(stream, "r", rdcc_nbytes=CACHE)


def _found(file: Any, name: str, key: str) -> Place | None:
    """Find a dataset, or a field of a compound one, by its path; None where there is none. OptionError at a link."""
    import h5py

    node = _node(file, name, key)
    if isinstance(node, h5py.Dataset):
        return node, ()
    for at in reversed([at for at, letter in enumerate(key) if letter == "."]):
        node, fields = _node(file, name, key[:at]), tuple(key[at + 1 :].split("."))
        if isinstance(node, h5py.Dataset) and fields in _fields(node.dtype):
            return node, fields
    return None


def _node(file: Any, name: str, path: str) -> Any:
    """Follow a path of groups of this file; None where it leads nowhere. Raises OptionError at a link."""
    import h5py

    node, parts = file, path.split("/")
    for number, part in enumerate(parts):
        if not isinstance(node, h5py.Group) or part in ("", ".", "..") or not part.isprintable():
            return None
        link = node.get(part, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            where = f" to {shown(link.path)}" if hasattr(link, "path") else ""
            remedy = f"name the array itself with {parameter('key')}"
            if isinstance(link, h5py.ExternalLink):
                where, remedy = f"{where} in another file, {shown(link.filename)}", f"give that file, and {remedy}"
            what = f"{name}: {shown('/'.join(parts[: number + 1]))} is a link{where}, and links are not followed"
            raise OptionError(what, remedy)
        node = node[part]
    return node


def _places(file: Any) -> Iterator[tuple[str, Place | None]]:
    """List the datasets, those of outer groups first, and the fields of compound ones; None for what cannot be read."""
    import h5py

    looked, seen, waiting = 0, set(), deque([("", file)])
    while waiting:
        path, group = waiting.popleft()
        for name in group:
            looked += 1
            if looked > MOST_OBJECTS:
                return
            key, node = f"{path}{name}", None
            with suppress(*ERRORS):
                if isinstance(group.get(name, getlink=True), h5py.HardLink):
                    node = group[name]
                    address = h5py.h5g.get_objinfo(node.id, b".").objno
                    if address in seen or name in OF_MATLAB:  # groups may even contain each other
                        continue
                    seen.add(address)
            if isinstance(node, h5py.Group):
                waiting.append((f"{key}/", node))
            elif isinstance(node, h5py.Dataset):
                fields: list[tuple[str, ...]] = []
                with suppress(*ERRORS):  # of a type that NumPy has not
                    fields = _fields(node.dtype)
                yield from ((".".join((key, *each)), (node, each)) for each in fields or [()])
            elif node is None:
                yield key, None


def _fields(dtype: np.dtype[Any]) -> list[tuple[str, ...]]:
    """List the paths to fields of real numbers of a compound dtype, at any depth."""
    paths: list[tuple[str, ...]] = []
    for name in dtype.names or ():
        field = dtype[name]
        if field.names:
            paths += [(name, *rest) for rest in _fields(field)]
        elif field.base.kind in "biuf":
            paths.append((name,))
    return paths


def _member(key: str, place: Place | None) -> Member:
    """Describe a dataset, or say why it cannot be read."""
    if place is None:
        return Member(key, None, "", "a link, or damaged")
    try:
        return described(key, lambda key: _checked(*place)[::-1])
    except ERRORS:
        return Member(key, None, "", "damaged")


def _checked(dataset: Any, fields: tuple[str, ...]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return dtype and shape of a dataset or a field. Raises InputError where it is no array of real numbers here."""
    if dataset.is_virtual or dataset.external:
        what = "its numbers lie in other files, which are not opened"
        raise InputError(what, "copy them into one file, as with h5repack")
    if dataset.shape is None:
        raise InputError("an empty dataset, without a shape", OTHER)
    attributes = _attributes(dataset)
    if attributes.get("MATLAB_empty"):
        raise InputError("an empty array of MATLAB, which stores its lengths instead of numbers", OTHER)
    if attributes.get("MATLAB_class") == b"char":
        raise InputError("text of MATLAB, stored as the numbers of its letters", OTHER)
    try:
        dtype: np.dtype[Any] = dataset.dtype
    except TypeError as error:
        what = f"of a type that NumPy has not ({error})"
        raise InputError(what, f"{STORE}: write it again as float64") from None
    for field in fields:
        dtype = dtype[field]
    lengths = (*map(int, dataset.shape), *dtype.shape)
    if dtype.base.kind not in "biuf":
        if dtype.names:
            held = f"compound, of the fields {', '.join(map(shown, dtype.names))}"
            named = next(iter(_fields(dtype)), None)
            raise InputError(held, f"name a field: {parameter('key', '.'.join(('NAME', *named)))}" if named else STORE)
        held = "objects" if dtype.hasobject else "no real numbers"
        raise InputError(f"dtype {dtype} holds {held}", STORE)
    return dtype.base, lengths


def _attributes(dataset: Any) -> Mapping[str, Any]:
    """Return the attributes that change what numbers mean, as far as they can be read."""
    found = {}
    for name in ("MATLAB_empty", "MATLAB_class", "scale_factor", "add_offset", "_FillValue", "missing_value"):
        with suppress(*ERRORS):
            found[name] = dataset.attrs[name]
    return found


def _codecs(dataset: Any) -> Iterator[str]:
    """Name the filters of a dataset. Raises MissingDependencyError where one is not there."""
    import h5py

    listed = dataset.id.get_create_plist()
    for number in range(listed.get_nfilters()):
        code, _, values, stored = listed.get_filter(number)
        said = stored.decode("utf-8", "replace").strip("\0").partition(";")[0]  # bitshuffle; see https://…
        name = "gzip" if code == GZIP else shown(said.removeprefix("HDF5 ").removesuffix(" filter")) or str(code)
        if not h5py.h5z.filter_avail(code):
            with suppress(ImportError):
                import hdf5plugin  # noqa: F401 - which makes its filters known to the library

        if not h5py.h5z.filter_avail(code):
            what = f"packed by the filter {name} ({code}), which is not installed"
            raise MissingDependencyError(what, "pip install hdf5plugin, or write it again with gzip")
        yield f"{name} {values[0]}" if code == GZIP and values else name


class Hdf5Source(BoxSource):
    """A dataset, or a field of one. h5py reads one box at a time, whatever the number of threads that ask."""

    def __init__(self, stream: BinaryIO, file: Any, name: str, place: Place, members: Sequence[Member]) -> None:
        import h5py

        self.name, self._stream, self._file = name, stream, file
        self._dataset, self._fields = place
        with naming(name), damaged(name, "HDF5", *ERRORS):
            dtype, self.shape = _checked(*place)
            codecs = tuple(_codecs(self._dataset))
            listed = self._dataset.id.get_create_plist()
            never = listed.get_fill_time() == h5py.h5d.FILL_TIME_NEVER
            self._unfilled = never or listed.fill_value_defined() == h5py.h5d.FILL_VALUE_UNDEFINED
            chunks = self._dataset.chunks and (*map(int, self._dataset.chunks), *self.shape[self._dataset.ndim :])
            self.chunks = chunks if codecs else None
        self.stored, self.dtype = str(dtype), native_dtype(dtype)
        self.nbytes = math.prod(self.shape) * self.dtype.itemsize
        self.notes = unapplied(_attributes(self._dataset))
        self.facts = Facts("hdf5", members=members, chunks=self.chunks, codecs=codecs)

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        values, rank = buffer.array(block.shape, self.dtype), self._dataset.ndim
        box = tuple(map(slice, block.start, block.stop))
        with damaged(self.name, "HDF5", *ERRORS):
            if self._fields:
                part = self._dataset.fields(self._fields[0])[box[:rank]]
                for field in self._fields[1:]:
                    part = part[field]
                inner: tuple[Any, ...] = (..., *box[rank:])
                values[...] = part[inner]
            elif self.shape:
                if self._unfilled:  # the library leaves memory as it is where nothing was written
                    values[...] = 0
                self._dataset.read_direct(values, box)
            else:
                values[()] = self._dataset[()]
        if self.dtype.kind == "b":  # a file may hold any byte; what is not 0 is true
            np.not_equal(values.view(np.uint8), 0, out=values)
        return Loaded(values)

    def close(self) -> None:
        super().close()
        self._file.close()
        self._stream.close()
