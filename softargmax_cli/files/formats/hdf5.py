"""HDF5 files, read by h5py: datasets of real numbers, and fields of real numbers in compound ones.

Nothing outside of the file is read: links, virtual datasets and external storage are refused.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, BinaryIO

import h5py
import numpy as np

from softargmax_cli.errors import InputError, MissingDependencyError, OptionError, parameter
from softargmax_cli.files.formats.npy import native_dtype
from softargmax_cli.files.members import member_of, shown, unapplied
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import BoxSource, Facts, parsing
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer, Loaded

CACHE = 32 << 20
"""Bytes of chunks that h5py keeps decoded."""
MOST_PLACES = 10_000
"""The most datasets and fields that are listed."""
OF_MATLAB = ("#refs#", "#subsystem#")
"""Groups in which MATLAB keeps parts of its cells and objects."""
GZIP = 1
"""The number of the filter that HDF5 itself calls deflate."""
REMEDY = "store real numbers"
OTHER = f"name another array with {parameter('key')}, if the file holds one"

Place = tuple[Any, str]
"""A dataset, and the name of a field of it; empty if it is not compound."""


class Hdf5Source(BoxSource):
    """The dataset `reading.key`, as "group/name" or "group/name.field"; without a key, the only one of numbers.

    h5py reads one box at a time, however many threads ask. Raises InputError for damage and for numbers in other files,
    MissingDependencyError for a missing filter.
    """

    def __init__(self, stream: BinaryIO, name: str, reading: Reading) -> None:
        head = stream.read(2048 + 12)  # a superblock may follow a user block
        superblock = head[head.index(b"\x89HDF") :]
        if superblock[8] >= 3 and superblock[11] & 1:
            remedy = "close it there; if that program has died, try a copy of the file: h5clear -s COPY"
            raise InputError("its writer has not closed it", remedy)
        path = getattr(stream, "name", None)  # h5py opens a path more quickly than a stream
        file = h5py.File(path if isinstance(path, str) and os.path.isfile(path) else stream, "r", rdcc_nbytes=CACHE)
        self.closes = (file, stream)
        reading = replace(reading, key=None if reading.key is None else reading.key.strip("/"))
        place = None if reading.key is None else _found(file, reading.key)
        places = {} if place is None else {str(reading.key): place}
        if place is None or reading.inspected:
            places = _places(file) | places
        key, self.name, members = member_of(name, "hdf5", list(places), reading, lambda key: _checked(*places[key]))
        dataset, self._field = places[key]
        with parsing(self.name, "HDF5 file"):
            self.shape, dtype = _checked(dataset, self._field)
            codecs = tuple(_codecs(dataset))
            if codecs:
                self.chunks = (*map(int, dataset.chunks), *self.shape[dataset.ndim :])
        self._dataset, self.stored, self.dtype = dataset, str(dtype), native_dtype(dtype)
        self.nbytes = math.prod(self.shape) * self.dtype.itemsize
        self.notes = unapplied(_attributes(dataset))
        self.facts = Facts("hdf5", members=members, chunks=self.chunks, codecs=codecs)

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        values, rank = buffer.array(block.shape, self.dtype), self._dataset.ndim
        box = tuple(map(slice, block.start, block.stop))
        if self._field:
            inner: tuple[Any, ...] = (..., *box[rank:])
            values[...] = self._dataset.fields(self._field)[box[:rank]][inner]
        elif self.shape:
            values[...] = 0  # the library does not fill parts that were never written
            self._dataset.read_direct(values, box)
        else:
            values[()] = self._dataset[()]
        return Loaded(values)


def _found(file: Any, key: str) -> Place | None:
    """Find a dataset, or a field of a compound one, by its path, if it exists. Raises OptionError at a link."""
    for at in (len(key), *reversed([at for at, letter in enumerate(key) if letter == "."])):
        node, field = _node(file, key[:at]), key[at + 1 :]
        if isinstance(node, h5py.Dataset) and (not field or field in _fields(node.dtype)):
            return node, field
    return None


def _node(file: Any, path: str) -> Any:
    """Follow a path of groups of this file; None if it leads nowhere. Raises OptionError at a link."""
    node = file
    for part in path.split("/"):
        named = isinstance(node, h5py.Group) and part not in ("", ".", "..") and part.isprintable()
        link = node.get(part, getlink=True) if named else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            remedy = f"name the array itself with {parameter('key')}"
            raise OptionError(f"{shown(part)} is a link, and links are not followed", remedy)
        node = node[part]
    return node


def _places(file: Any) -> dict[str, Place]:
    """List the datasets, and the fields of compound ones, by their names; links are skipped."""
    places: dict[str, Place] = {}

    def look(path: Any, node: Any) -> bool | None:
        if isinstance(node, h5py.Dataset) and isinstance(path, str) and not path.startswith(OF_MATLAB):
            fields: list[str] = []
            with suppress(TypeError):  # of a type unknown to NumPy
                fields = _fields(node.dtype)
            places.update({f"{path}.{field}": (node, field) for field in fields} or {path: (node, "")})
        return True if len(places) >= MOST_PLACES else None

    file.visititems(look)
    return places


def _fields(dtype: np.dtype[Any]) -> list[str]:
    """List the fields of real numbers of a compound dtype."""
    return [name for name in dtype.names or () if dtype[name].base.kind in "biuf"]


def _checked(dataset: Any, field: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of a dataset or a field. Raises InputError unless it has real numbers in this file."""
    if dataset.is_virtual or dataset.external:
        what = "its numbers lie in other files, which are not opened"
        raise InputError(what, "copy them into one file, as with h5repack")
    if dataset.shape is None:
        raise InputError("an empty dataset, without a shape", OTHER)
    attributes = _attributes(dataset)
    if attributes.get("MATLAB_empty") or attributes.get("MATLAB_class") == b"char":
        raise InputError("an empty array or a text of MATLAB, which stores other numbers for it", OTHER)
    try:
        dtype: np.dtype[Any] = dataset.dtype
    except TypeError as error:
        what = f"of a type that NumPy has not ({error})"
        raise InputError(what, f"{REMEDY}: write it again as float64") from None
    if field:
        dtype = dtype[field]
    if dtype.names:
        held = f"compound, of the fields {', '.join(map(shown, dtype.names))}"
        named = next(iter(_fields(dtype)), None)
        raise InputError(held, f"name a field: {parameter('key', f'NAME.{named}')}" if named else REMEDY)
    native_dtype(dtype.base)
    return (*map(int, dataset.shape), *dtype.shape), dtype.base


