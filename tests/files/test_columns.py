"""Tables as the world writes them: which columns are scores, what is refused, and what the advice leads to."""

from __future__ import annotations

import json
import re
import shlex
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from softargmax_cli.errors import InputError, OptionError, SoftArgmaxError, as_typed
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

SCORES = [[0.1, 0.101, 0.3], [0.2, 0.1, 0.7], [0.5, 0.25, 0.3]]


def csv_of(titles: list[str] | None, columns: list[list[Any]]) -> bytes:
    rows = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    return "".join(f"{row}\n" for row in ([",".join(titles)] if titles else []) + rows).encode()


def read(path: Path, **options: Any) -> tuple[np.ndarray, list[str] | None, Any]:
    """Read all values and names of the rows of a file, and its source."""
    with closing(open_source(str(path), Reading(**options))) as source:
        shape = tuple(9999 if n is None else n for n in source.shape)
        pending = source.fetch(Block((0,) * len(shape), shape))
        assert pending is not None
        loaded = pending.load(Buffer())
        return loaded.values.copy(), None if loaded.ids is None else list(loaded.ids), source


def told(arguments: str) -> dict[str, Any]:
    """Read options as a shell passes them on."""
    options: dict[str, Any] = {}
    words = iter(shlex.split(arguments))
    for word in words:
        if word in ("--header", "--no-header"):
            options["header"] = word == "--header"
        elif word.startswith("--"):
            options[word[2:].replace("-", "_")] = next(words)
    return {name: int(value) if name == "skip" else value for name, value in options.items()}


def ways(error: SoftArgmaxError) -> list[str]:
    """List the options of each way that the advice of an error offers."""
    value = r"(?:'[^']*'|\S+?)(?=[,;]?(?:\s|$))"
    option = rf"--(?:no-)?header|--[a-z-]+ {value}"
    return re.findall(rf"(?:{option})(?: (?:{option}))*", as_typed(error.remedy))


# Numbers that may be names


@pytest.mark.parametrize(
    ("title", "last", "form"),
    [
        *(("id", last, form) for last in (False, True) for form in ("csv", "parquet")),
        *((title, False, "csv") for title in ("user_id", "imageID", "index", "frame", "y", "time", "Unnamed: 0")),
    ],
)
def test_a_column_of_names_is_no_score(title: str, last: bool, form: str, tmp_path: Path) -> None:
    names, scores = [101, 105, 102], np.transpose(SCORES).tolist()
    columns, titles = [names, *scores], [title, *"abc"]
    if last:
        columns, titles = [*scores, names], [*"abc", title]
    path = tmp_path / f"x.{form}"
    if form == "csv":
        path.write_bytes(csv_of(titles, columns))
    else:
        pyarrow.parquet.write_table(pa.table(dict(zip(titles, columns, strict=True))), path)
    with pytest.raises(InputError) as caught:
        read(path)
    assert f"column {4 if last else 1} ({title!r})" in caught.value.what
    named, left_out, scored = ways(caught.value)
    values, ids, _ = read(path, **told(named))
    assert (values.tolist(), ids) == (SCORES, ["101", "105", "102"])
    values, ids, source = read(path, **told(left_out))
    assert (values.tolist(), ids, list(source.labels)) == (SCORES, None, ["a", "b", "c"])
    assert read(path, **told(scored))[0].shape == (3, 4)
    values, ids, source = read(path, inspected=True)
    assert (values.tolist(), ids) == (SCORES, ["101", "105", "102"])
    assert read(path, strict=False)[0].shape == (3, 4)


