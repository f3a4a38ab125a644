"""The table and the summary line as a person sees them, character by character."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from results import made

from softargmax_cli.reduction.fields import OF_GRADIENT
from softargmax_cli.reduction.result import Run, Slices, Summary
from softargmax_cli.report.slices import MOST_SCORES, put_table, sparklines, sparkling
from softargmax_cli.report.summary import TABLE_FIELDS, First, summary_line
from softargmax_cli.report.table import STYLED, Column, put_columns
from softargmax_cli.report.text import fixed, short

NAN, INF = math.nan, math.inf
ESCAPES = re.compile("\x1b\\[[0-9;]*m")

TUTORIAL = made(
    0,
    hard=np.array([[0, 1, 2]]),
    soft=np.array([[0.0, 0.9999546021312976, 1.9999546021312976]]),
    offset=np.array([[0.0, -4.5397868702434395e-05, -4.5397868702434395e-05]]),
    peak=np.array([1.0, 0.9999546021312976, 0.9999546021312976]),
    agree=np.array([True, True, True]),
    second=np.array([0.0, 2.1e-9, 4.5397868702434395e-05]),
    spread=np.array([[0.0, 0.006737641, 0.006737641]]),
    ties=np.array([1, 1, 1]),
)

MIXED = made(
    0,
    hard=np.array([[2, -1, 17, 1]]),
    soft=np.array([[1.25, NAN, 16.9, 0.5]]),
    offset=np.array([[-0.75, NAN, -0.1, -0.5]]),
    peak=np.array([0.31, NAN, 0.9, 0.5]),
    agree=np.array([False, False, True, False]),
    spread=np.array([[12.5, NAN, 0.02, 0.5]]),
    ties=np.array([1, 0, 1, 2]),
    ids=["a", "\x1b[31m[red]b", "日本", "d"],
)

POINTS = made(
    0,
    hard=np.array([[3, -1, 12, 0], [107, -1, 9, 0]]),
    soft=np.array([[3.125, NAN, 11.5, 0.0], [107.0, NAN, 9.0, 0.0]]),
    offset=np.array([[0.125, NAN, -0.5, 0.0], [0.0, NAN, 1e-05, 0.0]]),
    peak=np.array([0.5, NAN, 0.375, 0.25]),
    agree=np.array([True, False, False, True]),
    second=np.array([0.25, NAN, 0.375, 0.0624]),
    spread=np.array([[1.5, NAN, 12.5, 0.0], [0.75, NAN, 1e-07, 0.0]]),
    ties=np.array([1, 0, 2, 1]),
)
"""Slices of two axes: one with two modes; one without an answer; one that disagrees and is tied, too; one plain."""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def printed(
    parts: list[Slices],
    run: Run,
    *,
    rows: int = 20,
    color: bool = False,
    encoding: str = "utf-8",
    summary: Summary | None = None,
    best: Any = None,
) -> str:
    first, summary = First(rows), summary or Summary()
    for part in parts:
        first.add(part)
        summary.add(part)
    raw = io.BytesIO()
    file = Terminal() if color else io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    read: Any = None if best is None else lambda numbers: SimpleNamespace(best=lambda kind: best[numbers])
    put_table(first, run, summary, file, read=read)
    if isinstance(file, Terminal):
        return file.getvalue()
    file.flush()
    return raw.getvalue().decode(encoding)


def unpainted(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in ESCAPES.sub("", text).splitlines())


def test_two_axes() -> None:
    run = Run("maps.npy", (4, 16, 128), "float32", (1, 2), 100.0, "CPU")
    assert printed([POINTS], run) == (
        "maps.npy · float32 4 × 16 × 128 · axes 1, 2 · β 100 (temperature 0.01) · CPU\n"
        "\n"
        "slice     hard                   soft             offset    peak  second             spread\n"
        "─────  ───────  ─────────────────────  ─────────────────  ──────  ──────  ─────────────────\n"
        "    0   3, 107   3.125000, 107.000000   0.1250, 0         0.5000  0.2500   1.5000, 0.7500    ∩∩ two modes\n"
        "    1   –,   –   –,          –          –,      –         –       –        –,      –         ∅ undefined\n"
        "    2  12,   9  11.500000,   9.000000  -0.5000, 1.00e-05  0.3750  0.3750  12.5000, 1.00e-07  "
        "≠ disagrees  ∩∩ two modes  = 2 tied\n"
        "    3   0,   0   0.000000,   0.000000   0,      0         0.2500  0.0624   0,      0\n"
        "\n"
        "4 slices · max |offset| 0.5 · mean |offset| 0.1042 · agreement 66.7 % · 1 tied · 2 multi-modal · 1 undefined\n"
    )


def test_colours() -> None:
    run = Run("maps.npy", (4, 16, 128), "float32", (1, 2), 100.0, "CPU", window=3)
    plain, coloured = (printed([POINTS], run, color=color) for color in (False, True))
    assert unpainted(coloured) == plain
    colours = [match[0] for line in coloured.splitlines() for match in [re.match(ESCAPES, line)] if match]
    assert colours == ["\x1b[1m", "\x1b[1m", "\x1b[2m", "\x1b[35m", "\x1b[33m", "\x1b[1;31m"]


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"kind": "cost"}, "cost: soft argmin"),
        ({"coords": "centers"}, "centers: (2i + 1)/n − 1"),
        ({"coords": "values"}, "values: coordinates as given"),
        (
            {"kind": "probs", "coords": "corners", "window": 10},
            "probs: weights as they are · corners: −1 to 1 at the end indices · window ±10",
        ),
    ],
)
def test_what_is_not_as_usual_is_said(more: dict[str, Any], line: str) -> None:
    lines = printed([TUTORIAL], Run("a.npy", (3, 4), "float32", (1,), 100.0, "CPU", **more)).splitlines()
    assert lines[1:3] == [line, ""]
    assert len(line) <= 80


LABELS = [f"class{k}" for k in range(20)]


def test_marks_names_and_labels() -> None:
    run = Run("a\n[b].csv", (4, 20), "float64", (1,), 3.0, "GPU:0", has_ids=True, labels=LABELS)
    assert printed([MIXED], run) == (
        "a\\n[b].csv · float64 4 × 20 · axis 1 · β 3 (temperature 0.333333) · GPU:0\n"
        "\n"
        "slice  id              hard  label         soft   offset    peak   spread\n"
        "─────  ──────────────  ────  ───────  ─────────  ───────  ──────  ───────\n"
        "    0  a                  2  class2    1.250000  -0.7500  0.3100  12.5000  ≠ disagrees\n"
        "    1  \\x1b[31m[red]b     –            –          –       –        –       ∅ undefined\n"
        "    2  日本              17  class17  16.900000  -0.1000  0.9000   0.0200\n"
        "    3  d                  1  class1    0.500000  -0.5000  0.5000   0.5000  ≠ disagrees  = 2 tied\n"
        "\n"
        "4 slices · max |offset| 0.75 · mean |offset| 0.45 · agreement 33.3 % · 1 tied · 1 undefined\n"
    )


def test_ascii() -> None:
    run = Run("é.csv", (4, 20), "float64", (1,), 3.0, "CPU", has_ids=True, labels=["ü"] * 20)
    text = printed([MIXED], run, rows=2, encoding="ascii")
    assert text == (
        "\\xe9.csv - float64 4 x 20 - axis 1 - beta 3 (temperature 0.333333) - CPU\n"
        "\n"
        "slice  id              hard  label      soft   offset    peak   spread\n"
        "-----  --------------  ----  -----  --------  -------  ------  -------\n"
        "    0  a                  2  \\xfc   1.250000  -0.7500  0.3100  12.5000  ! disagrees\n"
        "    1  \\x1b[31m[red]b     -         -          -       -        -       ? undefined\n"
        "... and 2 more slices\n"
        "\n"
        "4 slices - max |offset| 0.75 - mean |offset| 0.45 - agreement 33.3 % - 1 tied - 1 undefined\n"
    )


def test_several_axes_and_rows_of_many_parts() -> None:
    run = Run("a.npy", (2, 5, 12), "float64", (1,), 3.0, "CPU")
    parts = [TUTORIAL.part(0, 0)]
    for start in range(0, 24, 3):
        columns = {name: getattr(TUTORIAL, name) for name in TABLE_FIELDS}
        parts.append(made(start, **columns))
    everything = printed(parts, run, rows=0).splitlines()[4:-2]
    assert [line[:5] for line in everything] == [f"{i}, {j:2}" for i in range(2) for j in range(12)]
    few = printed(parts, run, rows=4).splitlines()
    assert [line[:5] for line in few[4:8]] == [" 0, 0", " 0, 1", " 0, 2", " 0, 3"]
    assert [line[5:] for line in few[4:8]] == [line[5:] for line in everything[:4]]
    assert few[8] == "… and 20 more slices"


def test_no_slices() -> None:
    run = Run("e.npy", (0, 4), "float32", (1,), 100.0, "CPU")
    heading = "e.npy · float32 0 × 4 · axis 1 · β 100 (temperature 0.01) · CPU"
    assert printed([], run) == f"{heading}\n\n0 slices\n"


NARROW = made(0, **{**MIXED.columns, "second": np.array([0.3, NAN, 0.0, 0.5])}, ids=["n" * 60, "b", "c", "d"])


@pytest.mark.parametrize("width", [40, 60, 80, 90, 100, 120, 400])
def test_a_terminal_too_narrow(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns that matter least go first, names are cut, and marks and numbers are whole."""
    monkeypatch.setenv("COLUMNS", str(width))
    run = Run("a.csv", (4, 20), "float64", (1,), 3.0, "CPU", has_ids=True)
    lines = unpainted(printed([NARROW], run, color=True, best=np.ones((4, 20)))).splitlines()[2:8]
    columns = lines[0].split()
    goes = ["scores", "second", "spread", "peak", "offset"]
    left_out = [name for name in goes if name not in columns]
    assert left_out == goes[: len(left_out)]
    assert columns[:4] == ["slice", "id", "hard", "soft"]
    assert lines[2].endswith("  ≠ disagrees  ∩∩ two modes")
    assert lines[5].endswith("  ≠ disagrees  ∩∩ two modes  = 2 tied")
    assert "12.5000" in lines[2] or "spread" in left_out
    assert lines[2].split()[1] == "n" * 60 or lines[2].split()[1].endswith("nnn…")
    assert max(map(len, lines)) <= max(width, 93)  # what stays takes so much
    assert len(left_out) == {400: 0, 120: 1, 100: 4, 90: 5}.get(width, 5)


