"""Windows about a maximum that a long slice shows only at its end: from files, and from what can be read only once."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from answers import assert_answered
from command import Done, Inside, Softargmax
from oracle import Answer
from oracle import softargmax as oracle

Array = npt.NDArray[Any]

LENGTH = 5_000_000
BLOCK = 1 << 19
"""Elements of a block of float32."""


@dataclass(frozen=True)
class Case:
    """A file, what is asked of it, and the answer."""

    name: str
    given: tuple[str, ...]
    want: Answer


@pytest.fixture(scope="module")
def long(shared: Softargmax) -> Case:
    """One slice of many blocks: the best in the last one, a second mode near it, a third in the first block."""
    x = np.random.default_rng(31).normal(size=LENGTH).astype("f4")
    x[[100, LENGTH - 40, LENGTH - 9, LENGTH - 2]] = 8.9, 8.95, 8.98, 9
    shared.save("long.npy", x, "float32")
    want = oracle(x, -1, 10.0, window=10)
    assert want.hard == LENGTH - 2
    assert 0.25 < want.second < 0.5 < want.peak < 0.6
    return Case("long.npy", ("--beta", "10", "--window", "10"), want)


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """A folder for temporary files, which must be empty in the end."""
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


def through_a_pipe(softargmax: Softargmax, case: Case, temporary: Path, *more: str) -> Done:
    """`cat FILE | softargmax run - …`; nothing stays in TMPDIR."""
    data = softargmax.read(case.name)
    done = softargmax("run", "-", *case.given, *more, stdin=data, TMPDIR=str(temporary))
    assert list(temporary.iterdir()) == []
    return done


@pytest.mark.parametrize("memory", [[], ["--memory", "16MiB"]], ids=["", "little memory"])
def test_a_long_axis_of_a_file(shared: Softargmax, long: Case, memory: list[str]) -> None:
    inside = Inside(shared.folder)
    done = inside("run", long.name, *long.given, *memory, "--format", "json")
    assert assert_answered(done, "json", long.want, single=True) == [[]]
    document = json.loads(done.out)
    assert (document["window"], document["summary"]["multimodal"]) == (10, 1)


def test_a_long_axis_of_a_file_redirected(shared: Softargmax, long: Case, temporary: Path) -> None:
    with open(shared.folder / long.name, "rb") as file:
        done = shared("run", "-", *long.given, "--format", "csv", stdin=file, TMPDIR=str(temporary))
    assert_answered(done, "csv", long.want, single=True)


@pytest.mark.parametrize("memory", [[], ["--memory", "16MiB"]], ids=["", "little memory"])
def test_a_long_axis_through_a_pipe(shared: Softargmax, long: Case, temporary: Path, memory: list[str]) -> None:
    done = through_a_pipe(shared, long, temporary, *memory, "--format", "jsonl")
    assert_answered(done, "jsonl", long.want, single=True)


@pytest.mark.parametrize(
    ("kind", "radius"),
    [
        *(("scores", 0), ("scores", 3), ("cost", 3), ("probs", 3), ("probs", BLOCK)),
        *(("scores", 2**63 - 1), ("cost", 10**30)),
    ],
)
def test_maxima_where_blocks_meet(inside: Inside, kind: str, radius: int) -> None:
    """Halves alike in size, so that a window lies in one block, across two, or over all of the slice."""
    n = 700_000
    x = np.random.default_rng(32).uniform(1, 2, (3, n)).astype("f4")
    for row, best in zip(x, ([0, 3, n - 1], [n // 2 - 1, n // 2, n // 2 + 3], [n - 1, n - 5, 1]), strict=True):
        row[best] = 3 if kind != "cost" else 0.1
    inside.save("x.npy", x, "float32")
    given = ["--kind", kind, "--window", str(radius), *([] if kind == "probs" else ["--beta", "6"])]
    want = oracle(x, -1, 6.0, kind=kind, window=min(radius, n))
    for format in ("npz", "npy"):  # for the latter the second pass reads what lies in the window alone
        assert_answered(inside("run", "x.npy", *given, "--format", format), format, want, single=True)


def test_two_axes_with_a_long_slice(softargmax: Softargmax, temporary: Path) -> None:
    x = np.random.default_rng(33).normal(size=(2, 900, 700)).astype("f4")
    x[0, 899, 0] = x[0, 450, 350] = x[1, 0, 699] = 6
    softargmax.save("x.npy", x, "float32")
    places = [np.arange(700.0) ** 2, np.linspace(-1, 1, 900)]
    softargmax.save("columns.npy", places[0])
    softargmax.save("rows.npy", places[1])
    given = ("--axis", "-1,1", "--values", "columns.npy,rows.npy", "--window", "2", "--beta", "3", "--memory", "16MiB")
    want = oracle(x, (2, 1), 3.0, values_of=places, window=2)
    assert want.hard.tolist() == [[350, 699], [450, 0]]
    case = Case("x.npy", given, want)
    done = through_a_pipe(softargmax, case, temporary, "--format", "json")
    assert_answered(done, "json", want, single=True, scale=[700.0**2, 2])
    by_file = softargmax("run", "x.npy", *given, "--format", "npz")
    assert_answered(by_file, "npz", want, single=True, scale=[700.0**2, 2])


@pytest.fixture(scope="module")
def table(shared: Softargmax) -> Case:
    """A CSV of several blocks, reduced by its rows."""
    rows = 60_000
    x = np.random.default_rng(34).integers(-50, 50, (rows, 5)) / 10
    x[[rows - 1, rows - 4], 1] = x[0, 2] = x[2, 2] = x[rows // 2, 3] = 6
    text = "a,b,c,d,e\n" + "".join(",".join(map(str, row)) + "\n" for row in x.tolist())
    shared.write("table.csv", text)
    shared.write("table.csv.gz", gzip.compress(text.encode(), 1))
    shared.write("places.csv", "".join(f"{k * 0.5}\n" for k in range(rows)))
    want = oracle(x, 0, 4.0, window=3)
    assert want.hard[0, 1:4].tolist() == [rows - 4, 0, rows // 2]
    return Case("table.csv", ("--axis", "0", "--window", "3", "--beta", "4", "--memory", "16MiB"), want)


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_the_rows_of_a_csv(shared: Softargmax, table: Case, temporary: Path, name: str) -> None:
    for done in (
        Inside(shared.folder)("run", name, *table.given, "--format", "csv"),
        through_a_pipe(shared, Case(name, table.given, table.want), temporary, "--format", "csv"),
    ):
        assert assert_answered(done, "csv", table.want) == [[k] for k in range(5)]
        assert [line.split(",")[1] for line in done.lines] == ["id", *"abcde"]


def test_all_of_a_csv(shared: Softargmax, table: Case) -> None:
    x = np.loadtxt(shared.folder / "table.csv", delimiter=",", skiprows=1)
    for axes, order in (("0,1", (0, 1)), ("1,0", (1, 0))):
        given = ["--axis", axes, "--window", "1", "--beta", "4", "--format", "jsonl"]
        done = Inside(shared.folder)("run", table.name, *given)
        assert assert_answered(done, "jsonl", oracle(x, order, 4.0, window=1)) == [[]]


def test_values_of_the_rows_of_a_csv(shared: Softargmax, table: Case) -> None:
    x = np.loadtxt(shared.folder / "table.csv", delimiter=",", skiprows=1)
    places = [np.arange(len(x)) * 0.5]
    given = ["--axis", "0", "--values", "places.csv", "--beta", "4", "--format", "npz"]
    done = Inside(shared.folder)("run", table.name, *given)
    assert_answered(done, "npz", oracle(x, 0, 4.0, values_of=places), scale=len(x) / 2)


def test_nan_found_in_the_first_pass(inside: Inside) -> None:
    x = np.random.default_rng(35).normal(size=(2, 900_000)).astype("f4")
    x[1, 899_990:] = [np.nan, 5, np.nan, np.nan, 5.5, np.nan, 2, 3, np.nan, np.inf]
    x[0, 400_000] = np.inf
    inside.save("x.npy", x, "float32")
    given = ["run", "x.npy", "--window", "4", "--beta", "2"]
    done = inside(*given, "-o", "y.csv")
    assert (done.code, done.raw) == (2, b"")
    assert done.err.startswith("softargmax: error: x.npy: 5 NaNs, the first at index (1, 899990)\n")
    assert inside.names() == {"x.npy"}
    for policy in ("omit", "propagate"):
        done = inside(*given, "--nan", policy, "--format", "jsonl")
        assert_answered(done, "jsonl", oracle(x, -1, 2.0, window=4, omit=policy == "omit"), single=True)
