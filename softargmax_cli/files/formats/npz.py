"""Arrays in .npz archives, as numpy.savez and numpy.savez_compressed write them, streamed.

A stored array is read like an .npy file, at any place; one that is packed only in order. The directory and its
checks are zipfile's. Names in it are names, and never become paths.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import replace
from typing import BinaryIO, cast

from softargmax_cli.errors import InputError, naming
from softargmax_cli.files.formats.npy import Header, NpySource, read_header
from softargmax_cli.files.members import chosen, damaged, shown
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import Pending, Source
from softargmax_cli.reduction.blocks import Block

SUFFIX = ".npy"
ERRORS: tuple[type[Exception], ...] = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError)
ERRORS += (LookupError, RuntimeError, OverflowError)
"""Exceptions of zipfile at archives that are not sound."""
LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Head of a member: its magic, and the lengths of its name and of what comes between that and the data."""


def open_npz(stream: BinaryIO, name: str, reading: Reading) -> Source:
    """Open the array called `reading.key` of the archive in a seekable stream; the only one where there is no key.

    A packed array must agree with its checksum. Raises InputError where the archive is not sound.
    """
    with damaged(name, ".npz", *ERRORS):
        archive = zipfile.ZipFile(stream)
    infos = {info.filename.removesuffix(SUFFIX): info for info in archive.infolist() if info.filename.endswith(SUFFIX)}

    def look(key: str) -> tuple[tuple[int, ...], object]:
        header = _header(archive, infos[key], f"{name}[{shown(key)}]")
        return header.shape, header.dtype

    key, members = chosen(name, "npz", list(infos), reading, look)
    info, where = infos[key], f"{name}[{shown(key)}]"
    with naming(where):
        header = _header(archive, info, where)
        if info.compress_type == zipfile.ZIP_STORED:
            stream.seek(info.header_offset)
            _, *between = LOCAL_HEADER.unpack(stream.read(LOCAL_HEADER.size))  # zipfile has seen that it is sound
            stream.seek(sum(between) + header.length, io.SEEK_CUR)
            source = NpySource(stream, where, header, alone=False)
        else:
            with damaged(where, ".npz", *ERRORS):
                source = PackedSource(cast(BinaryIO, archive.open(info)), stream, where)
    source.facts = replace(source.facts, format="npz", members=members)
    return source


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> Header:
    """Read the head of an array, which must fit what the directory says of it."""
    with damaged(where, ".npz", *ERRORS), archive.open(info) as member:
        header = read_header(cast(BinaryIO, member))
    if header.length + header.nbytes != info.file_size:
        what = f"its head says {header.length + header.nbytes:,} bytes, the archive's directory {info.file_size:,}"
        raise InputError(what, "copy the archive again, or write it again with numpy.savez")
    return header


class PackedSource(NpySource):
    """A packed array, which is read in order; zipfile compares the checksum when the last byte is read."""

    sequential = True

    def __init__(self, member: BinaryIO, archive: BinaryIO, name: str) -> None:
        self._archive = archive
        super().__init__(member, name)

    def fetch(self, block: Block) -> Pending:
        with damaged(self.name, ".npz", *ERRORS):
            return super().fetch(block)

    def close(self) -> None:
        super().close()
        self._archive.close()
