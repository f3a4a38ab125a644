"""Delimited text: the oracle is Python's own csv and float, or literals.

Text is read in two ways: pieces as wholes by polars, where it takes them, or cell by cell; both must say the same.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from files import Hesitant
from files import csv as csv_of
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from softargmax_cli.errors import InputError, OptionError, as_typed, naming
from softargmax_cli.files.formats import csv as csv_source
from softargmax_cli.files.formats.csv import CsvSource, layout
from softargmax_cli.files.formats.csv import text as csv_text
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import Source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

NAN = math.nan
INF = math.inf
ROUTES = ("whole", "cells")


@contextmanager
def tuned(**limits: int) -> Iterator[None]:
    """Set the limits that decide how a file is cut."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in limits.items():
            for module in (csv_source, layout, csv_text):
                if hasattr(module, name):
                    patch.setattr(module, name, value)
        yield


@contextmanager
def routed(route: str) -> Iterator[None]:
    """Read pieces as wholes, where polars takes them, or cell by cell."""
    with pytest.MonkeyPatch.context() as patch:
        if route == "cells":
            patch.setattr(csv_source, "_cut_by_polars", lambda *given: None)
        yield


def read(source: Source, rows: int = 1000) -> tuple[np.ndarray, list[str] | None, int]:
    """All values, all ids, and in how many pieces they came."""
    parts, ids, start, moved = [], [], 0, 0
    columns = source.shape[1]
    while (pending := source.fetch(Block((start, 0), (start + rows, columns)))) is not None:
        moved += pending.nbytes
        loaded = pending.load(Buffer())
        assert loaded.values.dtype == source.dtype == np.float64
        assert (loaded.ids is not None) == source.has_ids
        parts.append(loaded.values.copy())
        if loaded.ids is not None:
            assert len(loaded.ids) == len(loaded.values)
            ids += loaded.ids
        start += rows
    assert source.nbytes is None or moved <= source.nbytes
    values = np.concatenate(parts) if parts else np.empty((0, columns or 0))
    return values, ids if source.has_ids else None, len(parts)


def open_csv(stream: io.BufferedReader, name: str, reading: Reading) -> CsvSource:
    with naming(name):
        return CsvSource(stream, name, reading)


def opened(text: str | bytes, name: str = "scores.csv", *, strict: bool = False, **options: Any) -> Source:
    data = text.encode() if isinstance(text, str) else text
    return open_csv(io.BufferedReader(io.BytesIO(data)), name, Reading(strict=strict, **options))  # type: ignore[arg-type]


def outcome(route: str, text: str | bytes, name: str = "scores.csv", **options: Any) -> Any:
    """Read a text one way: values and names, or the error."""
    with routed(route):
        try:
            table, ids, _ = read(opened(text, name, **options))
        except (InputError, OptionError) as error:
            return error
    return table, ids


def table_of(text: str | bytes, name: str = "scores.csv", **options: Any) -> tuple[np.ndarray, list[str] | None]:
    """Values and names, which both ways agree on."""
    (values, ids), (same, same_ids) = (outcome(route, text, name, **options) for route in ROUTES)
    np.testing.assert_array_equal(values, same)
    assert ids == same_ids
    return values, ids


def values(text: str | bytes, name: str = "scores.csv", **options: Any) -> np.ndarray:
    return table_of(text, name, **options)[0]


def failure(text: str | bytes, name: str = "scores.csv", **options: Any) -> InputError | OptionError:
    """The error, which both ways agree on."""
    error, same = (outcome(route, text, name, **options) for route in ROUTES)
    assert isinstance(error, InputError | OptionError)
    assert str(error) == str(same)
    assert str(error).count("\n") <= 2
    assert error.file == name
    return error


# What a file looks like


