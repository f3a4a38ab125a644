"""From a name on the command line to an open source: the formats, told apart by their first bytes.

A new input format is one module in `formats/` and one line in `FORMATS`; `REFUSED` are files that are known and not
read.
"""

from __future__ import annotations

import codecs
import importlib
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from softargmax_cli.errors import InputError, parameter
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.results import ResultError, is_json_result
from softargmax_cli.files.source import Source
from softargmax_cli.files.stores import is_store
from softargmax_cli.files.streams import LOOK, looked_at, opened
from softargmax_cli.files.tempcopy import copied_stream
from softargmax_cli.files.watching import Watch, refusals


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


@dataclass(frozen=True, slots=True)
class Refused:
    """A kind of file that is known and not read."""

    article: str
    signature: bytes
    remedy: str
    """Advice, in which FILE stands for its name, quoted as in Python."""


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


def _saved(expression: str) -> str:
    """Advise to save what an expression of Python reads."""
    return f"save it in Python: numpy.save('x.npy', {expression})"


SHEET, UNPACK = "save the sheet as CSV", "unpack it first"
PICTURE = _saved("numpy.asarray(PIL.Image.open(FILE))")
PICKLE = "save the array with numpy.save in the program that wrote it"
REFUSED = (
    Refused(
        "a PyTorch file",
        rb"PK\x03\x04.{26}[^/\0]{1,200}/data\.pkl",
        _saved("torch.load(FILE, 'cpu')['NAME'].numpy()"),
    ),
    Refused("an Excel or Word document", rb"PK\x03\x04.{26}(?:\[Content_Types\]|_rels/|docProps/|xl/)", SHEET),
    Refused("an OpenDocument file", rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis", SHEET),
    Refused("an old Office document", rb"\xd0\xcf\x11\xe0", SHEET),
    Refused("an encrypted Parquet file", rb"PARE", "write it again without encryption"),
    Refused("a MATLAB file", rb"MATLAB 5\.0", _saved("scipy.io.loadmat(FILE)['NAME']")),
    Refused("an Arrow file", rb"ARROW1", "save the table in Python: pandas.read_feather(FILE).to_parquet('x.parquet')"),
    Refused("a FITS file", rb"SIMPLE  =", _saved("astropy.io.fits.getdata(FILE)")),
    Refused("a netCDF 3 file", rb"CDF[\x01\x02\x05]", "make it netCDF 4, which is HDF5: nccopy -k nc4 OLD NEW.h5"),
    Refused(
        "a NIfTI image",
        rb"(?:\x5c\x01\0\0|\0\0\x01\x5c).{340}n[i+]1\0|(?:\x1c\x02\0\0|\0\0\x02\x1c)n[i+]2\0",
        _saved("nibabel.load(FILE).get_fdata()"),
    ),
    Refused("a TIFF image", rb"II[*+]\0|MM\0[*+]", _saved("tifffile.imread(FILE)")),
    Refused("a PNG image", rb"\x89PNG", PICTURE),
    Refused("a JPEG image", rb"\xff\xd8\xff", PICTURE),
    Refused("a GIF image", rb"GIF8[79]a", PICTURE),
    Refused("a WebP image", rb"RIFF.{4}WEBP", PICTURE),
    Refused("a BMP image", rb"BM.{4}\0\0\0\0", PICTURE),
    Refused("a PGM or PPM image", rb"P[56]\s+(?:#[^\n]*\n)*\d+\s+\d+\s+\d+\s", PICTURE),
    Refused("a PFM image", rb"P[Ff]\s+\d+\s+\d+\s+-?\d", _saved("cv2.imread(FILE, cv2.IMREAD_UNCHANGED)")),
    Refused("an SQLite database", rb"SQLite format 3", "save the table as CSV: sqlite3 -csv DATABASE 'SELECT …'"),
    Refused("a PDF document", rb"%PDF", "save its table as CSV"),
    Refused("a program", rb"\x7fELF", "give a file of numbers"),
    Refused("a pointer of Git LFS, not the file itself", rb"version https://git-lfs", "fetch it with: git lfs pull"),
    Refused("packed with xz", rb"\xfd7zXZ", UNPACK),
    Refused("packed with zstd", rb"\x28\xb5\x2f\xfd", UNPACK),
    Refused("packed with bzip2", rb"BZh\d1AY", UNPACK),
    Refused("a Python pickle, which is never unpickled", rb"\x80[\x02-\x05]", PICKLE),
    # Older protocols have no mark. They begin with a container or a name, and remember it under number 0.
    Refused("a Python pickle, which is never unpickled", rb"(?:c[\w.]+\n\w+\n|\(?[ld\]}])(?:p0\n|q\x00)", PICKLE),
    Refused("a web page or XML", rb"(?i)\s*<(?:!doctype|html|\?xml)", "was it downloaded from the right address?"),
    Refused(
        "JSON lines",
        rb"\s*\{[^\n]*\}\s*\n\s*\{",
        "save the numbers as CSV: pandas.read_json(FILE, lines=True).to_csv('x.csv', index=False)",
    ),
    Refused("JSON", rb"\s*(?:\{\s*[\"}]|\[\s*[-\d\[{])", "save the numbers as CSV or .npy"),
)
"""Files that are told apart only to say what they are."""
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
    return _told(_text(stream, name, reading, size, packed), TEXT.article, TEXT.options, reading)


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


def _text(stream: BinaryIO, name: str, reading: Reading, size: int | None, compressed: bool) -> Source:
    from softargmax_cli.files.formats.csv.source import open_csv

    return open_csv(stream, name, reading, nbytes=size, compressed=compressed)
