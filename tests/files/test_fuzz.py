"""Damaged files of every format: a right answer or an InputError, never anything else.

Files that are sound are mutated, byte by byte and piece by piece. What can be read then is compared with what other
readers make of the same bytes: NumPy's, and for text Python's own csv and float.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import files
import numpy as np
import numpy.typing as npt
import pyarrow.parquet
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softargmax_cli.errors import InputError, OptionError, UndefinedError
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.source import Source
from softargmax_cli.reduction import blocks, engine
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.problem import Spec
from softargmax_cli.reduction.readable import Buffer
from softargmax_cli.tensorflow.base import Runtime

Array = npt.NDArray[Any]

ROOT = Path(__file__).parents[2]
LARGEST = 4_000
"""Bytes of a seed."""
FEW, MANY = 500, 10_000
"""Inputs of each format: for every change, and by night."""


class Unread(Exception):
    """The other reader refuses the file."""


@dataclass(frozen=True)
class Parser:
    """A format to be fuzzed."""

    suffix: str
    seeds: Callable[[], list[bytes]]
    """Sound files, small."""
    tokens: list[bytes | int]
    """What the format is made of, to be put anywhere."""
    oracle: Callable[[bytes], Array]
    """Another reader: the array as float64 or as stored; raises Unread."""
    options: Reading | None = None

    def __str__(self) -> str:
        return self.suffix


def npy_seeds() -> list[bytes]:
    rng = np.random.default_rng(1)
    arrays: list[Array] = [
        *(rng.standard_normal((3, 4)).astype(dtype) for dtype in ("<f4", ">f8", "f2")),
        *((rng.random((2, 3, 4)) * 100).astype(dtype) for dtype in ("u1", "<i2", ">i4", "i8", "?")),
        np.asfortranarray(rng.standard_normal((4, 3))),
        np.float32(2.5).reshape(()),
        np.zeros((0, 5)),
    ]
    made = []
    for array in arrays:
        for version in ((1, 0), (2, 0), (3, 0)):
            held = io.BytesIO()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # versions 2 and 3 where 1 would do
                np.lib.format.write_array(held, array, version=version)
            made.append(held.getvalue())
    made += [path.read_bytes() for path in ROOT.glob("samples/*.npy") if path.stat().st_size < LARGEST]
    return made


def npy_oracle(content: bytes) -> Array:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array = np.load(io.BytesIO(content), allow_pickle=False, max_header_size=1 << 16)
    except Exception as error:
        raise Unread from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise Unread
    return array


def csv_seeds() -> list[bytes]:
    rng = np.random.default_rng(2)
    held = io.BytesIO()
    np.savetxt(held, rng.standard_normal((60, 4)), delimiter=",")
    texts = [
        "1,2,3\n4,5,6\n",
        "1.5,-2e3,.5\r\n+4.,5E-2,nan\r\n",
        'a,b,"c ""d"""\n1,2,3\n"4",5,6\n',
        "0,NA,\n,,\nnull,inf,-inf\n",
        "\ufeff1,2\n3,4\n",
        '"x,\ny",z\n1,2\n',
        "\n".join(",".join(str(i * j) for j in range(5)) for i in range(70)),
    ]
    samples = [path.read_bytes() for path in ROOT.glob("samples/*.csv") if path.stat().st_size < LARGEST]
    return [held.getvalue(), *(text.encode() for text in texts), *samples]


def csv_oracle(content: bytes) -> Array:
    """Read the first column of numbers, without a header and comments; blank lines are none beside several columns."""
    try:
        text = content.decode("utf-8-sig")
        if "\0" in text:
            raise Unread
        rows = list(csv.reader(io.StringIO(text, newline="\n")))
        while rows and not rows[-1]:
            rows.pop()
        blank = [not row or (len(row) == 1 and not row[0].strip()) for row in rows]
        width = len(rows[blank.index(False)])
        rows = [row for row, skipped in zip(rows, blank, strict=True) if not (skipped and width > 1)]
        if {*map(len, rows)} != {width}:
            raise Unread
        return np.array([[_cell(row[0])] for row in rows], np.float64)
    except (ValueError, IndexError, csv.Error) as error:
        raise Unread from error


