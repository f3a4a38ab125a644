"""Windows about a maximum that a long slice shows only at its end: from files, and from what can be read only once."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from answers import assert_answered
from command import Inside
from oracle import Answer
from oracle import softargmax as oracle

from softargmax_cli.reduction import budget

pytestmark = pytest.mark.slow


BLOCK = 1 << 12
"""Bytes of a block, of which a slice has many."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut slices into blocks, which else are too large for that."""
    monkeypatch.setattr(budget, "BLOCK", BLOCK)


def test_two_axes_with_a_long_slice(inside: Inside) -> None:
    x = np.random.default_rng(33).normal(size=(2, 90, 70)).astype("f4")
    x[0, 89, 0] = x[0, 45, 35] = x[1, 0, 69] = 6
    inside.save("x.npy", x, "float32")
    places = [np.arange(70.0) ** 2, np.linspace(-1, 1, 90)]
    inside.save("columns.npy", places[0])
    inside.save("rows.npy", places[1])
    given = ("--axis", "-1,1", "--values", "columns.npy,rows.npy", "--window", "2", "--beta", "3", "--memory", "16MiB")
    want = oracle(x, (2, 1), 3.0, values_of=places, window=2)
    assert want.hard.tolist() == [[35, 69], [45, 0]]
    done = inside("run", "-", *given, "--format", "json", stdin=inside.read("x.npy"))
    assert_answered(done, "json", want, single=True, scale=[70.0**2, 2])


@pytest.mark.parametrize(("kind", "radius"), [("scores", 0), ("cost", 3), ("probs", BLOCK), ("cost", 10**30)])
def test_maxima_where_blocks_meet(inside: Inside, kind: str, radius: int) -> None:
    """Halves alike in size, so that a window lies in one block, across two, or over all of the slice."""
    n = 14_000
    x = np.random.default_rng(32).uniform(1, 2, (3, n)).astype("f4")
    for row, best in zip(x, ([0, 3, n - 1], [n // 2 - 1, n // 2, n // 2 + 3], [n - 1, n - 5, 1]), strict=True):
        row[best] = 3 if kind != "cost" else 0.1
    inside.save("x.npy", x, "float32")
    given = ["--kind", kind, "--window", str(radius), *([] if kind == "probs" else ["--beta", "6"])]
    want = oracle(x, -1, 6.0, kind=kind, window=min(radius, n))
    for format in ("npz", "npy"):  # for the latter the second pass reads what lies in the window alone
        assert_answered(inside("run", "x.npy", *given, "--format", format), format, want, single=True)


@pytest.fixture(scope="module")
def table(shared_inside: Inside) -> Answer:
    """A CSV of several blocks, reduced by its rows."""
    rows = 3000
    x = np.random.default_rng(34).integers(-50, 50, (rows, 5)) / 10
    x[[rows - 1, rows - 4], 1] = x[0, 2] = x[2, 2] = x[rows // 2, 3] = 6
    text = "a,b,c,d,e\n" + "".join(",".join(map(str, row)) + "\n" for row in x.tolist())
    shared_inside.write("table.csv", text)
    shared_inside.write("table.csv.gz", gzip.compress(text.encode(), 1))
    shared_inside.write("places.csv", "".join(f"{k * 0.5}\n" for k in range(rows)))
    want = oracle(x, 0, 4.0, window=3)
    assert want.hard[0, 1:4].tolist() == [rows - 4, 0, rows // 2]
    return want


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_the_rows_of_a_csv(shared_inside: Inside, table: Answer, name: str) -> None:
    asked = ["--axis", "0", "--window", "3", "--beta", "4", "--memory", "16MiB", "--format", "csv"]
    for done in (
        shared_inside("run", name, *asked),
        shared_inside("run", "-", *asked, stdin=shared_inside.read(name)),
    ):
        assert assert_answered(done, "csv", table) == [[k] for k in range(5)]
        assert [line.split(",")[1] for line in done.lines] == ["id", *"abcde"]


def test_nan_found_in_the_first_pass(inside: Inside) -> None:
    x = np.random.default_rng(35).normal(size=(2, 18_000)).astype("f4")
    x[1, 17_990:] = [np.nan, 5, np.nan, np.nan, 5.5, np.nan, 2, 3, np.nan, np.inf]
    x[0, 8000] = np.inf
    inside.save("x.npy", x, "float32")
    given = ["run", "x.npy", "--window", "4", "--beta", "2"]
    done = inside(*given, "-o", "y.csv")
    assert (done.code, done.raw) == (2, b"")
    assert done.err.startswith("softargmax: error: x.npy: 5 NaNs, the first at index (1, 17990)\n")
    assert inside.names() == {"x.npy"}
    for policy in ("omit", "propagate"):
        done = inside(*given, "--nan", policy, "--format", "jsonl")
        assert_answered(done, "jsonl", oracle(x, -1, 2.0, window=4, omit=policy == "omit"), single=True)
