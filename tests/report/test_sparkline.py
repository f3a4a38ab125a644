"""The shape of a slice's scores in a row of the table."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from results import made

from softargmax_cli.reduction.result import Run, Summary
from softargmax_cli.report.slices import MOST, put_table, sparklines, sparkling
from softargmax_cli.report.summary import First

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("scores", "kind", "line"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], "scores", "▁▂▃▄▅▆▇█"),
        ([5, 2, 1, 2], "scores", "█▃▁▃"),
        ([5, 2, 1, 2], "cost", "█▃▁▃"),
        ([2, 2], "scores", "▁▁"),
        ([2, 1, NAN], "scores", "█▁ "),
        ([INF, 0, 7, -INF], "scores", "█▁█▁"),
        ([NAN, NAN], "scores", "  "),
        ([INF, INF], "scores", "██"),
        ([-INF], "scores", "▁"),
        ([0.5, 1], "probs", "▅█"),
        ([0, 0], "probs", "▁▁"),
        ([-1.7e308, 1.7e308, 0], "scores", "▁█▅"),
        ([1, 1 + 1e-15], "scores", "▁█"),
    ],
)
def test_a_line(scores: list[float], kind: str, line: str) -> None:
    assert sparklines(np.array([scores], float), kind) == [line]


@pytest.mark.parametrize("cells", [17, 100, 1024, 1999])
@pytest.mark.parametrize("kind", ["scores", "cost"])
def test_a_lone_peak_is_seen_wherever_it_is(cells: int, kind: str) -> None:
    places = np.arange(0, cells, max(1, cells // 40))
    rows = np.zeros((len(places), cells))
    rows[np.arange(len(places)), places] = 1 if kind == "scores" else -1
    peak, rest = ("█", "▁") if kind == "scores" else ("▁", "█")
    for place, line in zip(places, sparklines(rows, kind), strict=True):
        assert sorted(line) == sorted([peak, *[rest] * 15])
        assert abs(line.index(peak) - place / cells * 16) <= 1


def test_only_what_costs_nothing_is_looked_at() -> None:
    def seen(shape: tuple[int, ...], axes: tuple[int, ...], count: int) -> bool:
        return sparkling(Run("x", shape, "float32", axes, 1.0, "CPU"), count)

    assert seen((1000, 10), (1,), 20)
    assert seen((7,), (0,), 1)
    assert seen((2, MOST), (1,), 1)
    assert not seen((2, MOST), (1,), 2)
    assert not seen((4, 5, 6), (1, 2), 4)
    assert not seen((0, 6), (1,), 0)


def table(name: str, encoding: str, kind: str = "scores") -> list[str]:
    slices = made(
        0,
        hard=np.array([[0, 2]]),
        soft=np.array([[0.0, 1.5]]),
        offset=np.array([[0.0, -0.5]]),
        peak=np.array([1.0, 0.5]),
        agree=np.array([True, False]),
        ids=[name, "b"],
    )
    first, summary = First(20), Summary()
    first.add(slices)
    summary.add(slices)
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    run = Run("a.csv", (2, 3), "float64", (1,), 1.0, "CPU", kind=kind, has_ids=True)
    put_table(first, run, summary, file, best=np.array([[2, 1, 1], [1, 2, 2.0]]))
    file.flush()
    return raw.getvalue().decode(encoding).splitlines()


def test_the_column_stands_before_the_marks() -> None:
    lines = table("a", "utf-8")
    assert lines[2].split()[-1] == "scores"
    assert lines[4].endswith("  █▁▁")
    assert lines[5].endswith("  ▁██     ≠ disagrees")
    assert table("a", "utf-8", "cost")[3].split()[-1] == "costs"
    assert table("a", "utf-8", "probs")[3].split()[-1] == "weights"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437"])
def test_no_column_where_it_cannot_be_written(encoding: str) -> None:
    assert table("a", encoding)[2].split()[-1] == "peak"
    assert "?" not in "".join(table("a", encoding))
