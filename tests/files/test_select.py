"""Parts of arrays: what NumPy's own indexing takes of them, read without the rest."""

from __future__ import annotations

import math
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from files import ANY_SHAPE, TABLES, csv, everything, npy, npz, piped, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softargmax_cli.errors import OptionError, as_typed
from softargmax_cli.files import select
from softargmax_cli.files.formats.npy import ArraySource, NpySource
from softargmax_cli.files.reading import Reading, selection_of
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.select import selected
from softargmax_cli.files.source import Source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer, Pending


class Counted(Source):
    """A source that counts what is read of it."""

    def __init__(self, source: Source) -> None:
        self.appear_as(source)
        self.source, self.shape, self.sequential, self.has_ids = source, source.shape, source.sequential, source.has_ids
        self.elements = self.fetches = self.closed = 0

    def fetch(self, block: Block) -> Pending | None:
        self.elements += math.prod(block.shape)
        self.fetches += 1
        return self.source.fetch(block)

    def close(self) -> None:
        self.closed += 1
        self.source.close()


# Writing


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("0", np.s_[0]), ("-1", np.s_[-1]), ("0,:,3:5", np.s_[0, :, 3:5]), (" +2 , : ", np.s_[2, :]),
        ("...", np.s_[...]), ("...,::2", np.s_[..., ::2]), ("1:, :-3, ::-1, 5:1:-2", np.s_[1:, :-3, ::-1, 5:1:-2]),
        ("0 : 3 : 1", np.s_[0:3:1]), ("::", np.s_[::]),
    ],
)  # fmt: skip
def test_it_is_numpys(text: str, index: Any) -> None:
    assert selection_of(text) == selection_of(index)
    assert selection_of(text).parts == (index if isinstance(index, tuple) else (index,))
    assert selection_of(str(selection_of(text))) == selection_of(text)


def test_what_is_no_selection() -> None:
    words = ["", ",", "0,", "a", "1.5", "0:1:2:3", "[0,1]", "None", "True", "0 1", "::0", "...,..."]
    slices: list[Any] = [slice(0, 1.5), slice(0, 5, 0), (..., ...)]
    for index in (*words, *slices, None, True, [0, 1], np.array([1]), 1.5, (0, None)):
        with pytest.raises(OptionError) as caught:
            selection_of(index)
        assert caught.value.remedy == "give integers and slices as in NumPy: 0,:,3:5 or ...,::2"


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("3", "--select 3: 3 is out of range for axis 0, of length 3", "use an index from -3 to 2"),
        ("...,-5", "--select ...,-5: -5 is out of range for axis 1, of length 4", "use an index from -4 to 3"),
        ("0,:,1", "--select 0,:,1: 3 indices for an array of 2 axes", "give as many as there are axes, or fewer"),
    ],
)
def test_what_the_array_has_not(text: str, what: str, remedy: str) -> None:
    with pytest.raises(OptionError) as caught:
        selected(ArraySource(np.zeros((3, 4)), "x.npy"), selection_of(text))
    assert (as_typed(caught.value.message), caught.value.remedy) == (f"x.npy: {what}", remedy)


INDICES = st.integers(-12, 12)
SLICES = st.builds(
    slice, st.none() | INDICES, st.none() | INDICES, st.none() | st.integers(-5, 5).filter(lambda step: step != 0)
)


@st.composite
def indices(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """An index that fits a shape, integers within it."""
    parts: list[Any] = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        parts.append(draw(SLICES | st.integers(-n, n - 1) if n else SLICES))
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), ...)
        tail = len(parts) - parts.index(...) - 1
        for k, n in enumerate(shape[len(shape) - tail :], len(parts) - tail):
            if isinstance(parts[k], int):
                parts[k] = draw(st.integers(-n, n - 1)) if n else slice(None)
    return tuple(parts)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_part_of_any_file(data: st.DataObject, tmp_path: Path) -> None:
    """Read from files and pipes, in blocks of any size, where positions count as near or far apart."""
    form = data.draw(st.sampled_from([*ANY_SHAPE, *TABLES]))
    lengths = st.integers(1 if form in TABLES else 0, 9)
    shape = tuple(data.draw(st.lists(lengths, min_size=2 * (form in TABLES), max_size=2 if form in TABLES else 4)))
    values = np.arange(math.prod(shape), dtype="f4").reshape(shape, order=data.draw(st.sampled_from("CF")))
    index = data.draw(indices(shape))
    want = np.asarray(values[index])
    content = {**ANY_SHAPE, **TABLES}[form](values)
    axes = tuple(data.draw(st.sets(st.integers(0, max(0, want.ndim - 1)), min_size=1)))
    near, sparse = data.draw(st.sampled_from([(1, 4), (2048, 1 << 16), (9, 16), (1, 8)]))
    with (
        mock.patch.multiple(select, NEAR=near, SPARSE=sparse),
        piped(content) if data.draw(st.booleans()) else nullcontext(written(tmp_path, content)) as path,
        closing(open_source(path, Reading(select=selection_of(index)))) as source,
    ):
        assert all(n in (None, m) for n, m in zip(source.shape, want.shape, strict=True))
        got = everything(source, axes, data.draw(st.integers(1, 30)))
        np.testing.assert_array_equal(got, want.reshape(got.shape) if want.size == 0 else want)


# Reading no more