def _attributes(dataset: Any) -> Mapping[str, Any]:
    """Return the attributes that change the meaning of numbers, as far as they can be read."""
    found = {}
    for name in ("MATLAB_empty", "MATLAB_class", "scale_factor", "add_offset", "_FillValue", "missing_value"):
        with suppress(Exception):
            found[name] = dataset.attrs[name]
    return found


def _codecs(dataset: Any) -> Iterator[str]:
    """Name the filters of a dataset. Raises MissingDependencyError if one is missing."""
    listed = dataset.id.get_create_plist()
    for code, _, values, stored in map(listed.get_filter, range(listed.get_nfilters())):
        said = stored.decode("utf-8", "replace").strip("\0").partition(";")[0]  # bitshuffle; see https://…
        name = "gzip" if code == GZIP else shown(said.removeprefix("HDF5 ").removesuffix(" filter")) or str(code)
        if not h5py.h5z.filter_avail(code):
            with suppress(ImportError):
                import hdf5plugin  # noqa: F401 - registers its filters with the library
        if not h5py.h5z.filter_avail(code):
            what = f"packed by the filter {name} ({code}), which is not installed"
            raise MissingDependencyError(what, "pip install hdf5plugin, or write it again with gzip")
        yield f"{name} {values[0]}" if code == GZIP and values else name
