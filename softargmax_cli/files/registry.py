"""From a name on the command line to an open source, recognised by its first bytes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from softargmax_cli.errors import InputError
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import Source
from softargmax_cli.files.stores import is_store
from softargmax_cli.files.strangers import LONGEST_START, other_format
from softargmax_cli.files.streams import looked_at, opened
from softargmax_cli.files.tempcopy import copied_stream
from softargmax_cli.files.watching import Watch, refusals


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file that can be read."""

    article: str
    """As a sentence calls one: "an .npy file"."""
    begins: Callable[[bytes], bool]
    """Whether a file with these first bytes is one."""
    suffixes: tuple[str, ...]
    """Of names that promise one."""
    options: frozenset[str]
    """Of `Reading`, those that say something of one."""
    open: Callable[[BinaryIO, str, Reading], Source]
    """From a stream at its start. Modules are loaded here, for most files need few of them."""
    jumps: bool = True
    """Whether it must be read at any place, so that a pipe is copied first."""


def open_source(path: str, reading: Reading | None = None) -> Source:
    """Open a file, a Zarr store by its path or URL, or standard input for "-", and the part of it that is asked for.

    Raises InputError where there is nothing to read or its format is not known, OptionError where it has not what is
    asked for.
    """
    reading = reading or Reading()
    if path != "-" and is_store(path):
        from softargmax_cli.files.formats.zarr import ZarrSource

        return _part(_told(ZarrSource(path, reading), "a Zarr store", NAMED, reading), reading)
    return source_of(*opened(path), path, reading)


def source_of(stream: BinaryIO, name: str, size: int | None, path: str, reading: Reading) -> Source:
    """What a stream holds, from its first byte on; `size` is its number of bytes, where that is known.

    The source closes the stream, as an error does. Raises as `open_source`.
    """
    try:
        watch = Watch(stream, path, name)
        with watch.explaining(), refusals(name):
            stream, first = looked_at(stream)
            source = _recognised(stream, first, name, size, reading)
        source.watch = watch
    except BaseException:
        stream.close()
        raise
    return _part(source, reading)


def _part(source: Source, reading: Reading) -> Source:
    """What is selected of a source; the source is closed where it has no such part."""
    if reading.select is None:
        return source
    try:
        from softargmax_cli.files.select import selected

        part = selected(source, reading.select)
        part.watch = source.watch
        return part
    except BaseException:
        source.close()
        raise


def _recognised(stream: BinaryIO, first: bytes, name: str, size: int | None, reading: Reading) -> Source:
    if not first:
        raise InputError(f"{name}: empty", "is something still to write it?")
    for kind in FORMATS:
        if kind.begins(first):
            source = _opened(kind, copied_stream(stream, name) if kind.jumps else stream, name, reading)
            break
    else:
        start = first[:LONGEST_START]
        if other := other_format(start):
            raise InputError(f"{name}: {other.kind}; {READABLE} can be read", other.remedy)
        suffix = os.path.splitext(name)[1].lower()
        for kind in FORMATS:
            if suffix in kind.suffixes:
                held = "text" if start.isascii() and b"\0" not in start else "bytes of no known format"
                what = f"not {kind.article}, whatever its name says, but {held}"
                raise InputError(f"{name}: {what}", "write it again, or rename it if it is a table in text")
        kind = TEXT
        source = _text(stream, name, reading, size=size, compressed=first.startswith(b"\x1f\x8b"))
    return _told(source, kind.article, kind.options, reading)


def _told(source: Source, article: str, options: frozenset[str], reading: Reading) -> Source:
    """The source, with a note of options that say nothing of its kind."""
    idle = [option for option in reading.given if option not in options]
    if idle:
        says = "says" if len(idle) == 1 else "say"
        source.notes += (f"{' and '.join(idle)} {says} nothing of {article}",)
    return source


def _opened(kind: Format, stream: BinaryIO, name: str, reading: Reading) -> Source:
    try:
        return kind.open(stream, name, reading)
    except BaseException:
        stream.close()
        raise


def _text(
    stream: BinaryIO, name: str, reading: Reading, *, size: int | None = None, compressed: bool = False
) -> Source:
    from softargmax_cli.files.formats.csv.source import open_csv

    return open_csv(
        stream,
        name,
        delimiter=reading.delimiter,
        header=reading.header,
        id_column=reading.id_column,
        nbytes=size,
        compressed=compressed,
        find_ids=reading.inspected,
    )


def _npy(stream: BinaryIO, name: str, reading: Reading) -> Source:
    from softargmax_cli.files.formats.npy import NpySource

    return NpySource(stream, name)


def _npz(stream: BinaryIO, name: str, reading: Reading) -> Source:
    from softargmax_cli.files.formats.npz import open_npz

    return open_npz(stream, name, reading)


def _safetensors(stream: BinaryIO, name: str, reading: Reading) -> Source:
    from softargmax_cli.files.formats.safetensors import open_safetensors

    return open_safetensors(stream, name, reading)


def _hdf5(stream: BinaryIO, name: str, reading: Reading) -> Source:
    from softargmax_cli.files.formats.hdf5.opening import open_hdf5

    return open_hdf5(stream, name, reading)


def _parquet(stream: BinaryIO, name: str, reading: Reading) -> Source:
    from softargmax_cli.files.formats.parquet import open_parquet

    return open_parquet(stream, name, reading)


def _begins(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda first: first.startswith(magics)


def _like_hdf5(first: bytes) -> bool:
    """The signature comes first, or behind a user block, here one of up to 2048 bytes."""
    return any(first.startswith(HDF5, place) for place in (0, 512, 1024, 2048))


def _like_safetensors(first: bytes) -> bool:
    """The length of a header, which takes four bytes at most, and then the header: no text has bytes of 0."""
    return first[4:9] == b"\0\0\0\0{"


HDF5 = b"\x89HDF\r\n\x1a\n"
NAMED = frozenset({"--key"})
TEXT = Format("a CSV", lambda first: True, (), frozenset({"--delimiter", "--header", "--id-column"}), _text)
FORMATS = (
    Format("an .npy file", _begins(b"\x93NUMPY"), (".npy",), frozenset(), _npy, jumps=False),
    Format("an .npz file", _begins(b"PK\x03\x04", b"PK\x05\x06"), (".npz",), NAMED, _npz),
    Format("a .safetensors file", _like_safetensors, (".safetensors",), NAMED, _safetensors),
    Format("a Parquet file", _begins(b"PAR1"), (".parquet", ".pq"), frozenset({"--id-column"}), _parquet),
    Format("an HDF5 file", _like_hdf5, (".h5", ".hdf5", ".hdf"), NAMED, _hdf5),
)
"""What is recognised; a file that is none of these, nor refused, is text."""
READABLE = ".npy, .npz, .safetensors, HDF5, Parquet and CSV"
