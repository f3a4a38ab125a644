"""Headers of .npy files, after the cases of NumPy's own tests of its format: what NumPy reads, or a refusal.

The rule of all of them: real numbers that NumPy reads are the same here; what it refuses is refused here, and so is
what holds no real numbers. What is refused beyond that is in `STRICTER` and `SUBARRAYS`.
"""

from __future__ import annotations

import io
import struct
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from files import everything
from numpy.lib import format as npy

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.npy import LONGEST_HEADER
from softargmax_cli.files.registry import open_source

pytestmark = pytest.mark.sampled(4)

Array = npt.NDArray[Any]

VERSIONS = [(1, 0), (2, 0), (3, 0)]
DATA = np.arange(12, dtype="<f4").reshape(3, 4)


def numpys(content: bytes) -> Array | None:
    """The real numbers that NumPy reads; None where it refuses, or reads something else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array = npy.read_array(io.BytesIO(content), allow_pickle=False, max_header_size=LONGEST_HEADER)
    except Exception:
        return None
    return array if array.dtype.kind in "biuf" else None


def ours(content: bytes, folder: Path) -> Array | InputError:
    """What is read here, or the refusal."""
    path = folder / "a.npy"
    path.write_bytes(content)
    try:
        with closing(open_source(str(path))) as source:
            return everything(source)
    except InputError as error:
        return error


def assert_same(content: bytes, folder: Path, *, read: bool | None = None) -> None:
    """That the rule holds; `read`: whether it is read, where that is known beforehand."""
    want, got = numpys(content), ours(content, folder)
    if read is not None:
        assert (want is not None) == read, "NumPy does otherwise"
    if want is None:
        assert isinstance(got, InputError), f"read as {got!r}"
        assert got.what.startswith(str(folder / "a.npy"))
        assert got.remedy
        return
    assert not isinstance(got, InputError), got.what
    assert got.shape == want.shape
    assert got.dtype == (want.dtype.newbyteorder("=") if want.dtype.itemsize <= 8 else np.dtype("f8"))
    with np.errstate(all="ignore"):  # of long doubles
        np.testing.assert_array_equal(got, want.astype(got.dtype))


def written(array: Array, version: tuple[int, int] | None = None) -> bytes:
    """As NumPy writes it."""
    held = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        npy.write_array(held, array, version=version, allow_pickle=True)
    return held.getvalue()


def headed(text: str, data: bytes = DATA.tobytes(), version: int = 1, length: int | None = None) -> bytes:
    """A file with a header of one's own; `length`: what it says of that, if not the truth."""
    head = text.encode("utf-8" if version == 3 else "latin-1")
    size = struct.pack("<H" if version == 1 else "<I", len(head) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + head + data


def said(shape: str = "(3, 4)", descr: str = "'<f4'", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


# What NumPy writes

SCALARS = [*"?bBhHiIlLqQefd", "g"]
ARRAYS = {
    "scalar": lambda dtype: np.array(1, dtype),
    "none": lambda dtype: np.zeros((0,), dtype),
    "no rows": lambda dtype: np.zeros((0, 3), dtype),
    "vector": lambda dtype: np.arange(15).astype(dtype),
    "matrix": lambda dtype: (np.arange(15) % 2).reshape(3, 5).astype(dtype),
    "Fortran": lambda dtype: np.arange(15).reshape(3, 5).astype(dtype).T,
    "strided": lambda dtype: np.arange(60).reshape(3, 5, 4).astype(dtype)[::2, ::-1, ::3],
    "seven axes": lambda dtype: np.arange(2**7).reshape((2,) * 7).astype(dtype),
}


@pytest.mark.parametrize("kind", SCALARS)
def test_real_numbers_of_every_shape_order_and_version(kind: str, tmp_path: Path) -> None:
    for order in "<>":
        for made in ARRAYS.values():
            for version in VERSIONS:
                array = made(np.dtype(kind).newbyteorder(order))
                assert_same(written(array, version), tmp_path, read=True)


STRUCTURED = {
    "packed": np.dtype([("a", "i1"), ("b", "i2"), ("c", "i4")]),
    "aligned": np.dtype("i1, i4, i1", align=True),
    "offsets": np.dtype({"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [1, 6]}),
    "nested": np.dtype([("c", "i4"), ("d", [("a", "i4"), ("b", "f8")])]),
    "a field without a name": np.dtype({"names": ["a", "", "b"], "formats": ["i4"] * 3}),
    "titles": np.dtype({"names": ["a", "b"], "formats": ["i4"] * 2, "offsets": [1, 6], "titles": ["aa", "bb"]}),
    "no fields": np.dtype({"names": [], "formats": [], "itemsize": 8}),
    "subarrays": np.dtype([("x", ("<f8", (5,)), (2,))]),
    "nested subarrays": np.dtype([("a", np.dtype((np.dtype((np.dtype([("a", int)]), (3,))), (4,))))]),
    "names beyond ASCII": np.dtype([("int", int), ("整形", int)]),
    "metadata of a field": np.dtype({"names": ["a"], "formats": [np.dtype("i4", metadata={"x": "y"})]}),
    "one real field": np.dtype([("a", "f4")]),
    "500 long names": np.dtype([(f"{k}" * 100, float) for k in range(500)]),
    "10,001 fields": np.dtype("i," * 10_000 + "i"),
}


@pytest.mark.parametrize("name", STRUCTURED)
def test_what_holds_no_real_numbers(name: str, tmp_path: Path) -> None:
    """Is read by NumPy, if not with as long a header, and refused here by its name."""
    content = written(np.zeros(3, STRUCTURED[name]))
    assert_same(content, tmp_path, read=False)
    got = ours(content, tmp_path)
    assert isinstance(got, InputError)
    assert "dtype structured holds no real numbers" in got.what or (
        len(content) > LONGEST_HEADER and "longer than any array's" in got.what
    )


@pytest.mark.parametrize("dtype", ["c8", ">c16", "S3", "U3", "V4", "M8[ns]", "m8[s]", "O"])
def test_other_kinds(dtype: str, tmp_path: Path) -> None:
    for version in VERSIONS:
        assert_same(written(np.zeros(3, dtype), version), tmp_path, read=False)


def test_metadata_is_not_written(tmp_path: Path) -> None:
    assert_same(written(np.ones((2, 3), np.dtype("f4", metadata={"some": "thing"}))), tmp_path, read=True)


def test_room_for_an_axis_to_grow_is_padding(tmp_path: Path) -> None:
    for rows in (1, 10, 10**6, 10**18):
        held = io.BytesIO()
        npy.write_array_header_1_0(held, {"shape": (rows, 4), "fortran_order": False, "descr": "<f4"})
        held.seek(0)
        padded = bytearray(held.getvalue() + DATA[:1].tobytes())
        at = padded.index(str(rows).encode())
        padded[at : at + len(str(rows))] = b"1".ljust(len(str(rows)))
        assert_same(bytes(padded), tmp_path, read=True)


# What NumPy would not write, and others did


@pytest.mark.parametrize("version", [1, 2, 3])
def test_any_padding(version: int, tmp_path: Path) -> None:
    for count in (0, 1, 7, 15, 16, 63, 64, 200):
        for end in ("", "\n", "\n\n", "\t\n", "\x20\n "):
            assert_same(headed(said() + " " * count + end, version=version), tmp_path)
    assert_same(headed(said() + " " * 50 + "\n", version=version), tmp_path, read=True)
    assert_same(headed("  " + said(), version=version), tmp_path)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("shape", ["(3L, 4L)", "(3L,4L)", "(12L,)", "( 3L , 4 )", "(3 L, 4L)", "(3LL, 4L)", "(L, 4L)"])
def test_integers_of_python_2(version: int, shape: str, tmp_path: Path) -> None:
    assert_same(headed(said(shape) + "\n", version=version), tmp_path)


def test_integers_of_python_2_are_read(tmp_path: Path) -> None:
    for version in (1, 2):
        assert_same(headed(said("(3L, 4L)") + "\n", version=version), tmp_path, read=True)
    assert_same(headed(said("(3L, 4L)") + "\n", version=3), tmp_path, read=False)


DESCRIPTIONS = [
    *(
        "'|b1'",
        "'?'",
        "'b1'",
        "'<?'",
        "'>b1'",
        "'|i1'",
        "'<u1'",
        "'>u1'",
        "'|u1'",
        "'=f4'",
        "'|f4'",
        "'f'",
        "'float32'",
    ),
    *(
        "'<f2'",
        "'>e'",
        "'<f16'",
        "'>f16'",
        "'g'",
        "'<f12'",
        "'<f10'",
        "'<i16'",
        "'int'",
        "'int64'",
        "'uint8'",
        "'bool'",
    ),
    *("'<f4 '", "' <f4'", "'<f4\\n'", "'<F4'", "'<f04'", "'<f'", "'<f-4'", "'f4,'", "',f4'", "'f4,f4'", "'(2,)f4'"),
    *("'(1,)f4'", "'()f4'", "'2f4'", "'<04'", "''", "'<'", "'spam'", "'O'", "'|O8'", "'<c8'", "'<M8[ns]'"),
    *("'<M8'", "'S'", "'S3'", "'U0'", "'V'", "'V8'", "'a4'", "'p'", "'P'", "'c'", "'b'", "'B'", "'datetime64'"),
    *("b'<f4'", "u'<f4'", "('<f4', (2,))", "('<f4', {})", "[('a', '<f4')]", "[]", "['<f4']", "{}", "{'names': []}"),
    *("None", "4", "4.0", "True", "...", "'<f4', 'x': 1", "'<f4' '<f4'", "'x' * 2", "str", "[('a', ['<f4'])]"),
]


SUBARRAYS = {"'(1,)f4'"}
"""Which NumPy takes for what they hold, and writes for nothing."""


@pytest.mark.parametrize("descr", DESCRIPTIONS)
def test_descriptions(descr: str, tmp_path: Path) -> None:
    data = bytes(range(1, 97)) * 2  # enough for 12 of 16 bytes
    for version in (1, 3):
        content = headed(said(descr=descr) + "\n", data, version)
        if descr in SUBARRAYS:
            assert numpys(content) is not None
            assert isinstance(ours(content, tmp_path), InputError)
        else:
            assert_same(content, tmp_path)


FIELDS = {
    "another order of keys": ("{'shape': (3, 4), 'fortran_order': False, 'descr': '<f4'}", True),
    "double quotes": ('{"shape": (3, 4), "fortran_order": False, "descr": "<f4"}', True),
    "one key twice": ("{'descr': '<f8', 'descr': '<f4', 'fortran_order': False, 'shape': (3, 4)}", True),
    "Fortran order": (said(order="True"), True),
    "a line break inside": (said().replace("'shape'", "\n 'shape'"), None),
    "no descr": ("{'fortran_order': False, 'shape': (3, 4)}", False),
    "no order": ("{'descr': '<f4', 'shape': (3, 4)}", False),
    "no shape": ("{'descr': '<f4', 'fortran_order': False}", False),
    "one key more": ("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), 'extrakey': -1}", False),
    "keys of bytes": ("{b'descr': '<f4', b'fortran_order': False, b'shape': (3, 4)}", False),
    "a list": ("['descr', 'fortran_order', 'shape']", False),
    "nothing": ("", False),
    "code": ("__import__('os').getcwd()", False),
    "two dictionaries": (said() + said(), False),
    "an order of text": (said(order="'C'"), False),
    "an order of a number": (said(order="0"), False),
    "a shape of a number": (said("12"), False),
    "a shape of a list": (said("[3, 4]"), False),
    "a shape of text": (said("('3', 4)"), False),
    "a length of None": (said("(None, 4)"), False),
    "a fraction": (said("(3.0, 4)"), False),
    "no lengths": (said("()"), True),
    "zeros": (said("(0, 4)"), True),
    "lengths in hexadecimal": (said("(0x3, 0b100)"), True),
    "underscores": (said("(3, 0_4)"), None),
    "a sum": (said("(1 + 2, 4)"), None),
    "a leading zero": (said("(03, 4)"), False),
    "too many axes": (said("(" + "1, " * 65 + ")"), False),
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name: str, tmp_path: Path) -> None:
    text, read = FIELDS[name]
    assert_same(headed(text + "\n"), tmp_path, read=read)


STRICTER = {"a truth as a length": said("(True, 12)"), "minus one": said("(-1, 4)"), "minus all": said("(-3, -4)")}
"""What NumPy reads, and is refused here: a shape must be what it says."""


@pytest.mark.parametrize("name", STRICTER)
def test_what_only_numpy_reads(name: str, tmp_path: Path) -> None:
    got = ours(headed(STRICTER[name] + "\n"), tmp_path)
    assert isinstance(got, InputError)
    assert "an impossible shape" in got.what


# What is no header


@pytest.mark.parametrize(
    "magic",
    [
        *(b"\x93NUMPY\x01\x01", b"\x93NUMPY\x00\x00", b"\x93NUMPY\x00\x01", b"\x93NUMPY\x02\x00", b"\x93NUMPY\x02\x02"),
        *(b"\x93NUMPY\xff\xff", b"\x93NUMPY\x04\x00", b"\x92NUMPY\x01\x00", b"\x00NUMPY\x01\x00", b"\x93numpy\x01\x00"),
        *(b"\x93MATLB\x01\x00", b"\x93NUMPY\x01", b"\x93NUMPY", b""),
    ],
)
def test_magic(magic: bytes, tmp_path: Path) -> None:
    assert_same(magic, tmp_path, read=False)
    assert_same(magic + written(DATA)[8:], tmp_path, read=False)


@pytest.mark.parametrize("version", VERSIONS)
def test_truncated_at_every_byte(version: tuple[int, int], tmp_path: Path) -> None:
    content = written(DATA, version)
    assert_same(content, tmp_path, read=True)
    for size in range(len(content)):
        assert_same(content[:size], tmp_path, read=False)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("more", [-60, -2, -1, 1, 2, 48, 200, 60_000])
def test_a_length_that_is_not_so(version: int, more: int, tmp_path: Path) -> None:
    text = said() + " " * 20 + "\n"
    assert_same(headed(text, DATA.tobytes() + b" " * 48, version, len(text) + more), tmp_path)


@pytest.mark.parametrize("length", [LONGEST_HEADER - 1, LONGEST_HEADER, LONGEST_HEADER + 1, 1 << 20])
def test_long_headers(length: int, tmp_path: Path) -> None:
    """As long as they may be; NumPy's own limit is 10,000, unless it is told another."""
    content = headed(said().ljust(length - 1) + "\n", version=2)
    assert_same(content, tmp_path, read=length <= LONGEST_HEADER)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_text_that_is_none(version: int, tmp_path: Path) -> None:
    for odd in (b"\xff", b"\0", b"\xc3\xa9", "整".encode(), b"\x80"):
        head = said().encode().replace(b"'<f4'", b"'<f4' #" + odd + b"\n")
        size = struct.pack("<H" if version == 1 else "<I", len(head))
        assert_same(b"\x93NUMPY" + bytes([version, 0]) + size + head + DATA.tobytes(), tmp_path)