def test_a_pipe_is_never_too_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    run = Run("a.csv", (4, 20), "float64", (1,), 3.0, "CPU", has_ids=True)
    lines = printed([NARROW], run).splitlines()
    assert "n" * 60 in lines[4]
    assert lines[2].split() == ["slice", "id", "hard", "soft", "offset", "peak", "second", "spread"]


@pytest.mark.parametrize("variable", [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_terminals_without_colour(variable: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(*variable)
    run = Run("a.csv", (4, 20), "float64", (1,), 3.0, "CPU", has_ids=True)
    assert not re.search("\x1b\\[[0-9;]*3[0-9]", printed([MIXED], run, color=True))


@pytest.mark.slow
def test_long_tables_have_one_width() -> None:
    numbers = [str(k) for k in range(2 * STYLED)]
    file = io.StringIO()
    columns = [Column("k", numbers), Column("name", ["日" * (k % 7) for k in range(len(numbers))], "left")]
    put_columns([*columns, Column("end", numbers)], file)
    lines = file.getvalue().splitlines()[2:]
    assert lines[1000] == "1000  " + "日" * 6 + "  1000"
    assert lines[7] == "   7  " + " " * 12 + "     7"
    assert lines[1998] == "1998  " + "日" * 3 + " " * 6 + "  1998"


@pytest.mark.parametrize(
    ("number", "bound", "text"),
    [
        (0.0, 0.0, "0"),
        (-0.0, 0.0, "0"),
        (-4.5397868702434395e-05, 0.0, "-4.54e-05"),
        (-4.5397868702434395e-05, 1e-6, "-4.5e-05"),
        (-4.5397868702434395e-05, 1e-5, "-5e-05"),
        (-4.5397868702434395e-05, 1e-4, "0"),
        (3.16e-16, 1e-6, "0"),
        (3.16e-16, 1e-11, "0"),
        (0.00123, 1e-6, "0.0012"),
        (-12.5, 1e-6, "-12.5000"),
        (-12.5, 2e-3, "-12.50"),
        (1234567.0, 0.0, "1.23e+06"),
        (math.inf, 1e-6, "inf"),
    ],
)
def test_short(number: float, bound: float, text: str) -> None:
    assert short(number, bound) == text


def test_fixed_turns_to_powers_of_ten_where_decimals_say_little() -> None:
    assert fixed([1e-9, NAN], 11) == ["1.00e-09", "–"]
    assert fixed([4.123456789e-7], 20) == ["4.123457e-07"]
    assert fixed([3e12, 1.0], 6) == ["3.000000e+12", "1.000000e+00"]
    assert fixed([0.0, 5e6], 6) == ["0.000000", "5000000.000000"]
    assert fixed([17.0], 4) == ["17.0000"]
    assert fixed([17.0], -2) == ["17"]


def test_digits_are_those_that_are_true() -> None:
    """Single precision has fewer than double, broad slices have fewer than sharp ones, and small units have more."""
    slices = made(
        0,
        hard=np.array([[3, 4]]),
        soft=np.array([[3.123456789, 4.0]]),
        offset=np.array([[0.123456789, 3e-7]]),
        peak=np.array([0.9, 0.9]),
        agree=np.array([True, True]),
        spread=np.array([[0.01, 30.0]]),
    )

    def row(**more: Any) -> list[str]:
        run = Run("a.npy", (2, 9), "float32", (1,), 1.0, "CPU", **more)
        return printed([slices], run).splitlines()[4].split()

    assert row(epsilon=1e-6)[2:4] == ["3.1235", "0.1235"]
    assert row()[2:4] == ["3.123457", "0.1235"]
    assert row(epsilon=1e-6, steps=(1000.0,))[2:4] == ["3.123", "0.123"]
    run = Run("a.npy", (2, 9), "float32", (1,), 1.0, "CPU", epsilon=1e-6)
    assert printed([slices], run).splitlines()[5].split()[3] == "0"


RUN = Run("a.npy", (3, 4), "float32", (1,), 100.0, "CPU")


@pytest.mark.parametrize(
    ("summary", "line"),
    [
        (Summary(), "0 slices"),
        (Summary(slices=2, undefined=2, tied=0), "2 slices · 0 tied · 2 undefined"),
        (
            Summary(5_000_000, 0, 4_999_999, 0.5, 1.0, 5_000_000),
            "5,000,000 slices · max |offset| 0.5 · mean |offset| 2.0e-07 · agreement 99.9 %",
        ),
        (
            Summary(3000, 0, 1, 1234.5678, 3e6, 3000),
            "3,000 slices · max |offset| 1235 · mean |offset| 1000 · agreement 0.1 %",
        ),
        (Summary(1, 0, 0, 2.0, 2.0, 1, 1), "1 slice · max |offset| 2 · mean |offset| 2 · agreement 0 % · 1 tied"),
        (
            Summary(6000, 2000, 4000, 2.0, 1e4, 8000, 12, 3456),
            "6,000 slices · max |offset| 2 · mean |offset| 1.25 · agreement 100 % · 12 tied · 3,456 multi-modal"
            " · 2,000 undefined",
        ),
        (Summary(slices=1, undefined=1, multimodal=0), "1 slice · 0 multi-modal · 1 undefined"),
    ],
)
def test_summary_line(summary: Summary, line: str) -> None:
    assert summary_line(summary, RUN) == line


def test_summary_line_of_one_of_several_inputs() -> None:
    assert summary_line(Summary(slices=2, undefined=2), RUN, named=True) == "a.npy: 2 slices · 2 undefined"


GRADIENTS = made(
    0,
    hard=np.array([[0, 3, -1]]),
    soft=np.array([[0.0, 2.5, NAN]]),
    offset=np.array([[0.0, -0.5, NAN]]),
    peak=np.array([1.0, 0.5, NAN]),
    agree=np.array([True, False, False]),
    norm=np.array([2.5e-9, 35.25, NAN]),
    min=np.array([-2e-9, -25.0, NAN]),
    max=np.array([0.0, 25.0, NAN]),
    gradient=np.array([[2.5e-9, -35.25, NAN]]),
    vanished=np.array([True, False, False]),
    ids=["a", "\x1b[31mb", "c"],
)
BY_SCORES = replace(RUN, fields=OF_GRADIENT, wrt="x", vanished=1e-6)


def test_gradients_by_scores() -> None:
    assert printed([GRADIENTS], BY_SCORES, summary=Summary(vanished=0)).splitlines() == [
        "a.npy · float32 3 × 4 · axis 1 · β 100 (temperature 0.01) · CPU",
        "gradient: ∂soft/∂x",
        "",
        "slice  id         hard      soft       norm         min      max",
        "─────  ─────────  ────  ────────  ─────────  ──────────  ───────",
        "    0  a             0  0.000000   2.50e-09   -2.00e-09   0       ≈ 0 vanished",
        "    1  \\x1b[31mb     3  2.500000  35.2500    -25.0000    25.0000",
        "    2  c             –  –          –           –          –       ∅ undefined",
        "",
        "3 slices · max norm 35.25 · mean norm 17.63 · 1 vanished (norm below 1e-06) · 1 undefined",
    ]


def test_gradients_by_beta() -> None:
    run = replace(BY_SCORES, beta=2.0, window=3, wrt="beta", vanished=0.5)
    lines = printed([GRADIENTS], run, rows=1, encoding="ascii", summary=Summary(vanished=0)).splitlines()
    assert lines[1] == "window +/-3 - gradient: dsoft/dbeta"
    assert lines[3].split() == ["slice", "id", "hard", "soft", "gradient"]
    assert lines[5].split() == ["0", "a", "0", "0.000000", "2.50e-09", "~", "0", "vanished"]
    assert lines[6] == "... and 2 more slices"


@pytest.mark.parametrize(
    ("scores", "kind", "line"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], "scores", "▁▂▃▄▅▆▇█"),
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
def test_a_sparkline(scores: list[float], kind: str, line: str) -> None:
    assert sparklines(np.array([scores], float), kind) == [line]


@pytest.mark.parametrize("cells", [17, 100, 1999])
@pytest.mark.parametrize("kind", ["scores", "cost"])
def test_a_lone_peak_is_seen_wherever_it_is(cells: int, kind: str) -> None:
    places = np.arange(0, cells, max(1, cells // 40))
    rows = np.zeros((len(places), cells))
    rows[np.arange(len(places)), places] = 1 if kind == "scores" else -1
    peak, rest = ("█", "▁") if kind == "scores" else ("▁", "█")
    for place, line in zip(places, sparklines(rows, kind), strict=True):
        assert sorted(line) == sorted([peak, *[rest] * 15])
        assert abs(line.index(peak) - place / cells * 16) <= 1


@pytest.mark.parametrize(
    ("shape", "axes", "count", "drawn"),
    [
        ((1000, 10), (1,), 20, True),
        ((7,), (0,), 1, True),
        ((2, MOST_SCORES), (1,), 1, True),
        ((2, MOST_SCORES), (1,), 2, False),
        ((4, 5, 6), (1, 2), 4, False),
        ((0, 6), (1,), 0, False),
    ],
)
def test_sparklines_cost_little(shape: tuple[int, ...], axes: tuple[int, ...], count: int, drawn: bool) -> None:
    assert sparkling(Run("x", shape, "float32", axes, 1.0, "CPU"), count) == drawn


@pytest.mark.parametrize(("kind", "name"), [("scores", "scores"), ("cost", "costs"), ("probs", "weights")])
def test_sparklines_stand_before_the_marks(kind: str, name: str) -> None:
    run, best = replace(RUN, kind=kind), np.array([[2, 1, 1], [1, 2, 2], [0, 0, 0.0]])
    lines = printed([TUTORIAL], run, best=best).splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith("slice"))
    assert lines[at].split()[-1] == name
    assert len(lines[at + 2].split()[-1]) == 3
    for encoding in ("ascii", "latin-1", "cp437"):
        text = printed([TUTORIAL], run, best=best, encoding=encoding)
        assert text.splitlines()[at].split()[-1] == "spread"
        assert "?" not in text