@pytest.mark.parametrize(
    ("index", "most"),
    [
        ("0:10", 10 * 5000), ("-1", 5000), ("::1000", 10 * 5000), (":,100:200", 10_000 * 100), (":,17", 10_000),
        ("9000:,::-1", 1000 * 5000), ("500:700:7,3:5", 197 * 2),
    ],
)  # fmt: skip
def test_no_more_is_read_than_is_taken(index: str, most: int) -> None:
    source = Counted(ArraySource(np.broadcast_to(np.float32(1), (10_000, 5000)), "x.npy"))
    part = selected(source, selection_of(index))
    assert source.fetches == 0
    everything(part, elements=100_000)
    assert source.elements <= most


def test_short_lines_are_read_whole() -> None:
    """Rather than a million reads of one number each."""
    source = Counted(ArraySource(np.broadcast_to(np.float32(1), (300_000, 3))))
    everything(selected(source, selection_of(":,1")), elements=100_000)
    assert source.elements == 900_000
    assert source.fetches <= 100


def test_a_part_in_pieces_of_bounded_size() -> None:
    source = Counted(ArraySource(np.broadcast_to(np.float32(1), (10, 1_000_000))))
    everything(selected(source, selection_of(":,::100")), elements=400_000)
    assert source.elements / source.fetches * 4 <= select.SPARSE


def test_a_huge_file_answers_at_once(tmp_path: Path) -> None:
    path = tmp_path / "huge.npy"
    head = npy(np.zeros((1, 1000), "f4"))[:128].replace(b"(1, 1000), }    ", b"(25000000, 1000), }", 1)
    with path.open("wb") as file:
        file.write(head[:127] + b"\n")
        file.truncate(128 + 25_000_000 * 4000)  # 100 GB, of which a disk holds nothing
    with closing(open_source(str(path), Reading(select=selection_of("-3:, ::250")))) as source:
        np.testing.assert_array_equal(everything(source), np.zeros((3, 4)))
    path.unlink()


# Tables


TABLE = np.arange(60.0).reshape(20, 3)


@pytest.fixture(params=["csv", "parquet"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A table of 20 rows with names."""
    if request.param == "csv":
        rows = "".join(f"r{k},{','.join(map(str, row))}\n" for k, row in enumerate(TABLE))
        return written(tmp_path, ("name,a,b,c\n" + rows).encode())
    columns = pa.table({"name": [f"r{k}" for k in range(20)], **dict(zip("abc", TABLE.T, strict=True))})
    pyarrow.parquet.write_table(columns, tmp_path / "t.parquet", row_group_size=6)
    return str(tmp_path / "t.parquet")


@pytest.mark.parametrize("index", ["2:15:3", ":4,::-1", "5:,1:", "30:", "::-1"])
def test_names_go_along(table: str, index: str) -> None:
    part = selection_of(index)
    rows, columns = part.taken((20, 3))
    assert isinstance(rows, range)
    assert isinstance(columns, range)
    want = TABLE[part.parts]
    with closing(open_source(table, Reading(select=part, id_column="name"))) as source:
        np.testing.assert_array_equal(everything(source).reshape(want.shape), want)
        ids: list[str] = []
        for k in range(len(want)):
            pending: Any = source.fetch(Block((k, 0), (k + 1, want.shape[1])))
            ids += pending.load(Buffer()).ids or ()
        assert ids == [f"r{k}" for k in rows]
        assert source.labels == ["abc"[k] for k in columns]


@pytest.mark.parametrize(
    ("index", "columns"), [("4", "abc"), ("4,1:", "bc"), ("-2,::-2", "ca"), ("4,1", None), (":,1", None)]
)
def test_where_an_axis_goes(table: str, index: str, columns: str | None) -> None:
    """Names of rows that do not stay are not in the way."""
    with closing(open_source(table, Reading(select=selection_of(index), id_column="name"))) as source:
        np.testing.assert_array_equal(everything(source), TABLE[selection_of(index).parts])
        assert (source.labels and "".join(source.labels)) == columns
        assert not source.has_ids


def test_what_is_not_there(table: str) -> None:
    for index, place in (("20", "axis 0, of length 20"), ("2,3", "axis 1, of length 3")):
        with pytest.raises(OptionError) as caught:
            open_source(table, Reading(select=selection_of(index), id_column="name"))
        at = index.rpartition(",")[2]
        assert as_typed(caught.value.message) == f"{table}: --select {index}: {at} is out of range for {place}"


def test_closing_and_failing(tmp_path: Path) -> None:
    source = Counted(ArraySource(np.zeros((3, 4))))
    selected(source, selection_of("0")).close()
    assert source.closed == 1
    with piped(npy(np.zeros((3, 4)))) as path, open(path, "rb") as stream:
        pipe = Counted(NpySource(stream, "<stdin>"))
        selected(pipe, selection_of("::-1")).close()
        assert pipe.closed == 1
    path = written(tmp_path, npz(np.zeros((3, 4))))
    with pytest.raises(OptionError, match=r"\[scores\]: select=\"9\""):
        open_source(path, Reading(select=selection_of("9")))
    (tmp_path / "t.csv").write_bytes(csv(np.zeros((3, 4))))
    with closing(open_source(str(tmp_path / "t.csv"), Reading(select=selection_of(":,2:")))) as table:
        assert (table.shape, table.facts.format, table.facts.delimiter) == ((3, 2), "csv", ",")
