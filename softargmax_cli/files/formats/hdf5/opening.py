"""Datasets of HDF5 files, through h5py: any layout and filter that the library knows, read a block at a time.

Nothing outside of the file is read: no external links, no virtual datasets, no external storage.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO

from softargmax_cli.errors import InputError, MissingDependencyError, OptionError
from softargmax_cli.files.formats.hdf5.dataset import Dataset, damage
from softargmax_cli.files.members import MOST, chosen, few, shown, typed
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import BoxSource, Facts, Loaded, Member, Source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.buffer import Buffer

CACHE = 32 << 20
"""Bytes of chunks that are kept unpacked, as blocks seldom end where chunks do."""
MOST_OBJECTS = 10_000
"""Groups and datasets that are looked at for a list of names."""


def open_hdf5(stream: BinaryIO, name: str, reading: Reading) -> Source:
    """The dataset called `reading.key`, as "group/name", of a seekable stream; the only one where there is no key.

    Raises InputError for what is not sound or lies in other files, MissingDependencyError without h5py.
    """
    try:
        import h5py
    except ImportError:
        what = f"{name}: an HDF5 file, and h5py, which reads them, is not installed"
        raise MissingDependencyError(what, "pip install 'softargmax[hdf5]'") from None
    with damage(name):
        file = h5py.File(stream, "r", rdcc_nbytes=CACHE)
    try:
        with damage(name):
            key = None if reading.key is None else reading.key.strip("/")
            dataset = None if key is None else _named(file, name, key)
            listed = {} if dataset is not None and not reading.inspected else dict(_datasets(file))
            found = {each: held for each, held in listed.items() if held is not None}
            if listed and not found:
                what = f"{name}: no arrays in it, only links, which are not followed: {few(list(listed))}"
                raise InputError(what, "name one with --key to see where it leads")
            if dataset is None:
                key = chosen(name, "hdf5", list(found), key, lambda key: _member(key, found[key]))
                dataset = found[key]
            source = _source(stream, file, Dataset(dataset, f"{name}[{shown(key or '')}]"))
            members = [_member(each, found[each]) for each in islice(found, MOST)]
            source.facts = Facts("hdf5", members=members, codecs=source.facts.codecs)
            return source
    except BaseException:
        file.close()
        raise


def _named(file: Any, name: str, path: str) -> Any:
    """The dataset at a path of groups of this file; None where there is none. Raises OptionError at a link."""
    import h5py

    found, parts = file, path.split("/")
    for number, part in enumerate(parts):
        stored = _stored(part)
        if not isinstance(found, h5py.Group) or stored in (b"", b".", b"..") or b"\0" in stored:
            return None
        links = found.id.links
        if not links.exists(stored):
            return None
        kind = links.get_info(stored).type
        if kind != h5py.h5l.TYPE_HARD:
            known = kind in (h5py.h5l.TYPE_SOFT, h5py.h5l.TYPE_EXTERNAL)
            raise _not_followed(name, parts, number, links.get_val(stored) if known else None)
        found = found[stored]
    return found if isinstance(found, h5py.Dataset) else None


def _not_followed(
    name: str, parts: Sequence[str], number: int, leads: bytes | tuple[bytes, bytes] | None
) -> OptionError:
    """Of a path whose part of that number is a link; `leads`: to a path, or to a file and a path in it."""
    what, rest = f"{name}: {shown('/'.join(parts[: number + 1]))} is a link", parts[number + 1 :]
    if leads is None:
        return OptionError(f"{what} of a kind that is not followed", "name an array that lies in the file")
    target = _text(leads if isinstance(leads, bytes) else leads[1])
    above = parts[:number] if isinstance(leads, bytes) and not target.startswith("/") else []
    places = [*above, *(part for part in target.split("/") if part not in ("", "."))]
    target, key = "/".join(places) or "/", typed("/".join([*places, *rest]))
    if isinstance(leads, bytes):
        return OptionError(f"{what} to {shown(target)}, and links are not followed", f"name that instead: --key {key}")
    other = _text(leads[0])
    what = f"{what} to {shown(target)} in another file, {shown(other)}, and links are not followed"
    return OptionError(what, f"give that file: {typed(other)} --key {key}")


def _datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """The first datasets by their paths, each once, those of outer groups first; None for a link, not followed."""
    import h5py

    looked, seen, waiting = 0, set(), deque([("", file)])
    while waiting:
        path, group = waiting.popleft()
        for stored in group.id:
            looked += 1
            if looked > MOST_OBJECTS:
                return
            name = _text(stored)
            if group.id.links.get_info(stored).type != h5py.h5l.TYPE_HARD:
                yield f"{path}{name}", None
                continue
            found = group[stored]
            # Not `h5o.get_info`, which looks into indexes, too, and crashes where these are damaged.
            address = h5py.h5g.get_objinfo(found.id, b".").objno
            if address in seen:  # groups may even contain each other
                continue
            seen.add(address)
            if isinstance(found, h5py.Dataset):
                yield f"{path}{name}", found
            elif isinstance(found, h5py.Group):
                waiting.append((f"{path}{name}/", found))


def _text(stored: bytes) -> str:
    """A name as text, with bytes that are no UTF-8 as Python carries those of file names."""
    return stored.decode("utf-8", "surrogateescape")


def _stored(name: str) -> bytes:
    """A name as a file has it; nothing where none has."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return b""


def _member(key: str, dataset: Any) -> Member:
    try:
        return Member(key, None if dataset.shape is None else tuple(dataset.shape), str(dataset.dtype))
    except (TypeError, ValueError, OSError, RuntimeError):
        return Member(key, None, "")


def _source(stream: BinaryIO, file: Any, dataset: Dataset) -> Source:
    from softargmax_cli.files.formats.hdf5.packed import PackedSource

    known = dataset.filters
    return Hdf5Source(stream, file, dataset) if known is None else PackedSource(stream, file, dataset, known)


class Hdf5Source(BoxSource):
    """A dataset that the library reads: in no chunks, in chunks without filters, or with filters that only it knows.

    It reads one block at a time, whatever the number of threads that ask.
    """

    def __init__(self, stream: BinaryIO, file: Any, dataset: Dataset) -> None:
        self._stream, self._file, self._dataset = stream, file, dataset
        self.name, self.shape, self.stored, self.dtype = dataset.name, dataset.shape, dataset.stored, dataset.dtype
        self.nbytes = dataset.nbytes
        self._lengths = threading.Lock()
        self._checked = dataset.chunks is None or bool(dataset.codecs)

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        """A box, in C order and native byte order."""
        with self._lengths:
            if not self._checked:
                self._dataset.check_lengths()
                self._checked = True
        values = buffer.array(block.shape, self.dtype)
        self._dataset.read(block, values)
        return Loaded(values)

    def close(self) -> None:
        super().close()
        self._file.close()
        self._stream.close()
