"""Files as people have them: what is right for each, that advice works when followed, and that suggestions run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import zarr
from command import Inside
from files import ANY_SHAPE, TABLES

READ = {
    "rwrite.csv": (b'"","cat","dog","cow"\n"1",0.2,0.7,0.1\n"2",0.5,0.3,0.2\n"3",0.1,0.1,0.8\n', [1, 0, 2]),
    "ragged_header.csv": (b"a,b,c\nr1,1,2,3\nr2,4,9,1\n", [2, 1]),
    "sep.csv": (b"sep=;\nleft;right;up\n1;5;2\n7;3;4\n", [1, 0]),
    "comments.csv": (b"# run 7\n# beta 3\nch1,ch2,ch3\n1,2,3\n4,9,1\n", [2, 1]),
    "aligned.txt": (b"   1.000   2.500   3.125\n  10.000  -2.500   0.125\n", [2, 0]),
    "utf16.csv": ("\ufeff1,2,3\n4,9,1\n".encode("utf-16-le"), [2, 1]),
}
REFUSED = {
    "lost_row.csv": (b"0.12,0.31,-,0.44\n0.9,0.1,0.2,0.3\n", "line 1, column 3: '-' is not a number", "", []),
    "years.csv": (b"2019,2020,2021\n1,5,3\n4,2,9\n", "line 1: 2019, 2020, 2021 may be titles", "--header", [1, 2]),
    "preamble.csv": (b"Instrument: X100\nDate: 1\n\na,b,c\n1,2,3\n4,9,1\n", "line 1 has 1 cell", "--skip 3", [2, 1]),
    "two_lines.csv": (b"made by x\non day 5\na,b\n1,2\n4,3\n", "line 1 has 1 cell", "--skip 2", [1, 0]),
    "europe.csv": (b"a;b;c\n1.234,5;2,0;3\n1,5;2;9\n", "'1.234,5' is not a number", "--decimal ,", [0, 2]),
    "percent.csv": (b"cat,dog\n45%,55%\n12.5%,87.5%\n", "'45%' is not a number", "sed 's/%//g'", []),
}
"""The content, what the error says, what it advises, and the answer to that."""


def hard(inside: Inside, *arguments: str) -> list[int]:
    done = inside("run", *arguments, "--format", "json", "-q")
    assert done.code == 0, done.err
    return [each["hard"] for each in json.loads(done.out)["slices"]]


@pytest.mark.parametrize("name", READ)
def test_read_as_it_is_meant(inside: Inside, name: str) -> None:
    content, answer = READ[name]
    assert hard(inside, inside.write(name, content)) == answer


@pytest.mark.parametrize("name", REFUSED)
def test_advice_works_when_followed(inside: Inside, name: str) -> None:
    content, what, remedy, answer = REFUSED[name]
    done = inside("run", inside.write(name, content))
    assert (done.code, done.out) == (2, "")
    assert what in done.err
    assert remedy in done.err
    assert "iconv" not in done.err
    if answer:
        assert hard(inside, name, *shlex.split(remedy)) == answer


def test_an_index_of_pandas_names_the_rows(inside: Inside) -> None:
    columns = dict(zip("abcd", np.eye(4)[:, [2, 1, 0]], strict=True))
    table = pa.table({**columns, "__index_level_0__": [0, 5, 6]})
    marked = table.replace_schema_metadata({"pandas": json.dumps({"index_columns": ["__index_level_0__"]})})
    pyarrow.parquet.write_table(marked, inside.folder / "filtered.parquet")
    assert hard(inside, "filtered.parquet") == [2, 1, 0]
    assert '"id":"5"' in inside("run", "filtered.parquet", "--format", "jsonl").out.replace(" ", "")


def save_files(folder: Path) -> dict[str, bytes]:
    """Write a file of every kind, most of several arrays, with names and numbers that come in the way."""
    values = np.random.default_rng(4).random((6, 9))
    contents = {f"{k}.bin": write(values) for k, write in enumerate({**ANY_SHAPE, **TABLES}.values())}
    contents |= {name: content for name, (content, _) in READ.items()}
    contents["names.csv"] = b"name,id,a,b\nx,1,.5,.25\ny,2,.25,.5\n"
    contents["minus.csv"] = b"a,b,c\n1,,3\n,,\n2,3,1\n"
    contents["quoted.csv"] = b'"a,b",c:d,^e,frame\n.5,.25,.1,0\n.1,.5,.2,1\n.1,.5,.2,2\n'
    contents["weights.csv"] = b"0.2,0.8\n0.5,0.5\n"
    np.savez(folder / "several.npz", names=np.array(["x", "y"]), flag=np.array(True), b=values, a=values)
    np.savez(folder / "it's one.npz", **{"with space": values, "$x": values})  # type: ignore[arg-type]
    with h5py.File(folder / "several.h5", "w") as file:
        file["names"], file["group/scores"], file["tracks"] = [b"x"], values, values
        file["table"] = np.zeros(3, [("name", "S3"), ("heat", "f4", 5), ("x y", "f8")])
    store = zarr.open_group(folder / "several.zarr", mode="w")
    for name in ("flags", "heat"):
        store.create_array(name, data=values)
    np.save(folder / "-dash.npy", values)
    np.save(folder / "infinite.npy", np.where(values > 0.5, values, -np.inf))
    np.save(folder / "maps.npy", np.random.default_rng(1).random((2, 3, 16, 12)))
    return contents


@pytest.mark.slow
def test_what_is_suggested_runs(inside: Inside) -> None:
    for name, content in save_files(inside.folder).items():
        inside.write(name, content)
    tried = 0
    for name in sorted(inside.names()):
        done = inside("inspect", f"./{name}", "--format", "json", "-q")
        assert done.code == 0, done.err
        suggestion = json.loads(done.out)["suggestion"]
        program, *words = shlex.split(suggestion)
        assert program == "softargmax"
        run = inside(*words)
        assert run.code == 0, (suggestion, run.err)
        tried += 1
    assert tried > 25