def _cell(cell: str) -> float:
    word = cell.strip()
    if word.lower() in ("", "na", "n/a", "null", "nan"):
        return float("nan")
    if not word.isascii() or "_" in word:
        raise ValueError(cell)
    return float(word)


def gzip_oracle(content: bytes) -> Array:
    try:
        return csv_oracle(gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content)
    except (OSError, EOFError, zlib.error) as error:
        raise Unread from error


def written(*forms: str) -> list[bytes]:
    """Small arrays in formats that hold several."""
    rng = np.random.default_rng(4)
    arrays = [rng.standard_normal((4, 3)).astype(dtype) for dtype in ("f4", "f8", "i2")]
    return [{**files.ANY_SHAPE, **files.TABLES}[form](array) for form in forms for array in arrays]


def npz_oracle(content: bytes) -> Array:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            (name,) = stored.files
            return real(stored[name])
    except Exception as error:
        raise Unread from error


def safetensors_oracle(content: bytes) -> Array:
    try:
        size = 8 + int.from_bytes(content[:8], "little")
        end = max(each["data_offsets"][1] for each in json.loads(content[8:size]).values())
        (array,) = safetensors.numpy.load(content[: size + end]).values()  # what follows is nobody's
        return real(array)
    except Exception as error:
        raise Unread from error


def parquet_oracle(content: bytes) -> Array:
    try:
        table = pyarrow.parquet.ParquetFile(io.BytesIO(content)).read()
        return np.stack([column.to_numpy() for column in table.columns], 1).astype("f8")
    except Exception as error:
        raise Unread from error


def real(array: Array) -> Array:
    if array.dtype.kind not in "biuf":
        raise Unread
    return array


CSV_TOKENS = [
    b",",
    b"\n",
    b"\r\n",
    b"\r",
    b'"',
    b'""',
    b"nan",
    b"NA",
    b"-inf",
    b"1e999",
    b"\0",
    b"\xff",
    b" ",
    b"1_0",
    b";",
]
PARSERS = [
    Parser(
        ".npy",
        npy_seeds,
        [
            b"'",
            b"(",
            b")",
            b",",
            b"True",
            b"-1",
            b"'descr'",
            b"O8",
            b"<c8",
            b"|V4",
            b"L",
            b"9" * 20,
            b"0",
            b"\xff",
            b"\n",
        ],
        npy_oracle,
    ),
    Parser(".csv", csv_seeds, CSV_TOKENS, csv_oracle, Reading(delimiter=",", header=False, columns="1", comment="")),
    Parser(
        ".csv.gz",
        lambda: [gzip.compress(seed, 6, mtime=0) for seed in csv_seeds()],
        [b"\x1f\x8b\x08\0", b"\0", b"\xff", gzip.compress(b"1,2,3\n", mtime=0)],
        gzip_oracle,
        Reading(delimiter=",", header=False, columns="1", comment=""),
    ),
    Parser(
        ".npz",
        lambda: written("npz", "npz, packed"),
        [b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"\0", b"\xff\xff\xff\xff", b".npy"],
        npz_oracle,
    ),
    Parser(
        ".safetensors",
        lambda: written("safetensors"),
        [*b'{}[]":,0\0\xff', b'"F64"', b'"BF16"', b"[0,8]", b"99999999999999999999", b"-1", b'"x":'],
        safetensors_oracle,
    ),
    Parser(
        ".parquet",
        lambda: written("parquet, in groups"),
        [b"PAR1", b"\0", b"\xff", b"\x15\0", b"\x19\x1c"],
        parquet_oracle,
    ),
]
"""Formats that are read, but for HDF5: a forged file may end the process within its library."""


def mutated(seeds: list[bytes], tokens: list[bytes | int]) -> st.SearchStrategy[bytes]:
    """One of the seeds with up to five changes."""
    pieces = [bytes([token]) if isinstance(token, int) else token for token in tokens]

    @st.composite
    def draw_one(draw: Any) -> bytes:
        content = bytearray(draw(st.sampled_from(seeds)))
        for _ in range(draw(st.integers(0, 5))):
            size = len(content)
            at = draw(st.integers(0, size))
            length = draw(st.integers(1, 16))
            how = draw(st.sampled_from(["flip", "byte", "token", "over", "cut", "end", "twice", "splice"]))
            if how == "flip" and size:
                content[min(at, size - 1)] ^= 1 << draw(st.integers(0, 7))
            elif how == "byte" and size:
                content[min(at, size - 1)] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, 0x20, 0x30]))
            elif how == "token":
                content[at:at] = draw(st.sampled_from(pieces))
            elif how == "over":
                token = draw(st.sampled_from(pieces))
                content[at : at + len(token)] = token
            elif how == "cut":
                del content[at : at + length]
            elif how == "end":
                del content[at:]
            elif how == "twice":
                content[at:at] = content[at : at + length]
            elif how == "splice":
                other = draw(st.sampled_from(seeds))
                content[at:] = other[min(at, len(other)) :]
        return bytes(content)

    return draw_one()


