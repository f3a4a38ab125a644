"""Open a source by its name; the first bytes tell its format.

A new input format is one module in `formats/` and one line in `FORMATS`.
"""

from __future__ import annotations

import codecs
import importlib
import os
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from softargmax_cli.errors import InputError, MissingDependencyError, naming, parameter
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.remote import is_store
from softargmax_cli.files.source import Source, parsing
from softargmax_cli.files.streams import LOOK, Watch, looked_at, opened


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file that can be read, or is known and refused."""

    article: str
    """The format in a sentence: "an .npy file"."""
    signature: bytes
    """Regular expression of the first bytes."""
    remedy: str = ""
    """Advice if it is refused or its package is missing; FILE stands for the file's name, quoted as in Python."""
    suffixes: tuple[str, ...] = ()
    """Suffixes that promise this format."""
    options: frozenset[str] = frozenset()
    """Fields of `Reading` that apply to this format."""
    opener: str = ""
    """Module in `formats/` and its function (stream at its start, name, Reading) -> Source; empty if it is refused."""
    seeks: bool = True
    """True if it needs random access, so that a pipe is copied first."""

    @property
    def kind(self) -> str:
        """The format as an error about a damaged file names it."""
        return self.article.partition(" ")[2]


HDF5 = rb"(?:.{512}|.{1024}|.{2048})?\x89HDF\r\n\x1a\n"  # perhaps after a user block
H5PY = "pip install h5py hdf5plugin\nthey are the extra named hdf5"
KEY = frozenset({"key"})
TABLE = frozenset({"id_column", "columns"})
SPELLED = frozenset({"delimiter", "header", "skip", "comment", "decimal"})
FORMATS = (
    Format("an .npy file", rb"\x93NUMPY", "", (".npy",), frozenset(), "npy.open_npy", seeks=False),
    Format("a .safetensors file", rb".{4}\0\0\0\0\{", "", (".safetensors",), KEY, "safetensors.open_safetensors"),
    Format("a Parquet file", rb"PAR1", "", (".parquet", ".pq"), TABLE, "parquet.ParquetSource"),
    Format("an HDF5 file", HDF5, H5PY, (".h5", ".hdf5", ".hdf"), KEY, "hdf5.Hdf5Source"),
    Format("an .npz file", rb"PK(?:\x03\x04|\x05\x06)", "", (".npz",), KEY, "npz.open_npz"),
)
"""Formats that are read. The last one is tried after `REFUSED`, as other archives begin alike."""
TEXT = Format("a CSV", b"", "", (".csv", ".tsv"), TABLE | SPELLED, "csv.CsvSource", seeks=False)
"""Text has no signature: it is what no other format claims."""
STORE = Format("a Zarr store", b"", options=KEY)

