"""Kinds of files that are known and not read: told apart by their first bytes, to say what they are and the way on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refused:
    """A kind of file that is known and not read."""

    article: str
    signature: bytes
    remedy: str
    """Advice, in which FILE stands for its name, quoted as in Python."""


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