def values_of(source: Source) -> Array:
    """All of it, in several blocks."""
    if None in source.shape:
        parts = [np.empty((0, source.shape[1] or 0))]
        for block in blocks.rows(source.shape[1] or 1, 1 << 10):
            pending = source.fetch(block)
            if pending is None:
                break
            parts.append(pending.load(Buffer()).values.copy())
        return np.concatenate(parts)
    shape = tuple(n or 0 for n in source.shape)
    whole = np.empty(shape, source.dtype)
    every: Iterator[Block] = iter([Block((), ())])
    if 0 in shape:
        every = iter([])
    elif shape:
        every = iter(blocks.plan(shape, (len(shape) - 1,), source.order, 32, contiguous=False))
    for block in every:
        pending = source.fetch(block)
        assert pending is not None
        whole[tuple(map(slice, block.start, block.stop))] = pending.load(Buffer()).values
    return whole


def check(parser: Parser, content: bytes, folder: Path, runtime: Runtime) -> bool:
    """The only outcomes there may be; whether the file was read."""
    path = folder / f"fuzzed{parser.suffix}"
    path.write_bytes(content)
    try:
        want: Array | None = parser.oracle(content)
    except Unread:
        want = None
    try:
        with closing(open_source(str(path), parser.options)) as source:
            got = values_of(source)
    except (InputError, OptionError) as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert path.name in refusal
        strict = parser.suffix == ".npy"
        assert want is None or want.size == 0 or not strict, f"NumPy reads it: {refusal}"
        return False
    assert want is not None, f"nobody else reads it; read as {got!r}"
    if got.dtype != want.dtype:  # long doubles
        with np.errstate(all="ignore"):
            want = want.astype(got.dtype)
    np.testing.assert_array_equal(got, want)
    check_reduction(parser, path, want, runtime)
    return True


def check_reduction(parser: Parser, path: Path, want: Array, runtime: Runtime) -> None:
    """The hard argmax of what is read is NumPy's, or the error is one of those with words for it."""
    if want.size > 10_000:
        return
    try:
        with closing(open_source(str(path), parser.options)) as source:
            problem = Spec((-1,)).resolve(source.shape, source.dtype, frozenset())
            parts = [part.hard[0] for part in engine.reduce(source, problem, runtime, memory=1 << 24)]
            parts.append(np.empty(0, np.int64))
    except UndefinedError:
        assert want.dtype.kind == "f"
        assert (np.isnan(want) | (want == -np.inf)).any()
        return
    except (InputError, OptionError):
        assert want.ndim == 0 or want.shape[-1] == 0 or 0 in want.shape
        return
    np.testing.assert_array_equal(np.concatenate(parts), want.argmax(-1).reshape(-1))


def fuzz(parser: Parser, count: int, folder: Path, runtime: Runtime) -> None:
    read = 0

    @settings(max_examples=count, suppress_health_check=list(HealthCheck), database=None)
    @given(mutated(parser.seeds(), parser.tokens))
    def one(content: bytes) -> None:
        nonlocal read
        read += check(parser, content, folder, runtime)

    one()
    assert read > count // 50, "nearly nothing could be read: what is damaged so much proves little"


@pytest.mark.parametrize("parser", PARSERS, ids=str)
def test_damaged_files(parser: Parser, tmp_path: Path, native_runtime: Runtime) -> None:
    fuzz(parser, FEW, tmp_path, native_runtime)


@pytest.mark.nightly
@pytest.mark.parametrize("parser", PARSERS, ids=str)
def test_very_many_damaged_files(parser: Parser, tmp_path: Path, native_runtime: Runtime) -> None:
    fuzz(parser, MANY, tmp_path, native_runtime)