DIALECTS: list[tuple[str, str, tuple[str, ...] | None]] = [
    ("1,2\n3,4", "x.csv", None),
    ("1,2\r\n3,4\r\n", "x.csv", None),
    ("1,2\n3,4\n\n\r\n\n", "x.csv", None),
    ("1;2\n3;4\n", "x.csv", None),
    ("1|2\n3|4\n", "x.csv", None),
    ("1 2\n3 4\n", "x.csv", None),
    (" 1 ,\t2\n3,4\n", "x.csv", None),
    ("1,2\r\r\n3,4\r\r\n", "x.csv", None),
    ('"1","2"\n"3","4"\n', "x.csv", None),
    ("\ufeffa,b\n1,2\n3,4\n", "x.csv", ("a", "b")),
    ("a\tb\n1\t2\n3\t4\n", "x.tsv", ("a", "b")),
    ("1,a\tb\n1\t2\n3\t4\n", "x.tab", ("1,a", "b")),
    ("a,a\n1,2\n3,4\n", "x.csv", ("a", "a")),
    ("\n1,2\r\n \r\n3,4\r\n", "x.csv", None),
    ("  1   2\n3 \t 4 \n", "x.txt", None),
    (" 1\t 2\r\n\r\n 3\t 4\r\n", "x.txt", None),
    ("# c1 c2\n1 2\n3 4\n", "x.txt", None),
    ("# of\n\n#,,\na,b # c\n1,2 # d, e\n  # f\n3,4\n#", "x.csv", ("a", "b")),
    ('"a # b","c #"\n1,2 # "d\n3,4\n', "x.csv", ("a # b", "c #")),
    ("sep=;\r\na;b\r\n1;2\r\n3;4\r\n", "x.csv", ("a", "b")),
    ("1,2,\n3,4,\n", "x.csv", None),
    ("a,b\n1,2,\n3,4,\n", "x.csv", ("a", "b")),
    ("a,b,\n1,2\n3,4\n", "x.csv", ("a", "b")),
    ('"a\r\nb","c""d, e"\r\n1,2\r\n3,4\r\n', "x.csv", ("a\r\nb", 'c"d, e')),
    ("big dog,é🐕\n1,2\n3,4\n", "x.csv", ("big dog", "é🐕")),
]


@pytest.mark.parametrize(("text", "name", "labels"), DIALECTS)
def test_dialects(text: str, name: str, labels: tuple[str, ...] | None) -> None:
    source = opened(text, name)
    assert (source.labels, source.shape, source.sequential, source.name) == (labels, (None, 2), True, name)
    assert values(text, name).tolist() == [[1, 2], [3, 4]]


def test_a_told_delimiter() -> None:
    for delimiter in (":", "\t", " ", ";"):
        assert values("1:2\n3:4\n".replace(":", delimiter), delimiter=delimiter).tolist() == [[1, 2], [3, 4]]
    for text in ("1,2\n3,4\n", "x,y\n1,2\n3,4\n", "1.5;x\n2;3\n"):
        assert "pass another --delimiter" in as_typed(failure(text, delimiter="\t").remedy)


def test_the_delimiter_that_leaves_numbers_is_taken() -> None:
    widths = {
        "a|b,1,3\nc|d,3,4\n": 2,
        "big dog,1,3\nsmall cat,3,4\n": 2,
        "x, y,z\n1,2,3\n": 3,
        "1\n2\n": 1,
        "a\n1\n": 1,
    }
    for text, width in widths.items():
        assert opened(text).shape == (None, width)


def test_headers_that_say_too_little() -> None:
    for text, header in (("a,b,c\n\n\r\n", None), ("a,b,c", None), ("0,1,2\n", True), ('"a\nb"\n', None)):
        error = failure(text, header=header)
        assert error.what == "line 1 is a header, and no rows follow it"
        assert ("--header" in error.remedy) == bool(header)
    assert "--header" in failure("a,b\n1,2\n", header=False).remedy
    assert "--header" in as_typed(opened("0,1,2\n5,6,7\n", strict=True).notes[0])
    assert not opened("0,1,2\n5,6,7\n", strict=True, header=False).notes


# Cells