@pytest.mark.parametrize(
    ("titles", "columns", "named"),
    [
        (["k", "a", "b"], [[7, 8, 9], [0.5, 1.5, 2], [1, 2.5, 7]], True),  # counts upwards by one
        (["k", "a", "b"], [[7, 9, 8], [0.5, 1.5, 2], [1, 2.5, 7]], False),
        (["id", "a", "b"], [[7, 9, 8], [5, 1, 2], [1, 2, 7]], False),  # whole scores
        (["id", "a", "b"], [[0.5, 9, 8], [5, 1.5, 2], [1, 2, 7]], False),
        (["time", "a", "b"], [[0, 0.5, 1.5], [5, 1.5, 2], [1, 2, 7]], True),
        (["time", "a", "b"], [[0, 2.5, 1.5], [5, 1.5, 2], [1, 2, 7]], False),
        (["grid", "a", "b"], [[7, 9, 8], [5, 1.5, 2], [1, 2, 7]], False),
        (None, [[1, 2, 3], [0.5, 1.5, 2], [1, 2.5, 7]], True),
        (None, [[1, 2], [0.5, 1.5], [1, 2.5]], True),
        (None, [[2, 4, 3], [0.5, 1.5, 2], [1, 2.5, 7]], False),
        (None, [[0.5, 1.5, 2], [1, 2, 3]], False),
        (["id"], [[1, 2, 3]], False),
    ],
)
def test_signs_of_names(titles: list[str] | None, columns: list[list[Any]], named: bool, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(csv_of(titles, columns))
    if not named:
        assert read(tmp_path / "x.csv")[0].tolist() == np.transpose(columns).tolist()
        return
    with pytest.raises(InputError) as caught:
        read(tmp_path / "x.csv")
    shapes = [read(tmp_path / "x.csv", **told(way))[0].shape[1] for way in ways(caught.value)]
    assert shapes == [len(columns) - 1, len(columns) - 1, len(columns)]


def test_several_columns_of_names(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(
        csv_of(["id", "a", "b", "label", "kind"], [[1, 5, 3], [0.5, 1.5, 2], [1, 2.5, 7], [1, 0, 1], [*"xyx"]])
    )
    with pytest.raises(InputError) as caught:
        read(path)
    assert [read(path, **told(way))[0].shape[1] for way in ways(caught.value)] == [2, 2, 4]
    assert read(path, **told(ways(caught.value)[0]))[1] == ["1", "5", "3"]
    with pytest.raises(InputError, match="label") as caught:
        read(path, id_column="id")
    assert [read(path, id_column="id", **told(way))[0].shape[1] for way in ways(caught.value)] == [2, 3]
    with pytest.raises(InputError, match="id") as caught:
        read(path, columns="^label")
    assert [read(path, **{"columns": "^label", **told(way)})[0].shape[1] for way in ways(caught.value)] == [2, 2]
    values, ids, source = read(path, inspected=True)
    assert (values.shape, ids) == ((3, 2), ["x", "y", "x"])
    again = read(path, id_column=str(source.facts.id_column), columns=source.facts.columns)
    assert (again[0].tolist(), again[1]) == (values.tolist(), ids)


def test_the_first_thousand_rows_decide(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,a\n" + "7,0.5\n" * 1000 + "7.5,0.5\n" * 9)
    with pytest.raises(InputError):
        read(path)
    path.write_text("id,a\n" + "7,5\n" * 1000 + "7.5,0.5\n" * 9)
    assert read(path, columns=None)[0].shape[1] == 2


# --columns


CHOSEN = {
    "a,b,c": "abc", "a:c": "abc", "2:": "bc2019x, y", "3:2019": "c2019", "^b": "ac2019x, y", "^a,3:": "b", ":b": "ab",
    "1": "a", "c,a": "ac", '"x, y"': "x, y", "4": "2019", ":": "abc2019x, y", " a , c ": "ac",
    ("a", 2, "x, y"): "abx, y",
}  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_columns_that_are_chosen(form: str, tmp_path: Path) -> None:
    titles = ["a", "b", "c", "2019", "x, y"]
    path = tmp_path / f"x.{form}"
    if form == "csv":
        path.write_text('a,b,c,2019,"x, y"\n1,2,3,4,5.5\n')
    else:
        pyarrow.parquet.write_table(pa.table({title: [float(k + 1)] for k, title in enumerate(titles)}), path)
    for spec, chosen in CHOSEN.items():
        values, _, source = read(path, columns=spec, header=True if form == "csv" else None)
        assert "".join(source.labels) == chosen
        assert values.shape == (1, len(source.labels))


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("d", "no column 'd' among 'a', 'b', 'c'"), ("a,1", "column 1 ('a') is named twice"), ("9", "no column '9'"),
        ("c:a", "runs backwards"), ("^a:c", "no column of numbers"), ("a:b,2", "column 2 ('b') is named twice"),
        *((spec, "cannot be read") for spec in ("", "a,", "a:b:c", "^", 'a"b"', "a,,b", '"a')),
    ],
)  # fmt: skip
def test_columns_that_are_not_there(spec: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b,c\n1,2,3\n4,5,6\n")
    with pytest.raises((InputError, OptionError), match=re.escape(what)):
        read(tmp_path / "x.csv", columns=spec)


def test_columns_of_text_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("name,a,kind,b\ndog,1,x,3\ncat,NA,,4\n7,5,y,2\n")
    values, ids, source = read(path)
    assert values.shape == (3, 2)
    assert (ids, source.labels) == (None, ("a", "b"))
    assert source.notes == ("text is left out: column 1 ('name'), column 3 ('kind')",)
    assert read(path, id_column="name")[2].notes == ("text is left out: column 3 ('kind')",)
    assert read(path, columns="2:")[2].labels == ("a", "b")
    assert "text is left out: column 3 ('kind')" in read(path, columns="a,kind")[2].notes[0]
    path.write_text("a,b\n1,2\n3,x\n4,5\n")
    with pytest.raises(InputError, match=re.escape("line 3, column 2 ('b'): 'x' is not a number")):
        read(path)
    path.write_text("name,a\ndog,1\ncat,2\n")
    (note,) = read(path)[2].notes
    assert "--id-column name" in as_typed(note)
    assert read(path, inspected=True)[1] == ["dog", "cat"]


# The first line


@pytest.mark.parametrize(
    ("text", "labels", "ids"),
    [
        (",0,1,2\nr1,0.5,2,3\nr2,1,2,3\n", ("0", "1", "2"), ["r1", "r2"]),  # pandas
        (",a,b\n5,0.5,2\n7,1,2\n", ("a", "b"), ["5", "7"]),
        (',x y,NA\n0,1.5,2\n1,3,4\n', ("x y", "NA"), ["0", "1"]),
        ('"","cat","dog"\n"1",0.2,0.7\n"2",0.5,0.3\n', ("cat", "dog"), ["1", "2"]),  # R: write.csv
        ("cat dog\n1 0.2 0.7\n2 0.5 0.3\n", ("cat", "dog"), ["1", "2"]),  # R: write.table
        ("name,0,1\ndog,0.5,2\ncat,1,2\n", ("0", "1"), None),
        ("dog,1,5\ncat,3,4\n", None, None),
        ("dog,0.5,2,x\ncat,3,4,y\n", None, None),
        ("Na,K,Ca\n1,2,5\n4,4,4\n", ("Na", "K", "Ca"), None),
        ("5,6,7\n8,9,9\n", None, None),
        ("5,7\n0.5,9\n", None, None),
        ("1999,2000\n1950,1951\n", None, None),
        ("1,NA\n3,4\n", None, None),
    ],
)  # fmt: skip
def test_line_1(text: str, labels: tuple[str, ...] | None, ids: list[str] | None, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    values, found, source = read(tmp_path / "x.csv")
    assert (source.labels, found) == (labels, ids)
    assert len(values) == text.count("\n") - bool(labels)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("1,2,3\n0.5,9,7\n", "line 1: 1, 2, 3 may be titles"),
        ("2019,2020\n5,6\n", "line 1: 2019, 2020 may be titles"),
        ("dog,1,2\ncat,3,4\n", "line 1: 1, 2 may be titles"),
        ("x,2,3\n1,2,5\n4,7,7\n", None),
        ("1,b\n1,2\n3,4\n", "line 1, column 2: 'b' is not a number"),
        ("a,b,3\n1,2,3\n4,5,6\n", "line 1, column 1: 'a' is not a number"),
    ],
)
def test_a_line_1_that_may_be_read_in_two_ways(text: str, what: str | None, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    if what is None:
        assert read(path)[2].labels == ("x", "2", "3")
        return
    with pytest.raises(InputError, match=re.escape(what)) as caught:
        read(path)
    found = ways(caught.value)
    assert found[0] == "--header"
    for way in found:
        assert len(read(path, **told(way))[0]) == text.count("\n") - (way == "--header")


# Files from the world


@pytest.mark.parametrize(
    ("text", "what", "mend"),
    [
        ("cat,dog\n45%,55%\n12.5%,87.5%\n", "line 2, column 1 ('cat'): '45%'", ("%", "")),
        ("0.1,0.3,-,0.4\n0.9,0.1,0.2,0.3\n0.2,0.8,0.1,0.5\n", "line 1, column 3: '-' is not a number", ("-", "NaN")),
    ],
)
def test_advice_on_cells_that_is_followed(text: str, what: str, mend: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(what)) as caught:
        read(path)
    assert "--" not in as_typed(caught.value.remedy)
    assert ("sed 's/%//g'" if "%" in text else "NaN") in caught.value.remedy
    path.write_text(text.replace(*mend))
    assert len(read(path)[0]) == text.count("\n") - ("cat" in text)


def test_an_index_of_pandas_in_parquet(tmp_path: Path) -> None:
    """Written as pandas does where rows were filtered."""
    table = pa.table({"cat": [0.13, -0.13], "dog": [-0.13, 1.37], "__index_level_0__": [0, 5]})
    note = json.dumps({"index_columns": ["__index_level_0__"], "pandas_version": "3.1.1"})
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(table.replace_schema_metadata({"pandas": note}), path)
    values, ids, source = read(path)
    assert (values.argmax(axis=1).tolist(), ids, list(source.labels)) == ([0, 1], ["0", "5"], ["cat", "dog"])
    assert read(path, columns="1:")[0].shape == (2, 3)
    pyarrow.parquet.write_table(pa.table({"a": [0.5]}).replace_schema_metadata({"pandas": b"{"}), path)
    assert read(path)[0].tolist() == [[0.5]]


def test_an_empty_last_column(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b,\n1,2,\n3,4,\n")
    values, _, source = read(path)
    assert values.tolist() == [[1, 2], [3, 4]]
    assert source.notes == ("lines end with ',', behind which no column is read",)
    path.write_text("a,b,\n" + "1,2,\n" * 2000 + "3,4,5\n")
    with pytest.raises(InputError, match="line 2002 has 3 cells, expected 2 as in line 1"):
        read(path)
