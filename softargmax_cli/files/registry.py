"""Open a source by its name; the first bytes tell its format."""

from __future__ import annotations

import codecs
import importlib
import os
import re
import zlib
from collections.abc import Callable
from typing import BinaryIO

from softargmax_cli.errors import InputError, MissingDependencyError, naming, parameter
from softargmax_cli.files.formats import TEXT, ZARR, Format, all_named, kind_of, promised
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.remote import is_store
from softargmax_cli.files.source import Source, parsing
from softargmax_cli.files.streams import LOOK, Watch, looked_at, opened

_RESULTS = re.compile(rb"(?:input[,\t])?index(?:_0)?[,\t](?:[^\n]*[,\t])?hard(?:_0)?[,\t]")
_JSON = re.compile(rb'"hard": .*"soft": .*"offset": .*"peak": ', re.DOTALL)
_WORDS = re.compile(rb"[^\s,;|]+")
_NUMBER = re.compile(rb"(?i)[+-]?(\d[\d.]*|\.\d+)(e[+-]?\d+)?|[+-]?inf|nan")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def open_source(path: str, reading: Reading | None = None) -> Source:
    """Open the requested part of a file, of a Zarr store by its path or URL, or of standard input for "-".

    Raises InputError if there is nothing to read or its format is unknown, OptionError if the part does not exist.
    """
    reading = reading or Reading()
    if path == "-" or not is_store(path):
        return source_of(*opened(path), path, reading)
    from softargmax_cli.files.formats.zarr import ZarrSource

    with naming(path):
        return _requested(ZarrSource(path, reading), ZARR, reading)


def source_of(stream: BinaryIO, name: str, path: str, reading: Reading) -> Source:
    """Open a stream at its first byte as a source, which closes it; an error closes it, too."""
    try:
        watch = Watch(path)
        with parsing(name, "file"):
            stream, first = looked_at(stream, name)
        with naming(name):
            format = _recognised(first, name)
            opener = _opener(format)
            if format.seeks:
                from softargmax_cli.files.tempcopy import copied_stream

                stream = copied_stream(stream, name)
        with parsing(name, format.kind):
            source = opener(stream, name, reading)
        source.kind, source.watch = format.kind, watch
    except BaseException:
        stream.close()
        raise
    return _requested(source, format, reading)


def _opener(format: Format) -> Callable[[BinaryIO, str, Reading], Source]:
    module, _, function = format.opener.partition(".")
    try:
        opener: Callable[[BinaryIO, str, Reading], Source]
        opener = getattr(importlib.import_module(f"softargmax_cli.files.formats.{module}"), function)
        return opener
    except ModuleNotFoundError as error:
        what = f"{format.article}, and {error.name}, which reads them, is not installed"
        raise MissingDependencyError(what, format.remedy) from None


def _requested(source: Source, format: Format, reading: Reading) -> Source:
    """Note the options that do not apply to the format, and select the requested part of the source."""
    idle = [option for option in reading.given if option not in format.options]
    if idle:
        does = "does" if len(idle) == 1 else "do"
        source.notes += (f"{' and '.join(map(parameter, idle))} {does} not apply to {format.article}",)
    if reading.select is None:
        return source
    from softargmax_cli.files.select import selected

    return selected(source, reading.select)


def _recognised(first: bytes, name: str) -> Format:
    """Find the format of a file by its first bytes. Raises InputError if it is not one that is read."""
    if not first:
        raise InputError("empty", "is something still to write it?")
    head = _unpacked(first)
    kind = kind_of(head)
    if kind is not None and head is not first:
        raise InputError(f"{kind.article}, gzipped; gzipped text can be read", "unpack it with gunzip first")
    if kind is not None and kind.opener:
        return kind
    if kind is not None:
        if kind.article.startswith("JSON") and _JSON.search(first):
            from softargmax_cli.files.members import ResultError

            raise ResultError(name, "jsonl" if kind.article == "JSON lines" else "json")
        raise InputError(f"{kind.article}; {all_named()} can be read", kind.remedy.replace("FILE", repr(name)))
    wanted = promised(name)
    if wanted and wanted is not TEXT:
        remedy = "write it again, or rename it if it is a table in text"
        raise InputError(f"not {wanted.article}, whatever its name says", remedy)
    if not _is_text(head):
        what = "no text, and bytes of no known format, as numpy.memmap and tofile write bare numbers"
        code = f"numpy.save('x.npy', numpy.fromfile({name!r}, 'float32').reshape(-1, LENGTH))"
        raise InputError(what, f"name their type and shape once: {code}")
    return TEXT


def _is_text(head: bytes) -> bool:
    """Tell whether a file begins like text in UTF-8, in UTF-16 with a byte order mark, or in an 8-bit code."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    controls = len(_CONTROL.findall(head))
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return not controls
    return 4 * controls <= len(head)


def _unpacked(first: bytes) -> bytes:
    """Unpack the beginning of a gzipped file as far as possible; return other bytes unchanged."""
    if not first.startswith(b"\x1f\x8b"):
        return first
    try:
        return zlib.decompressobj(wbits=31).decompress(first, LOOK)
    except zlib.error:
        return b""


def holds_scores(path: str) -> bool:
    """Tell whether a file of a folder holds an array, or promises one by its name, but no results of softargmax."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(LOOK)
            stream.seek(max(0, os.path.getsize(path) - (1 << 16)))
            tail = stream.read()  # archives and Parquet list their contents at the end
    except OSError:
        return True  # a store, or opening it says what is wrong
    kind, name = kind_of(head), path.lower().removesuffix(".gz")
    if _RESULTS.match(head) or (kind and kind.result and kind.result in tail):
        return False
    if (kind and kind.opener) or promised(name):
        return True
    words = _WORDS.findall(_unpacked(head))
    return name.endswith((".txt", ".dat")) and 2 * sum(map(bool, map(_NUMBER.fullmatch, words))) >= len(words) > 0


class Replay:
    """Open one input repeatedly, one source at a time; a pipe is copied first."""

    def __init__(self, path: str, reading: Reading) -> None:
        self.name = "<stdin>" if path == "-" else path
        self._path, self._reading = path, reading
        self._copy: BinaryIO | None = None
        self._watch: Watch | None = None
        """The watch of the first opening: the file must not change between readings either."""

    @property
    def read_once(self) -> bool:
        """True if the input can be read only once, so that it is copied."""
        path = self._path
        return path == "-" or (os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path))

    def open(self, reading: Reading | None = None) -> Source:
        """Open the input at its beginning, as `open_source` does. Raises OutputError if there is no room for a copy."""
        reading = reading or self._reading
        if self._copy is None and self.read_once:
            from softargmax_cli.files.tempcopy import copied_stream

            self._copy = copied_stream(*opened(self._path))
        if self._copy is None:
            source = open_source(self._path, reading)
        else:
            self._copy.seek(0)
            source = source_of(os.fdopen(os.dup(self._copy.fileno()), "rb"), self.name, "-", reading)
        self._watch = source.watch = self._watch or source.watch
        return source

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, *error: object) -> None:
        if self._copy is not None:
            self._copy.close()
