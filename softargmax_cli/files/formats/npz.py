"""Arrays in .npz archives, as numpy.savez and numpy.savez_compressed write them, streamed.

A stored array is read like an .npy file, at any place; a compressed one is read in order. zipfile reads the directory,
and verifies the checksum at the last byte. The names of arrays never become paths.
"""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import replace
from typing import BinaryIO, cast

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.npy import Header, NpySource, read_header
from softargmax_cli.files.members import member_of
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import parsing

SUFFIX = ".npy"
KIND = ".npz file"
LOCAL_HEADER = struct.Struct("<4s22xHH")
"""The head of a member: its magic number, and the lengths of its name and of an extra field before the data."""


def open_npz(stream: BinaryIO, name: str, reading: Reading) -> NpySource:
    """Open the array `reading.key` of the archive in a seekable stream; without a key, the only one.

    Raises InputError if the archive is damaged.
    """
    archive = zipfile.ZipFile(stream)
    infos = {info.filename.removesuffix(SUFFIX): info for info in archive.infolist() if info.filename.endswith(SUFFIX)}

    def look(key: str) -> tuple[tuple[int, ...], object]:
        with parsing(name, KIND):
            header, _ = _head(archive, infos[key])
        return header.shape, header.dtype

    key, title, members = member_of(name, "npz", list(infos), reading, look)
    with parsing(title, KIND):
        info = infos[key]
        header, length = _head(archive, info)
        if info.compress_type == zipfile.ZIP_STORED:
            stream.seek(info.header_offset)
            _, *between = LOCAL_HEADER.unpack(stream.read(LOCAL_HEADER.size))  # zipfile has checked the magic number
            stream.seek(sum(between) + length, io.SEEK_CUR)
            source = NpySource(stream, title, header)
        else:
            member = cast(BinaryIO, archive.open(info))
            member.read(length)
            source = NpySource(member, title, header, packed=True)
            source.closes = (member, stream)
    source.facts = replace(source.facts, format="npz", members=members)
    return source


def _head(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[Header, int]:
    """Read the header of an array, which must agree with the directory, and the length of the header."""
    with archive.open(info) as member:
        header, length = read_header(cast(BinaryIO, member)), member.tell()
    if length + header.nbytes != info.file_size:
        what = f"its head says {length + header.nbytes:,} bytes, the archive's directory {info.file_size:,}"
        raise InputError(what, "copy the archive again, or write it again with numpy.savez")
    return header, length