CELLS = {
    "1": 1.0, "-1": -1.0, "+1": 1.0, "1.": 1.0, ".5": 0.5, "1e5": 1e5, "1E+05": 1e5, "-00.5e-003": -0.0005,
    "0.1234567890123456789012345678901234567890": 0.12345678901234568, "1e308": 1e308, "5e-324": 5e-324,
    "1e400": INF, "-1e400": -INF, "1e-400": 0.0, "1.7976931348623157e308": 1.7976931348623157e308,
    "inf": INF, "-inf": -INF, "+inf": INF, "Infinity": INF, "-INFINITY": -INF, "INF": INF,
    "": NAN, "NA": NAN, "na": NAN, "nA": NAN, "N/A": NAN, "n/a": NAN, "null": NAN, "NULL": NAN, "nUlL": NAN,
    "nan": NAN, "NaN": NAN, "-nan": NAN, " NA": NAN, "NA ": NAN, " ": NAN, " 1.5 ": 1.5, '"2.5"': 2.5, '""': NAN,
    '"NA"': NAN,
}  # fmt: skip


def test_cells() -> None:
    for cell, value in CELLS.items():
        np.testing.assert_array_equal(values(f"a,b\n7,{cell}\n{cell},8\n"), [[7, value], [value, 8]])
    table = values("x,y\n" + "".join(f"{cell},1\n" for cell in CELLS))
    np.testing.assert_array_equal(table[:, 0], list(CELLS.values()))


@pytest.mark.parametrize("cell", ["abc", "1_0", "0x10", "1d5", "-", "e5", "1e", "1 2", "true", "٣", "1\xa0", "--1"])
def test_what_is_not_a_number(cell: str) -> None:
    error = failure(f"a,b\n1,2\n3,{cell}\n5,6\n")
    assert error.what == f"line 3, column 2 ('b'): {cell!r} is not a number"
    assert "NaN" in error.remedy or "1234.5" in error.remedy


@pytest.mark.parametrize(
    ("text", "cell", "way"),
    [
        ("1;2\n1,5;2\n", "1,5", "--decimal ,"),
        ("1,5;2,5\n3,5;4,5\n", "1,5", "--decimal ,"),
        ("a;b\n1,5;2,5\n", "1,5", "--decimal ,"),
        ("1;2\n1.234,5;2\n", "1.234,5", "--decimal ,"),
        ('1,2\n"1,234",2\n', "1,234", "--decimal ,"),
        ('1,2\n"1,234,567.8",2\n', "1,234,567.8", "1234.5"),
        ("1,2\n1'234,2\n", "1'234", "1234.5"),
        ("1,2\n1 234,2\n", "1 234", "1234.5"),
        ("1,2\n1_234,2\n", "1_234", "1234.5"),
        ("1,5\t2,5\n3,5\t4,5\n", "1,5", "--decimal ,"),  # of which commas make as many cells
    ],
)
def test_separators_are_never_guessed(text: str, cell: str, way: str) -> None:
    name = "x.tsv" if "\t" in text else "scores.csv"
    error = failure(text, name, strict=True)
    assert repr(cell) in error.what
    assert way in as_typed(error.remedy)
    if way == "--decimal ,":
        assert np.isfinite(values(text, name, decimal=",")).all()


def test_decimal_commas() -> None:
    cells = {"1,5": 1.5, ",5": 0.5, "-1.234,5": -1234.5, "1.234.567": 1234567.0, "2E3": 2000.0, "3,5e-2": 0.035}
    for id_column in (None, "1"):
        for few in (list(cells), ["1,5", ",5", "2E3", "3,5e-2"]):
            text = "".join(f"{cell};{cell};{cell}\n" for cell in few)
            table, ids = table_of(text, decimal=",", id_column=id_column, header=False)
            assert table[:, -1].tolist() == [cells[cell] for cell in few]
            assert ids is None or ids == few
    for wrong in ("1.5", "1234.567", "1.23,4", "1,234.5", "1,2,3"):
        error = failure(f"1,5;2\n3;{wrong}\n", decimal=",")
        assert repr(wrong) in error.what
        assert "as 1234,5" in error.remedy


