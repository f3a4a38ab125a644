"""Arrays in .npz archives, as numpy.savez and numpy.savez_compressed write them, streamed.

A stored array is read like an .npy file, at any place; one that is deflated only in order. The directory and its
checks are zipfile's. Names in it are names, and never become paths.
"""

from __future__ import annotations

import io
import struct
import threading
import zipfile
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.npy import Header, NpySource, read_header
from softargmax_cli.files.members import MOST, chosen, damaged, shown
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import Loaded, Member, Pending, Source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SUFFIX = ".npy"
DENSEST = 1032
"""Bytes that one byte of deflated data can stand for, at most."""
SLACK = 1 << 10
"""Bytes that a deflated array may take beyond that: nothing."""
PIECE = 1 << 20
"""Bytes read at a time for the checksum."""
LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Head of a member: its magic, and the lengths of its name and of what comes between that and the data."""
REMEDY = "copy the archive again, or write it again with numpy.savez"


def open_npz(stream: BinaryIO, name: str, reading: Reading) -> Source:
    """The array called `reading.key` of the archive in a seekable stream; the only one where there is no key."""
    archive = Archive(stream, name)
    key = archive.chosen(reading.key)
    source = archive.array(key, checked=reading.select is None)
    if reading.inspected:
        members = [archive.member(each) for each in archive.names[:MOST]]
        source.facts = replace(source.facts, members=members)
    return source


class Archive:
    """The arrays of a seekable stream, by name. Raises InputError where it is not sound."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name = stream, name
        with _damaged(name):
            self._zip = zipfile.ZipFile(stream)
        self._infos = {_key(info): info for info in self._zip.infolist() if info.filename.endswith(SUFFIX)}
        self.names = list(self._infos)
        if not self.names:
            held = "nothing in it" if not self._zip.infolist() else f"nothing in it is called *{SUFFIX}"
            raise InputError(f"{name}: a zip archive without arrays: {held}", "write it with numpy.savez")

    def chosen(self, key: str | None) -> str:
        """The name of the array that `key` means, with or without ".npy"."""
        if key is not None and key not in self._infos and key.removesuffix(SUFFIX) in self._infos:
            key = key.removesuffix(SUFFIX)
        return chosen(self._name, "npz", self.names, key, self.member)

    def member(self, key: str) -> Member:
        """Describe an array from its head, or say why it cannot be read."""
        try:
            header = self._header(key)
        except InputError as error:
            return Member(key, None, "", error.what.removeprefix(f"{self._where(key)}: "))
        return Member(key, header.shape, str(header.dtype))

    def array(self, key: str, *, checked: bool) -> Source:
        """One array; `checked` says whether a stored one, read whole, must agree with its checksum.

        A deflated one always must. Closing it closes the stream.
        """
        info, header = self._infos[key], self._header(key)
        title = f"{self._name}[{shown(key)}]"
        if info.compress_type == zipfile.ZIP_DEFLATED:
            source = NpySource(cast(BinaryIO, io.BufferedReader(self.opened(key))), title)
        else:
            begin = self._begin(info)
            self._stream.seek(begin + header.length)
            source = NpySource(self._stream, title, header, alone=False)
            if checked:
                source = CheckedSource(self._stream, title, header, begin, info)
        source.facts = replace(source.facts, format="npz")
        return source

    def opened(self, key: str) -> _Inflated:
        """The .npy file that an array is, as a stream to be read in order, which closes the archive's own."""
        self._check(key)
        with _damaged(self._where(key)):
            return _Inflated(self._zip.open(self._infos[key]), self._stream, self._where(key))

    def _header(self, key: str) -> Header:
        """The head of an array, which must fit what the directory says of it."""
        info, where = self._infos[key], self._where(key)
        self._check(key)
        with _damaged(where), self._zip.open(info) as member:
            header = read_header(cast(BinaryIO, member), where)
        if header.length + header.nbytes != info.file_size:
            what = f"its head says {header.length + header.nbytes:,} bytes, the archive's directory {info.file_size:,}"
            raise InputError(f"{where}: {what}", REMEDY)
        return header

    def _check(self, key: str) -> None:
        """Refuse what zipfile would read and should not, or could not."""
        info, where = self._infos[key], self._where(key)
        if info.flag_bits & 1:
            raise InputError(f"{where}: encrypted", "extract it with its password: unzip -p FILE NAME.npy > NAME.npy")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            method = zipfile.compressor_names.get(info.compress_type, info.compress_type)  # type: ignore[attr-defined]
            raise InputError(f"{where}: packed by {method}; stored and deflated can be read", REMEDY)
        most = info.compress_size if info.compress_type == zipfile.ZIP_STORED else DENSEST * info.compress_size + SLACK
        if info.file_size > most:
            what = f"{info.file_size:,} bytes from {info.compress_size:,}, which cannot be"
            raise InputError(f"{where}: damaged: {what}", REMEDY)

    def _begin(self, info: zipfile.ZipInfo) -> int:
        """Find where a member's data begin in the stream."""
        self._stream.seek(info.header_offset)
        _, name, extra = LOCAL_HEADER.unpack(self._stream.read(LOCAL_HEADER.size))  # zipfile has seen that it is sound
        return info.header_offset + LOCAL_HEADER.size + int(name) + int(extra)

    def _where(self, key: str) -> str:
        return f"{self._name}[{shown(key)}]"


def _key(info: zipfile.ZipInfo) -> str:
    return info.filename.removesuffix(SUFFIX)


def _damaged(name: str) -> AbstractContextManager[None]:
    """Turn what zipfile raises, which is many things, into an InputError that names the file."""
    return damaged(
        name,
        ".npz",
        *(zipfile.BadZipFile, zlib.error, struct.error),
        *(EOFError, OSError, ValueError, IndexError, OverflowError, NotImplementedError, RuntimeError),
    )


class CheckedSource(NpySource):
    """A stored array that agrees with its checksum, or whose last number is never handed out.

    Blocks are read in any order, perhaps twice, so a thread of its own reads the member beside them; `begin` is where
    that lies in the stream. Whatever reads all of the array waits for it.
    """

    def __init__(self, stream: BinaryIO, name: str, header: Header, begin: int, info: zipfile.ZipInfo) -> None:
        super().__init__(stream, name, header, alone=False)
        self._member, self._info = begin, info
        self._threads = ThreadPoolExecutor(1)
        self._closed = threading.Event()
        self._checked: Future[None] | None = None

    def fetch(self, block: Block) -> Pending:
        if self._checked is None:
            self._checked = self._threads.submit(self._check)
        pending = super().fetch(block)
        return _Last(pending, self._checked) if block.stop == self.shape else pending

    def _check(self) -> None:
        crc, space = 0, memoryview(bytearray(PIECE))
        for place in range(0, self._info.file_size, PIECE):
            if self._closed.is_set():
                return
            part = space[: self._info.file_size - place]
            self._read_at(part, self._member + place)
            crc = zlib.crc32(part, crc)
        if crc != self._info.CRC:
            raise InputError(f"{self.name}: damaged: its checksum is not that of the archive's directory", REMEDY)

    def close(self) -> None:
        self._closed.set()
        self._threads.shutdown()
        super().close()


@dataclass(frozen=True, slots=True)
class _Last:
    """The block with an array's last number."""

    pending: Pending
    checked: Future[None]

    @property
    def nbytes(self) -> int:
        return self.pending.nbytes

    def load(self, buffer: Buffer) -> Loaded:
        self.checked.result()
        return self.pending.load(buffer)


class _Inflated(io.RawIOBase):
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
