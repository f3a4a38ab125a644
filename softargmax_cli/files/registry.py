"""From a name on the command line to an open source: the formats, told apart by their first bytes.

A new input format is one module in `formats/` and one line in `FORMATS`.
"""

from __future__ import annotations

import codecs
import importlib
import os
import re
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, cast

from softargmax_cli.errors import InputError, parameter
from softargmax_cli.files.foreign import REFUSED, Refused
from softargmax_cli.files.members import ResultError, is_json_result
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.remote import is_store
from softargmax_cli.files.source import Source
from softargmax_cli.files.streams import LOOK, Watch, looked_at, opened, refusals
from softargmax_cli.files.tempcopy import copied_stream


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file that can be read."""

    article: str
    """The format in a sentence: "an .npy file"."""
    signature: bytes
    """Regular expression of the first bytes."""
    suffixes: tuple[str, ...]
    """Suffixes of names that promise one."""
    options: frozenset[str]
    """Fields of `Reading` that say something of one."""
    opener: str
    """Module in `formats/` and its function (stream at its start, name, Reading) -> Source; loaded when needed."""
    seeks: bool = True
    """True where it must be read at any place, so that a pipe is copied first."""


HDF5 = rb"(?:.{512}|.{1024}|.{2048})?\x89HDF\r\n\x1a\n"  # behind a user block, too
KEY = frozenset({"key"})
TABLE = frozenset({"id_column", "columns"})
SPELLED = frozenset({"delimiter", "header", "skip", "comment", "decimal"})
TEXT = Format("a CSV", b"", (), TABLE | SPELLED, "csv.source.open_csv", seeks=False)
FORMATS = (
    Format("an .npy file", rb"\x93NUMPY", (".npy",), frozenset(), "npy.open_npy", seeks=False),
    Format("a .safetensors file", rb".{4}\0\0\0\0\{", (".safetensors",), KEY, "safetensors.open_safetensors"),
    Format("a Parquet file", rb"PAR1", (".parquet", ".pq"), TABLE, "parquet.open_parquet"),
    Format("an HDF5 file", HDF5, (".h5", ".hdf5", ".hdf"), KEY, "hdf5.open_hdf5"),
    Format("an .npz file", rb"PK(?:\x03\x04|\x05\x06)", (".npz",), KEY, "npz.open_npz"),
)
"""Formats that are read, the last one after what is `REFUSED`: other archives are told apart from it first.

A file that is none of these, nor refused, is text."""


TABLES, PLAIN = (".csv", ".tsv"), (".txt", ".dat")
"""Suffixes of text that holds a table, and of text that may hold one."""
TAIL = 1 << 16
"""Bytes at the end of a file in which archives and Parquet say what they hold."""
_RESULTS = re.compile(rb"(?:input[,\t])?index(?:_0)?[,\t](?:[^\n]*[,\t])?hard(?:_0)?[,\t]")
_WORDS = re.compile(rb"[^\s,;|]+")
RAW = "name their type and shape once: numpy.save('x.npy', numpy.fromfile(FILE, 'float32').reshape(-1, LENGTH))"
READABLE = ".npy, .npz, .safetensors, HDF5, Parquet and CSV"
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def open_source(path: str, reading: Reading | None = None) -> Source:
    """Open a file, a Zarr store by its path or URL, or standard input for "-", and the part of it that is asked for.

    Raises InputError where there is nothing to read or its format is not known, OptionError where it has not what is
    asked for.
    """
    reading = reading or Reading()
    if path != "-" and is_store(path):
        from softargmax_cli.files.formats.zarr import ZarrSource

        return _part(_told(ZarrSource(path, reading), "a Zarr store", KEY, reading), reading)
    return source_of(*opened(path), path, reading)


def source_of(stream: BinaryIO, name: str, size: int | None, path: str, reading: Reading) -> Source:
    """Open what a stream holds, from its first byte on; `size` is its number of bytes, where that is known.

    The source closes the stream, as an error does. Raises as `open_source`.
    """
    try:
        watch = Watch(path)
        with refusals(name):
            stream, first = looked_at(stream, name)
            source = _recognised(stream, first, name, size, reading)
        source.watch = watch
    except BaseException:
        stream.close()
        raise
    return _part(source, reading)


def _part(source: Source, reading: Reading) -> Source:
    """Select a part of a source, which is closed where it has no such part."""
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
    """Open a stream as the format that its first bytes tell."""
    if not first:
        raise InputError(f"{name}: empty", "is something still to write it?")
    for kind in _kinds(first):
        if isinstance(kind, Refused):
            if kind.article.startswith("JSON") and is_json_result(first):
                raise ResultError(name, "jsonl" if kind.article == "JSON lines" else "json")
            raise InputError(f"{name}: {kind.article}; {READABLE} can be read", kind.remedy.replace("FILE", repr(name)))
        return _opened(kind, stream, name, reading)
    packed = first.startswith(b"\x1f\x8b")
    head = _unpacked(first) if packed else first
    for kind in _kinds(head) if packed else ():
        raise InputError(f"{name}: {kind.article}, gzipped; gzipped text can be read", "unpack it with gunzip first")
    suffix, text = os.path.splitext(name)[1].lower(), _is_text(head)
    for kind in FORMATS:
        if suffix in kind.suffixes:
            held = "text" if text else "bytes of no known format"
            what = f"not {kind.article}, whatever its name says, but {held}"
            raise InputError(f"{name}: {what}", "write it again, or rename it if it is a table in text")
    if not text:
        what = f"{name}: no text, and bytes of no known format, as numpy.memmap and tofile write bare numbers"
        raise InputError(f"{what}; {READABLE} can be read", RAW.replace("FILE", repr(name)))
    from softargmax_cli.files.formats.csv.source import open_csv

    table = open_csv(stream, name, reading, nbytes=size, compressed=packed)
    return _told(table, TEXT.article, TEXT.options, reading)


def promises_array(path: str) -> bool:
    """Tell whether a file's name or its first bytes promise an array, as a folder's files are told from others."""
    stem, suffix = os.path.splitext(path.lower())
    packed = suffix == ".gz"
    suffix = os.path.splitext(stem)[1] if packed else suffix
    if os.path.isdir(path) or suffix in {*TABLES, *(name for kind in FORMATS for name in kind.suffixes)}:
        return True
    try:
        with open(path, "rb") as stream:
            first = stream.read(LOOK)
    except OSError:
        return True  # opening it says what is wrong
    kind = next(_kinds(first), None)
    if kind is not None:
        return isinstance(kind, Format)
    words = _WORDS.findall(_unpacked(first) if packed else first)
    return suffix in PLAIN and 2 * sum(map(_is_number, words)) >= len(words) > 0


def holds_results(path: str) -> bool:
    """Tell whether a file looks like results of this program, which a folder may hold beside its arrays."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(LOOK)
            stream.seek(max(0, os.path.getsize(path) - TAIL))
            tail = stream.read()
    except OSError:
        return False
    if head.startswith(b"PAR1"):
        return b"softargmax" in tail
    return b"agree.npy" in tail if head.startswith(b"PK") else _RESULTS.match(head) is not None


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _kinds(first: bytes) -> Iterator[Format | Refused]:
    """Find the kinds of which a file may be that begins so, the surest first."""
    for kind in (*FORMATS[:-1], *REFUSED, FORMATS[-1]):
        if re.match(kind.signature, first, re.DOTALL):
            yield kind


