"""Arrays in .npz archives, as numpy.savez and numpy.savez_compressed write them, streamed.

A stored array is read like an .npy file, at any place; one that is packed only in order. The directory and its
checks are zipfile's. Names in it are names, and never become paths.
"""

from __future__ import annotations

import io
import struct
import threading
import zipfile
import zlib
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.npy import Header, NpySource, read_header
from softargmax_cli.files.members import MOST, chosen, damaged, described, shown
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import Member, Pending, Source
from softargmax_cli.reduction.blocks import Block

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SUFFIX = ".npy"
PIECE = 1 << 20
"""Bytes read at a time for the checksum."""
LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Head of a member: its magic, and the lengths of its name and of what comes between that and the data."""
REMEDY = "copy the archive again, or write it again with numpy.savez"


def open_npz(stream: BinaryIO, name: str, reading: Reading) -> Source:
    """Open the array called `reading.key` of the archive in a seekable stream; the only one where there is no key.

    What is read whole must agree with its checksum. Raises InputError where the archive is not sound.
    """
    with _damaged(name):
        archive = zipfile.ZipFile(stream)
    infos = {info.filename.removesuffix(SUFFIX): info for info in archive.infolist() if info.filename.endswith(SUFFIX)}
    if not infos:
        held = "nothing in it" if not archive.infolist() else f"nothing in it is called *{SUFFIX}"
        raise InputError(f"{name}: a zip archive without arrays: {held}", "write it with numpy.savez")

    def member(key: str) -> Member:
        return described(key, look, f"{name}[{shown(key)}]")

    def look(key: str) -> tuple[tuple[int, ...], object]:
        header = _header(archive, infos[key], f"{name}[{shown(key)}]")
        return header.shape, header.dtype

    asked = reading.key
    if asked is not None and asked not in infos and asked.removesuffix(SUFFIX) in infos:
        asked = asked.removesuffix(SUFFIX)
    key = chosen(name, "npz", list(infos), asked, member)
    info, where = infos[key], f"{name}[{shown(key)}]"
    header = _header(archive, info, where)
    if info.compress_type == zipfile.ZIP_STORED:
        stream.seek(info.header_offset)
        _, *between = LOCAL_HEADER.unpack(stream.read(LOCAL_HEADER.size))  # zipfile has seen that it is sound
        stream.seek(sum(between) + header.length, io.SEEK_CUR)
        checked = None if reading.select is not None else archive
        source: NpySource = StoredSource(stream, where, header, checked, info)
    else:
        with _damaged(where):
            packed = _Packed(archive.open(info), stream, where)
        source = NpySource(cast(BinaryIO, io.BufferedReader(packed)), where)
    members = [member(each) for each in list(infos)[:MOST]] if reading.inspected else ()
    source.facts = replace(source.facts, format="npz", members=members)
    return source


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> Header:
    """Read the head of an array, which must fit what the directory says of it."""
    if info.flag_bits & 1:
        raise InputError(f"{where}: encrypted", "extract it with its password: unzip -p FILE NAME.npy > NAME.npy")
    with _damaged(where), archive.open(info) as member:
        header = read_header(cast(BinaryIO, member), where)
    if header.length + header.nbytes != info.file_size:
        what = f"its head says {header.length + header.nbytes:,} bytes, the archive's directory {info.file_size:,}"
        raise InputError(f"{where}: {what}", REMEDY)
    return header


def _damaged(name: str) -> AbstractContextManager[None]:
    """Turn what zipfile raises, which is many things, into an InputError that names the file."""
    return damaged(
        name,
        ".npz",
        *(zipfile.BadZipFile, zlib.error, struct.error),
        *(EOFError, OSError, ValueError, IndexError, OverflowError, NotImplementedError, RuntimeError),
    )


class StoredSource(NpySource):
    """A stored array, which is compared with its checksum before the first block, where `archive` is given."""

    def __init__(
        self, stream: BinaryIO, name: str, header: Header, archive: zipfile.ZipFile | None, info: zipfile.ZipInfo
    ) -> None:
        super().__init__(stream, name, header, alone=False)
        self._archive, self._info, self._checking = archive, info, threading.Lock()

    def fetch(self, block: Block) -> Pending:
        self.check_open()
        with self._checking:
            if self._archive is not None:
                with _damaged(self.name), self._archive.open(self._info) as member:
                    while member.read(PIECE):
                        pass
                self._archive = None
        return super().fetch(block)


class _Packed(io.RawIOBase):
    """A member of an archive from its beginning; zipfile compares the checksum when the last byte is read."""

    def __init__(self, member: IO[bytes], stream: BinaryIO, name: str) -> None:
        self._member, self._stream, self._name = member, stream, name

    def readable(self) -> bool:
        return True

    def readinto(self, target: WriteableBuffer) -> int:
        with _damaged(self._name):
            count: int = self._member.readinto(target)  # type: ignore[attr-defined]  # typeshed's IO has it not
            return count

    def close(self) -> None:
        self._member.close()
        self._stream.close()
        super().close()