def test_cells_are_shown_safely() -> None:
    assert "'\\x1b[31m\\x07'" in failure("a,b\n1,2\n3,\x1b[31m\a\n").what
    assert "'" + "x" * 37 + "...'" in failure("a,b\n1,2\n3," + "x" * 5000 + "\n").what
    assert "('\\x1b[1m')" in failure("a,\x1b[1m\n1,2\n3,dog\n").what


# Names of rows


def test_ids() -> None:
    text = 'a,name,b\n1,dog,2\n3,"cat, ""small""\n",4\n5,NA,6\n7,,8\n9,6" x,10\n'
    for id_column in ("name", "2"):
        table, ids = table_of(text, id_column=id_column)
        assert ids == ["dog", 'cat, "small"\n', "NA", "", '6" x']
        assert table.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
        assert opened(text, id_column=id_column).labels == ("a", "b")
    assert table_of("dog,1,2\ncat,3,4\n", id_column="1")[1] == ["dog", "cat"]
    assert table_of("name,0,1\n7,1,2.5\n", id_column="name")[1] == ["7"]
    assert table_of("dog,NA,NA\ncat,1,2\n", id_column="1")[1] == ["dog", "cat"]
    assert table_of("film,1\na,1\nb,4\n", id_column="1")[1] == ["film", "a", "b"]


@pytest.mark.parametrize(
    ("text", "asked", "what"),
    [
        ("a,b,c\n1,2,3\n", "name", "'a', 'b', 'c'"),
        ("1,2,3\n4,5,6\n", "4", "no column '4'"),
        ("a,b,c\n1,2,3\n", "0", "no column '0'"),
        ("1,2,3\n4,5,6\n", "name", "no header"),
        ("a,b,a\n1,2,3\n", "a", "1, 3"),
        ("name\ndog\n", "name", "no column of numbers"),
    ],
)
def test_an_id_column_that_is_not_there(text: str, asked: str, what: str) -> None:
    assert what in failure(text, id_column=asked).what


# What is no table


@pytest.mark.parametrize(
    ("mark", "text", "rows"),
    [
        ("%", "% a\n1 2 % b\n3 4\n", [[1, 2], [3, 4]]),
        ("//", "1,2 // a\n// b\n3,4\n", [[1, 2], [3, 4]]),
        (None, "1,2\n1,#DIV/0!\n", "'#DIV/0!' is not a number"),
        ("", "1,2\n# a,3\n", "'# a' is not a number"),
        (None, "1,2\n3,4 #,\n5 # c\n", "line 3 has 1 cell, expected 2"),
    ],
)
def test_comments(mark: str | None, text: str, rows: Any) -> None:
    if isinstance(rows, list):
        assert values(text, comment=mark).tolist() == rows
    else:
        assert rows in failure(text, comment=mark).what


def test_lines_that_are_skipped() -> None:
    text = 'a "b\n\n1;2;3\nx,y\n1,2\n3,z\n'
    assert failure(text, skip=3).what == "line 6, column 2 ('y'): 'z' is not a number"
    assert values(text.replace("z", "4"), skip=3).tolist() == [[1, 2], [3, 4]]
    failed = failure("1,2\n3,4", skip=2)
    assert failed.what.endswith("leaves nothing of the file")
    assert failed.remedy == "skip fewer lines"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_with_a_mark(encoding: str) -> None:
    text = "\ufeffname\ta\tb\n" + "".join(f"é🐕{k}\t{k}\t0.5\n" for k in range(1000))
    data = text.encode(encoding)
    for stream in (Hesitant(data, 3), io.BytesIO(data)):
        held: Any = io.BufferedReader(stream, 3)  # type: ignore[type-var]
        table, ids, _ = read(open_csv(held, "x.txt", Reading(id_column="name", strict=False)))
        assert (table == [[k, 0.5] for k in range(1000)]).all()
        assert ids == [f"é🐕{k}" for k in range(1000)]
    assert "no text file" in failure(data[:60] + b"\xd8" * 20).what


