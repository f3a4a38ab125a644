"""The formats that can be read, one module each, and how their first bytes and their suffixes tell them.

A new input format is one module here, and one line in `FORMATS`. This module loads none of them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass


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
    """A module here and its function (stream at its start, name, Reading) -> Source; empty if it is refused."""
    seeks: bool = True
    """True if it needs random access, so that a pipe is copied first."""
    result: bytes = b""
    """Bytes near the end of a file that holds a result of softargmax; empty if none does."""

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
    Format("a Parquet file", rb"PAR1", "", (".parquet", ".pq"), TABLE, "parquet.ParquetSource", result=b"softargmax"),
    Format("an HDF5 file", HDF5, H5PY, (".h5", ".hdf5", ".hdf"), KEY, "hdf5.Hdf5Source"),
    Format("an .npz file", rb"PK(?:\x03\x04|\x05\x06)", "", (".npz",), KEY, "npz.open_npz", result=b"agree.npy"),
)
"""Formats that are read. The last one is tried after `REFUSED`, as other archives begin alike."""
TEXT = Format("a CSV", b"", "", (".csv", ".tsv"), TABLE | SPELLED, "csv.CsvSource", seeks=False)
"""Text has no signature: it is what no other format claims."""
ZARR = Format("a Zarr store", b"", options=KEY)

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


def kind_of(first: bytes) -> Format | None:
    """Find the format, read or refused, by the first bytes of a file; None for text and unknown formats."""
    kinds = (*FORMATS[:-1], *REFUSED, FORMATS[-1])
    return next((kind for kind in kinds if re.match(kind.signature, first, re.DOTALL)), None)


def promised(name: str) -> Format | None:
    """Find the format that the suffix of a name promises."""
    suffix = os.path.splitext(name.lower())[1]
    return next((kind for kind in (*FORMATS, TEXT) if suffix in kind.suffixes), None)


def all_named() -> str:
    """List the formats of files that can be read: ".npy, HDF5 and CSV"."""
    *names, last = (kind.kind.removesuffix(" file") for kind in (*FORMATS, TEXT))
    return f"{', '.join(names)} and {last}"