SAVE = "save it in Python: numpy.save('x.npy', "
PICTURE, SHEET = f"{SAVE}numpy.asarray(PIL.Image.open(FILE)))", "save the sheet as CSV"
REFUSED = (
    Format(
        "a PyTorch file", rb"PK\x03\x04.{26}[^/\0]{1,200}/data\.pkl", f"{SAVE}torch.load(FILE, 'cpu')['NAME'].numpy())"
    ),
    Format("an Excel or Word document", rb"PK\x03\x04.{26}(?:\[Content_Types\]|_rels/|docProps/|xl/)", SHEET),
    Format("an OpenDocument file", rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis", SHEET),
    Format("an old Office document", rb"\xd0\xcf\x11\xe0", SHEET),
    Format("a MATLAB file", rb"MATLAB 5\.0", f"{SAVE}scipy.io.loadmat(FILE)['NAME'])"),
    Format("an Arrow file", rb"ARROW1", "save the table in Python: pandas.read_feather(FILE).to_parquet('x.parquet')"),
    Format("a FITS file", rb"SIMPLE  =", f"{SAVE}astropy.io.fits.getdata(FILE))"),
    Format("a netCDF 3 file", rb"CDF[\x01\x02\x05]", "make it netCDF 4, which is HDF5: nccopy -k nc4 OLD NEW.h5"),
    Format("a TIFF image", rb"II[*+]\0|MM\0[*+]", f"{SAVE}tifffile.imread(FILE))"),
    Format(
        "a NIfTI image",
        rb"(?:\x5c\x01\0\0|\0\0\x01\x5c).{340}n[i+]1\0|(?:\x1c\x02\0\0|\0\0\x02\x1c)n[i+]2\0",
        f"{SAVE}nibabel.load(FILE).get_fdata())",
    ),
    Format("a PNG image", rb"\x89PNG", PICTURE),
    Format("a JPEG image", rb"\xff\xd8\xff", PICTURE),
    Format("a GIF image", rb"GIF8[79]a", PICTURE),
    Format("a WebP image", rb"RIFF.{4}WEBP", PICTURE),
    Format("a BMP image", rb"BM.{4}\0\0\0\0", PICTURE),
    Format("a PGM or PPM image", rb"P[56]\s+(?:#[^\n]*\n)*\d+\s+\d+\s+\d+\s", PICTURE),
    Format("an SQLite database", rb"SQLite format 3", "save the table as CSV: sqlite3 -csv DATABASE 'SELECT …'"),
    Format("a PDF document", rb"%PDF", "save its table as CSV"),
    Format("a PFM image", rb"P[Ff]\s+\d+\s+\d+\s+-?\d", f"{SAVE}cv2.imread(FILE, cv2.IMREAD_UNCHANGED))"),
    Format("a pointer of Git LFS, not the file itself", rb"version https://git-lfs", "fetch it with: git lfs pull"),
    Format("packed with xz, zstd or bzip2", rb"\xfd7zXZ|\x28\xb5\x2f\xfd|BZh\d1AY", "unpack it first"),
    # Older protocols of pickle have no mark. They begin with a container or a name, and remember it under number 0.
    Format(
        "a Python pickle, which is never unpickled",
        rb"\x80[\x02-\x05]|(?:c[\w.]+\n\w+\n|\(?[ld\]}])(?:p0\n|q\x00)",
        "save the array with numpy.save in the program that wrote it",
    ),
    Format("a web page or XML", rb"(?i)\s*<(?:!doctype|html|\?xml)", "was it downloaded from the right address?"),
    Format(
        "JSON lines",
        rb"\s*\{[^\n]*\}\s*\n\s*\{",
        "save the numbers as CSV: pandas.read_json(FILE, lines=True).to_csv('x.csv', index=False)",
    ),
    Format("JSON", rb"\s*(?:\{\s*[\"}]|\[\s*[-\d\[{])", "save the numbers as CSV or .npy"),
)
"""Formats that are recognised only to name them in an error."""

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
        return _requested(ZarrSource(path, reading), STORE, reading)


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
        says = "says" if len(idle) == 1 else "say"
        source.notes += (f"{' and '.join(map(parameter, idle))} {says} nothing of {format.article}",)
    if reading.select is None:
        return source
    from softargmax_cli.files.select import selected

    return selected(source, reading.select)


def _recognised(first: bytes, name: str) -> Format:
    """Find the format of a file by its first bytes. Raises InputError if it is not one that is read."""
    if not first:
        raise InputError("empty", "is something still to write it?")
    head = _unpacked(first)
    kind = _kind(head)
    if kind is not None and head is not first:
        raise InputError(f"{kind.article}, gzipped; gzipped text can be read", "unpack it with gunzip first")
    if kind is not None and kind.opener:
        return kind
    if kind is not None:
        if kind.article.startswith("JSON") and _JSON.search(first):
            from softargmax_cli.files.members import ResultError

            raise ResultError(name, "jsonl" if kind.article == "JSON lines" else "json")
        what = f"{kind.article}; .npy, .npz, .safetensors, HDF5, Parquet and CSV can be read"
        raise InputError(what, kind.remedy.replace("FILE", repr(name)))
    for promised in FORMATS:
        if name.lower().endswith(promised.suffixes):
            remedy = "write it again, or rename it if it is a table in text"
            raise InputError(f"not {promised.article}, whatever its name says", remedy)
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


def _kind(first: bytes) -> Format | None:
    """Find the format with this signature; None for text and unknown formats."""
    kinds = (*FORMATS[:-1], *REFUSED, FORMATS[-1])
    return next((kind for kind in kinds if re.match(kind.signature, first, re.DOTALL)), None)


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
    marks = {b"PAR1": b"softargmax", b"PK": b"agree.npy"}
    if _RESULTS.match(head) or any(head.startswith(magic) and mark in tail for magic, mark in marks.items()):
        return False
    suffix, kind = os.path.splitext(path.lower().removesuffix(".gz"))[1], _kind(head)
    if (kind and kind.opener) or any(suffix in promised.suffixes for promised in (*FORMATS, TEXT)):
        return True
    words = _WORDS.findall(_unpacked(head))
    return suffix in (".txt", ".dat") and 2 * sum(map(bool, map(_NUMBER.fullmatch, words))) >= len(words) > 0


class Replay:
    """Open one input repeatedly, one source at a time; a pipe is copied first."""

    def __init__(self, path: str, reading: Reading) -> None:
        self.name = "<stdin>" if path == "-" else path
        self._path, self._reading = path, reading
        self._copy: BinaryIO | None = None
        self._watch: Watch | None = None
        """The watch of the first opening: the file must not change between readings either."""

    @property
    def runs_dry(self) -> bool:
        """True if the input can be read only once, so that it is copied."""
        path = self._path
        return path == "-" or (os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path))

    def open(self, reading: Reading | None = None) -> Source:
        """Open the input at its beginning, as `open_source` does. Raises OutputError if there is no room for a copy."""
        reading = reading or self._reading
        if self._copy is None and self.runs_dry:
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