@pytest.mark.parametrize("options", [{}, {"header": "a b\nc"}, {"delimiter": ","}, {"fmt": "%12.5f"}])
def test_what_savetxt_writes(options: dict[str, Any], tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(70, 5)).round(5)
    np.savetxt(tmp_path / "x.txt", table, **options)
    np.testing.assert_array_equal(values((tmp_path / "x.txt").read_bytes(), "x.txt"), table)


# What is wrong, and where


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("1,2\n3\n", "line 2 has 1 cell, expected 2 as in line 1"),
        ("1,2\n3,4\n5,6,7\n", "line 3 has 3 cells, expected 2 as in line 1"),
        ("a,b\n1,2\n3,4,\n", "line 3 has 3 cells, expected 2 as in line 1"),
        ("1\n\n2\n", "line 2 is blank"),
        ("", "the file is empty"),
        ("\n\n\r\n", "the file is empty"),
        ("\ufeff", "the file is empty"),
        ('1,2\n3,"4\n5,6\n', "line 2: a quote is never closed"),
        ('"a,b\n1,2\n', "line 1: a quote is never closed"),
        ('1,2\n6" x,"4\n5,"6"\n', "line 2: ',' expected after '\"'"),
        (b"1,2\n3,\xff\n", "line 2: byte 0xff is not UTF-8"),
        (b"\xef\xbb\xbf1,2\n3,\xff\n", "line 2: byte 0xff is not UTF-8"),
        (b"1,2\n3,\0\n", "line 2: a NUL byte, so the file is not UTF-8 text"),
        ("1,2\n".encode("utf-16-be"), "line 1: a NUL byte, so the file is not UTF-8 text"),
        ("1,2\n".encode("utf-32"), "line 1: a NUL byte, so the file is not UTF-8 text"),
        ("1,2\r3,4\r", "line 1: a carriage return without a line feed"),
        ("1,2\n3,4\n5,6\r7,8\n", "line 3: a carriage return without a line feed"),
        ("1,2\n\r3,4\n", "line 2: a carriage return without a line feed"),
        ("1 2\n3\n4 5\n", "line 2 has 1 cell, expected 2 as in line 1"),
        ("1,2\n3 ,4\n5,6,  ", "line 3 has 3 cells, expected 2 as in line 1"),
        ("1,2\n3 ,4\n5,6,  \n", "line 3 has 3 cells, expected 2 as in line 1"),
        ("1,2\n3 ,4\n5\n6,7\n", "line 3 has 1 cell, expected 2 as in line 1"),
        ("1\t2\n3\n4\t5\n", "line 2 has 1 cell, expected 2 as in line 1"),
        ("1,NA\n3\n4,5\n", "line 2 has 1 cell, expected 2 as in line 1"),
    ],
)
def test_errors(text: str | bytes, what: str) -> None:
    error = failure(text)
    assert error.what == what
    assert ("cell" in what) == ("pass --delimiter if it is not" in as_typed(error.remedy))


@pytest.mark.slow
def test_cells_and_records_without_end() -> None:
    for cell in ("4" * 200_000, '"' + "4,\n" * 45_000 + '"\n'):
        assert failure(f"1,2\n3,{cell}", delimiter=",").what == "line 2: field larger than field limit (131072)"
    with tuned(LONGEST_RECORD=1 << 16, STEP=64, _LEAST=1, _HEAD=64):
        for text in ("1,2\n3,4\n" + "5" * (1 << 17), "5" * (1 << 18), 'x,y\n1,"' + "2,3\n" * (1 << 14)):
            assert "line 1 on is longer" in failure(text, header=True).what
    row = ",".join(map(str, range(50_000)))
    assert (values(f"{row}\n{row}\n") == np.arange(50_000)).all()