def _unpacked(first: bytes) -> bytes:
    """Unpack the beginning of a gzipped file, as far as it goes."""
    try:
        return zlib.decompressobj(wbits=31).decompress(first, LOOK)
    except zlib.error:
        return b""


def _is_text(head: bytes) -> bool:
    """Tell text, in UTF-8, in UTF-16 or in an 8-bit code, from other bytes by its beginning."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    for letters, rest in ((head[::2], head[1::2]), (head[1::2], head[::2])):
        if not any(rest) and not _CONTROL.search(letters):  # UTF-16 without a mark
            return True
    controls = len(_CONTROL.findall(head))
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return not controls
    return 4 * controls <= len(head)


def _told(source: Source, article: str, options: frozenset[str], reading: Reading) -> Source:
    """Note the options that say nothing of such a source."""
    idle = [option for option in reading.given if option not in options]
    if idle:
        says = "says" if len(idle) == 1 else "say"
        source.notes += (f"{' and '.join(map(parameter, idle))} {says} nothing of {article}",)
    return source


def _opened(kind: Format, stream: BinaryIO, name: str, reading: Reading) -> Source:
    stream = copied_stream(stream, name) if kind.seeks else stream
    try:
        module, _, function = kind.opener.rpartition(".")
        opener = getattr(importlib.import_module(f"softargmax_cli.files.formats.{module}"), function)
        return _told(cast(Source, opener(stream, name, reading)), kind.article, kind.options, reading)
    except BaseException:
        stream.close()
        raise


class Replay:
    """Open one input as often as is wanted, one source at a time; a pipe is copied first."""

    def __init__(self, path: str, reading: Reading) -> None:
        self._path, self._name, self._reading = path, path, reading
        self._copy: BinaryIO | None = None
        self._watch: Watch | None = None
        """The watch of the first opening: one result is made of all that is read."""

    @property
    def runs_dry(self) -> bool:
        """True where the input can be read only once, so that a copy is made of it."""
        return self._path == "-" or _runs_dry(self._path)

    def open(self, reading: Reading | None = None) -> Source:
        """Open the input from its beginning, as `open_source` does. Raises OutputError where a copy finds no room.

        reading: instead of the one given at first.
        """
        reading = reading or self._reading
        if self._copy is None and self.runs_dry:
            stream, self._name, _ = opened(self._path)
            self._copy = copied_stream(stream, self._name)
        source = open_source(self._path, reading) if self._copy is None else self._copied(self._copy, reading)
        self._watch = source.watch = self._watch or source.watch
        return source

    def _copied(self, copy: BinaryIO, reading: Reading) -> Source:
        copy.seek(0)
        stream = os.fdopen(os.dup(copy.fileno()), "rb")
        return source_of(stream, self._name, os.fstat(stream.fileno()).st_size, "-", reading)

    def __enter__(self) -> Replay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._copy is not None:
            self._copy.close()


def _runs_dry(path: str) -> bool:
    """Tell whether what is there can be read only once."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False  # opening it says what is wrong
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
