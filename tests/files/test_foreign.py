"""Files that are not read are named for what they are, with the way on."""

from __future__ import annotations

import gzip
import io
import pickle
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import numpy as np
import pytest
from files import everything, npy, written

from softargmax_cli.errors import InputError, as_typed
from softargmax_cli.files import formats
from softargmax_cli.files.formats.npy import ArraySource
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.remote import is_store


def archive(*names: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        for name in names:
            file.writestr(name, b"x" * 100)
    return held.getvalue()


VALUES = np.random.default_rng(3).random((6, 7), np.float32)
FOREIGN: dict[str, tuple[bytes, str, str]] = {
    "model.pt": (archive("model/data.pkl", "model/data/0"), "a PyTorch file", "torch.load('"),
    "table.xlsx": (archive("[Content_Types].xml", "xl/workbook.xml"), "an Excel or Word document", "as CSV"),
    "table.ods": (archive("mimetype")[:38] + b"application/vnd.oasis", "an OpenDocument file", "as CSV"),
    "a.tif": (b"II*\0\x08\0\0\0" + bytes(90), "a TIFF image", "tifffile.imread('"),
    "a.nii": (b"\x5c\x01\0\0" + bytes(340) + b"n+1\0" + bytes(90), "a NIfTI image", "nibabel.load('"),
    "a.gif": (b"GIF89a" + bytes(90), "a GIF image", "PIL.Image.open('"),
    "a.webp": (b"RIFF\0\0\0\0WEBP" + bytes(90), "a WebP image", "PIL.Image.open('"),
    "a.bmp": (b"BM\x7a\0\0\0\0\0\0\0" + bytes(90), "a BMP image", "PIL.Image.open('"),
    "a.png": (b"\x89PNG\r\n\x1a\n" + bytes(90), "a PNG image", "PIL.Image.open('"),
    "a.pfm": (b"Pf\n4 3\n-1.0\n" + np.arange(12, dtype="f4").tobytes(), "a PFM image", "cv2.imread('"),
    "a.pgm": (b"P5\n# made\n4 3\n255\n" + bytes(12), "a PGM or PPM image", "PIL.Image.open('"),
    "a.nc": (b"CDF\x01" + bytes(90), "a netCDF 3 file", "nccopy"),
    "rows.jsonl": (b'{"a": [1, 2]}\n{"a": [3, 4]}\n', "JSON lines", "lines=True"),
    "rows.json": (b"[\n  [1, 2],\n  [3, 4]\n]\n", "JSON", "CSV"),
    "old.pkl": (pickle.dumps([1.5], 0), "a Python pickle", "numpy.save"),
    "scores.dat": (VALUES.tobytes(), "no text, and bytes of no known format", "numpy.fromfile('"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_named_for_what_they_are(name: str, tmp_path: Path) -> None:
    content, what, remedy = FOREIGN[name]
    path = written(tmp_path, content, name)
    with pytest.raises(InputError) as caught:
        open_source(path)
    assert caught.value.message.startswith(f"{path}: {what}")
    assert remedy in caught.value.remedy
    assert "UTF-8" not in str(caught.value)


def test_gzipped_they_are_named_too(tmp_path: Path) -> None:
    for name in ("a.tif", "model.pt", "rows.jsonl"):
        content, what, _ = FOREIGN[name]
        with pytest.raises(InputError, match=f"{what}, gzipped") as caught:
            open_source(written(tmp_path, gzip.compress(content), f"{name}.gz"))
        assert "gunzip" in caught.value.remedy
    with pytest.raises(InputError, match=r"an \.npy file, gzipped"):
        open_source(written(tmp_path, gzip.compress(npy(VALUES)), "a.npy.gz"))


def test_text_is_text(tmp_path: Path) -> None:
    for text in ("1,2\n3,4\n", "BMI\t1\n2\t3\n", "P,Q\n1,2\n", "I\n1\n", "GIF,x\n1,2\n", "é,x\n1,2\n"):
        with closing(open_source(written(tmp_path, text.encode(), "a.txt"))) as source:
            assert everything(source).size


def test_advice_in_python_names_the_file(tmp_path: Path) -> None:
    """What is followed makes the file that is read."""
    path = written(tmp_path, VALUES.tobytes(), "it's.dat")
    with pytest.raises(InputError) as caught:
        open_source(path)
    code = caught.value.remedy.partition(": ")[2].replace("LENGTH", "7").replace("x.npy", str(tmp_path / "x.npy"))
    exec(code, {"numpy": np})
    with closing(open_source(str(tmp_path / "x.npy"))) as source:
        np.testing.assert_array_equal(everything(source), VALUES)


def test_a_new_format_is_one_module_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with an opener, and a line that names it and its signature."""

    def open_triples(stream: BinaryIO, name: str, reading: Reading) -> ArraySource:
        with stream:
            return ArraySource(np.frombuffer(stream.read()[4:], "f4").reshape(-1, 3), name)

    module = ModuleType("softargmax_cli.files.formats.triples")
    module.open_triples = open_triples  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    line = formats.Format("a file of triples", b"TRI\n", "", (".tri",), frozenset(), "triples.open_triples")
    monkeypatch.setattr(formats, "FORMATS", (line, *formats.FORMATS))
    values = np.arange(12, dtype="f4").reshape(4, 3)
    with closing(open_source(written(tmp_path, b"TRI\n" + values.tobytes(), "a.tri"), Reading(key="x"))) as source:
        np.testing.assert_array_equal(everything(source), values)
        assert [as_typed(note) for note in source.notes] == ["--key does not apply to a file of triples"]
    with pytest.raises(InputError, match=r"not a file of triples, whatever its name says"):
        open_source(written(tmp_path, b"1,2\n", "b.tri"))
    assert not is_store("s3://bucket/a.tri")
    with pytest.raises(InputError, match=r"a PNG image; file of triples, \.npy, .* and CSV can be read"):
        open_source(written(tmp_path, FOREIGN["a.png"][0], "c.png"))