NUMBERS = "".join(f"{k},{k}.5,{k}e3\n" for k in range(3000))


@pytest.mark.parametrize(("row", "end", "rows"), [(0, "\n", 50), (48, "\r\n", 50), (2999, "\n", 100_000)])
def test_places_in_later_pieces(row: int, end: str, rows: int) -> None:
    lines = ["x,y,z", *NUMBERS.splitlines()]
    for bad, what in [
        ("1,oops,3", f"line {row + 2}, column 2 ('y'): 'oops' is not a number"),
        ("1,2", f"line {row + 2} has 2 cells, expected 3 as in line 1"),
        ("1,\udcff,3", None),
        ('1,2,"3', f"line {row + 2}: a quote is never closed"),
    ]:
        data = (end.join([*lines[: row + 1], bad, *lines[row + 2 :]]) + end).encode("utf-8", "surrogateescape")
        what = what or f"line {row + 2}: byte 0xff is not UTF-8"
        with tuned(_LEAST=1, _HEAD=100), pytest.raises(InputError) as caught:
            read(opened(data, header=True), rows)
        assert caught.value.what == f"{what}"


# Pieces


def test_cells_that_hold_lines_across_pieces() -> None:
    text = "".join(f'"n{k}\nof ""many""\nlines","x",{k}\n' for k in range(300))
    for rows in (1, 7, 1000):
        with tuned(_LEAST=50, _CELLS=1):
            table, ids, _ = read(opened(text, id_column="1", header=False, columns="3"), rows)
        assert table[:, 0].tolist() == list(range(300))
        assert ids == [f'n{k}\nof "many"\nlines' for k in range(300)]
    lone = "".join(f'n{k} 6",{k}\n# it"s\nx,{k}\n' for k in range(300))
    with tuned(_LEAST=50, _CELLS=1):
        assert read(opened(lone, id_column="1", header=False), 9)[0][::2, 0].tolist() == list(range(300))


def quoted(cell: str, always: bool) -> str:
    # csv.writer leaves a lone carriage return bare, which csv.reader then refuses.
    return '"' + cell.replace('"', '""') + '"' if always or set(cell) & set(',"\r\n') else cell


def oracle(data: bytes, header: bool, id_at: int | None) -> tuple[list[list[float]], list[str]]:
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))[header:]
    ids = [row.pop(id_at) for row in rows] if id_at is not None else []
    return [[float(cell or "nan") for cell in row] for row in rows], ids


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """A file, and how to read it."""
    columns = draw(st.integers(1, 5))
    number = st.one_of(
        st.floats().map(repr),
        st.floats(width=32).map(str),
        st.integers(-(10**20), 10**20).map(str),
        st.sampled_from(["", "nan", "+1.5", "-inf", " 3"] if columns > 1 else ["nan", "+1.5", "-inf", " 3"]),
    )
    text = st.text(st.sampled_from("ab,;\"\n\r '\t.5é🐕"), max_size=8)
    id_at = draw(st.none() | st.integers(0, columns))
    header = draw(st.booleans())
    rows = draw(st.lists(st.lists(number, min_size=columns, max_size=columns), min_size=1, max_size=40))
    if id_at is not None:
        for row in rows:
            row.insert(id_at, draw(text))
    assume(header or rows[0][-1].strip())  # else the last column may look like none
    if header:
        rows.insert(0, [f"c{k}" for k in range(len(rows[0]))])
    end = draw(st.sampled_from(["\n", "\r\n"]))
    always = draw(st.booleans())
    written = "".join(",".join(quoted(cell, always) for cell in row) + end for row in rows)
    if draw(st.booleans()):
        written = written[: -len(end)]
    written += draw(st.sampled_from(["", end, end * 3])) if written.endswith(end) else ""
    bom = b"\xef\xbb\xbf" if draw(st.booleans()) else b""
    return {"data": bom + written.encode(), "bare": written.rstrip("\r\n").encode(), "header": header, "id_at": id_at}


@settings(max_examples=30)
@given(tables(), st.integers(1, 8), st.integers(1, 200), st.sampled_from(ROUTES), st.booleans(), st.booleans())
def test_any_table_in_any_pieces(
    table: dict[str, Any], rows: int, head: int, route: str, compressed: bool, short: bool
) -> None:
    data = gzip.compress(table["data"]) if compressed else table["data"]
    stream: Any = io.BufferedReader(Hesitant(data, 3) if short else io.BytesIO(data))  # type: ignore[type-var]
    width = len(next(csv.reader(io.StringIO(table["bare"].decode(), newline=""))))
    with tuned(_LEAST=1, _HEAD=head), routed(route):
        id_column = None if table["id_at"] is None else str(table["id_at"] + 1)
        columns = ",".join(str(k + 1) for k in range(width) if k != table["id_at"])
        asked = Reading(delimiter=",", header=table["header"], id_column=id_column, columns=columns, comment="")
        got, ids, _ = read(open_csv(stream, "x.csv", asked), rows)
    expected, expected_ids = oracle(table["bare"], table["header"], table["id_at"])
    assert np.array_equal(got, expected, equal_nan=True)
    assert ids is None or ids == expected_ids


TEXTS = ["1", "-2.5", "", " ", "3 ", " 4", "5\t", "NA", "NA ", "nan", "x", '"6"', '""', '"', '"a""b"', '"a,b"']


@settings(max_examples=40)
@example(" ", "2", [["1", "5\t"]], "\n", False)
@given(
    st.sampled_from(",\t; "),
    st.sampled_from([None, None, "1", "2"]),
    st.lists(st.lists(st.sampled_from(TEXTS), max_size=4), min_size=1, max_size=6),
    st.sampled_from(["\n", "\n", "\r\n", "\r"]),
    st.booleans(),
)
def test_both_ways_make_the_same_of_any_text(
    delimiter: str, id_column: str | None, rows: list[list[str]], end: str, ended: bool
) -> None:
    first = delimiter.join(["7"] * len(max(rows, key=rows.count)))
    text = end.join([first, *map(delimiter.join, rows)]) + end * ended
    options: dict[str, Any] = {"delimiter": delimiter, "id_column": id_column, "header": False}
    whole, cells = (outcome(route, text, **options) for route in ROUTES)
    assert repr(whole) == repr(cells)  # in which NaN is as good as another


def test_pieces_are_as_large_as_the_block() -> None:
    text = NUMBERS * 20
    with tuned(_LEAST=1, _HEAD=64):
        assert read(opened(text), 100)[2] > read(opened(text), 10_000)[2] > 1
    assert read(opened(text), 10**9)[2] == 1
    for quote in ("", '"'):  # though rows get shorter
        long, short = f"{quote}0.{'1' * 600}{quote},2\n", f"{quote}3{quote},4\n"
        source, lengths = opened(long * 200 + short * 50_000), []
        while (pending := source.fetch(Block((0, 0), (5000, 2)))) is not None:
            lengths.append(len(pending.load(Buffer()).values))
        assert max(lengths) <= 5000
        assert sum(lengths) == 50_200


def test_pieces_parse_in_any_order_and_in_parallel() -> None:
    table = np.random.default_rng(1).normal(size=(6000, 7))
    source, pendings = opened(csv_of(table).decode()), []
    while (pending := source.fetch(Block((0, 0), (1000, 7)))) is not None:
        pendings.append(pending)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda pending: pending.load(Buffer()).values, reversed(pendings)))
    assert np.array_equal(np.concatenate(parts[::-1]), table)
    assert sum(pending.nbytes for pending in pendings) == source.nbytes


# Two ways to read a text


@pytest.mark.parametrize(("text", "want"), [("s\n1,5\n2,25\n", [[1.5], [2.25]]), ("0,5\n0,25\n", [[0.5], [0.25]])])
def test_a_decimal_comma_alone_is_no_delimiter(text: str, want: list[list[float]]) -> None:
    assert values(text, decimal=",", strict=True).tolist() == want


def test_a_point_before_decimals_is_no_thousand() -> None:
    assert "'0.125'" in failure("0.125;0.3\n0.5;1\n", decimal=",").what
    assert values("1.125;0,3\n", decimal=",").tolist() == [[1125, 0.3]]


@pytest.mark.parametrize(("strict", "way"), [(True, "--decimal ,"), (False, "sed 's/,/./g'")])
def test_a_header_of_one_cell_above_decimal_commas(strict: bool, way: str) -> None:
    error = failure("c\n1,5\n2,5\n", strict=strict)
    assert "line 1 has 1 cell and line 2 has 2" in error.what
    assert way in as_typed(error.remedy)


def test_names_of_rows_as_r_quotes_them_are_no_decimals() -> None:
    assert table_of('"c"\n"1",5\n"2",7\n', strict=True)[1] == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("id,a,b #1,b #2\nx,1,2,3\ny,4,5,6\n", [[1, 2, 3], [4, 5, 6]]),
        ("id,a,b\nx #1,1,2\nx #2,3,4\n", [[1, 2], [3, 4]]),
        ("id,a #1,b #2\nx,1,2\n", [[1, 2]]),
    ],
)
def test_a_mark_of_comments_in_cells(text: str, want: list[list[float]]) -> None:
    assert "--comment ''" in as_typed(failure(text, strict=True).remedy)
    assert values(text, comment="", strict=True).tolist() == want


def test_notes_on_what_may_be_read_in_two_ways() -> None:
    cases = {
        "id,a,b\n#1,1.5,2\nx,3,4\n#3,5,6\n": "line 2 begins with # and is left out",
        "0,31.25,62.5,93.75,125\n0.3,0.1,0.4,0.1,0.5\n": "line 1 is read as numbers",
        "id,a\n17,3\n12,9\n": "column 1 ('id') counts as scores",
    }
    for text, note in cases.items():
        assert any(note in one for one in opened(text, strict=True).notes), text
    for text in (
        "# a, b, c\n1,2.5,3\n# of them: 5\n4,5,6\n",
        "1.5,2.5,3.5,4.5,5.5\n2,3.5,5,6.5,8\n",
        "k,a\n17,3\n12,9\n",
        "inf,inf,1.5,2,7\n1,2,inf,inf,3.5\n",
    ):
        assert not opened(text, strict=True).notes, text


# gzip


def test_gzip() -> None:
    data = gzip.compress(b"a\tb\n1\t2\n") + gzip.compress(b"3\t4\n")  # two members are one file
    assert values(data, "x.tsv.gz").tolist() == [[1, 2], [3, 4]]
    data, moved = gzip.compress(NUMBERS.encode() * 20), 0
    source = opened(data, "x.csv.gz")
    while (pending := source.fetch(Block((0, 0), (10_000, 3)))) is not None:
        moved += pending.nbytes
    assert moved == len(data)


def test_bad_gzip() -> None:
    packed = gzip.compress(NUMBERS.encode())
    for data in (packed[:-12], packed[:500] + b"\xff" * 3000):
        assert failure(data, "x.csv.gz").what.startswith("damaged, or no text file: ")
    for data in (gzip.compress(b""), b""):
        assert failure(data, "x.csv.gz").what == "the file is empty"


@pytest.mark.slow
@pytest.mark.parametrize(("handler", "ended"), [("signal.SIG_IGN", (0, "on\n")), ("lambda *_: sys.exit(7)", (7, ""))])
def test_a_parser_leaves_interrupts_to_the_program(handler: str, ended: tuple[int, str]) -> None:
    program = (
        "import os, signal, sys\n"
        f"signal.signal(signal.SIGINT, {handler})\n"
        "import softargmax_cli.files.formats.csv\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "print('on')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == ended
