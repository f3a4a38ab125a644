"""The table and the summary line as a person sees them, character by character."""

from __future__ import annotations

import io
import math
import re

import numpy as np
import pytest

from softargmax_cli.reduction.result import Run, Slices, Summary
from softargmax_cli.report.layout import WIDEST, fixed, short
from softargmax_cli.report.summary import summary_line
from softargmax_cli.report.table import TABLE_FIELDS, Table
from softargmax_cli.report.text import PLAIN

NAN = math.nan
ESCAPES = re.compile("\x1b\\[[0-9;]*m")

TUTORIAL = Slices(
    0,
    hard=np.array([0, 1, 2]),
    soft=np.array([0.0, 0.9999546021312976, 1.9999546021312976]),
    offset=np.array([0.0, -4.5397868702434395e-05, -4.5397868702434395e-05]),
    peak=np.array([1.0, 0.9999546021312976, 0.9999546021312976]),
    agree=np.array([True, True, True]),
    spread=np.array([0.0, 0.006737641, 0.006737641]),
    ties=np.array([1, 1, 1]),
)

MIXED = Slices(
    0,
    hard=np.array([2, -1, 17, 1]),
    soft=np.array([1.25, NAN, 16.9, 0.5]),
    offset=np.array([-0.75, NAN, -0.1, -0.5]),
    peak=np.array([0.31, NAN, 0.9, 0.5]),
    agree=np.array([False, False, True, False]),
    spread=np.array([12.5, NAN, 0.02, 0.5]),
    ties=np.array([1, 0, 1, 2]),
    ids=["a", "\x1b[31m[red]b", "日本", "d"],
)


def printed(
    parts: list[Slices], run: Run, shape: tuple[int, ...], *, rows: int = 20, color: bool = False, encoding: str = ""
) -> str:
    table, summary = Table(rows), Summary()
    for part in parts:
        table.add(part)
        summary.add(part)
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="\n") if encoding else io.StringIO()
    table.render(run, shape, summary, file, color=color)
    if isinstance(file, io.StringIO):
        return file.getvalue()
    file.flush()
    return raw.getvalue().decode(encoding)


def test_the_tutorial() -> None:
    run = Run("scores.npy", (3, 4), "float32", 1, 100.0, "CPU")
    assert printed([TUTORIAL], run, (3, 4)) == (
        "scores.npy · float32 3 × 4 · axis 1 · β 100 (temperature 0.01) · CPU\n"
        "\n"
        "slice  hard       soft     offset    peak  spread\n"
        "─────  ────  ─────────  ─────────  ──────  ──────\n"
        "    0     0  0.0000000   0         1.0000  0\n"
        "    1     1  0.9999546  -4.54e-05  1.0000  0.0067\n"
        "    2     2  1.9999546  -4.54e-05  1.0000  0.0067\n"
        "\n"
        "3 slices · max |offset| 4.5e-05 · mean |offset| 3.0e-05 · agreement 100 % · 0 tied\n"
    )


LABELS = [f"class{k}" for k in range(20)]


def test_marks_names_and_labels() -> None:
    run = Run("a\n[b].csv", (None, 20), "float64", 1, 3.0, "GPU:0", True, LABELS)
    assert printed([MIXED], run, (4, 20)) == (
        "a\\n[b].csv · float64 4 × 20 · axis 1 · β 3 (temperature 0.333333) · GPU:0\n"
        "\n"
        "slice  id              hard  label          soft   offset    peak   spread\n"
        "─────  ──────────────  ────  ───────  ──────────  ───────  ──────  ───────\n"
        "    0  a                  2  class2    1.2500000  -0.7500  0.3100  12.5000  ≠ disagrees\n"
        "    1  \\x1b[31m[red]b     –            –           –       –        –       ∅ undefined\n"
        "    2  日本              17  class17  16.9000000  -0.1000  0.9000   0.0200\n"
        "    3  d                  1  class1    0.5000000  -0.5000  0.5000   0.5000  ≠ disagrees  = 2 tied\n"
        "\n"
        "4 slices · max |offset| 0.75 · mean |offset| 0.45 · agreement 33.3 % · 1 tied · 1 undefined\n"
    )


def test_ascii() -> None:
    run = Run("é.csv", (None, 20), "float64", 1, 3.0, "CPU", True, ["ü"] * 20)
    text = printed([MIXED], run, (4, 20), rows=2, encoding="ascii")
    assert text == (
        "\\xe9.csv, float64 4 x 20, axis 1, beta 3 (temperature 0.333333), CPU\n"
        "\n"
        "slice  id              hard  label       soft   offset    peak   spread\n"
        "-----  --------------  ----  -----  ---------  -------  ------  -------\n"
        "    0  a                  2  \\xfc   1.2500000  -0.7500  0.3100  12.5000  ! disagrees\n"
        "    1  \\x1b[31m[red]b     -         -           -       -        -       ? undefined\n"
        "... and 2 more slices\n"
        "\n"
        "4 slices, max |offset| 0.75, mean |offset| 0.45, agreement 33.3 %, 1 tied, 1 undefined\n"
    )


def test_colour_adds_to_the_text_and_changes_nothing() -> None:
    run = Run("a.csv", (None, 20), "float64", 1, 3.0, "CPU", True, LABELS)
    plain, coloured = (printed([MIXED], run, (4, 20), rows=3, color=color) for color in (False, True))
    assert "\x1b" not in plain
    assert ESCAPES.sub("", coloured) == plain
    lines = dict(zip(plain.splitlines(), coloured.splitlines(), strict=True))
    styles = [match[0] for line in lines.values() for match in [re.match(ESCAPES, line)] if match]
    assert styles == ["\x1b[1m", "\x1b[1m", "\x1b[2m", "\x1b[1;31m", "\x1b[33m", "\x1b[2m"]


def test_several_axes_and_rows_of_many_parts() -> None:
    run = Run("a.npy", (2, 5, 12), "float64", 1, 3.0, "CPU")
    parts = [TUTORIAL.part(0, 0)]
    for start in range(0, 24, 3):
        columns = {name: getattr(TUTORIAL, name) for name in TABLE_FIELDS}
        parts.append(Slices(start, **columns))
    everything = printed(parts, run, (2, 5, 12), rows=0).splitlines()[4:-2]
    assert [line[:5] for line in everything] == [f"{i}, {j:2}" for i in range(2) for j in range(12)]
    few = printed(parts, run, (2, 5, 12), rows=4).splitlines()
    assert [line[:5] for line in few[4:8]] == [" 0, 0", " 0, 1", " 0, 2", " 0, 3"]
    assert [line[5:] for line in few[4:8]] == [line[5:] for line in everything[:4]]
    assert few[8] == "… and 20 more slices"


def test_one_slice_of_a_vector() -> None:
    lines = printed([TUTORIAL.part(0, 1)], Run("v.npy", (4,), "float32", 0, 1.0, "CPU"), (4,)).splitlines()
    assert lines[0] == "v.npy · float32 4 · axis 0 · β 1 (temperature 1) · CPU"
    assert lines[2].split() == ["hard", "soft", "offset", "peak", "spread"]
    assert lines[-1] == "1 slice · max |offset| 0 · mean |offset| 0 · agreement 100 % · 0 tied"


def test_no_slices() -> None:
    run = Run("e.npy", (0, 4), "float32", 1, 100.0, "CPU")
    heading = "e.npy · float32 0 × 4 · axis 1 · β 100 (temperature 0.01) · CPU"
    assert printed([], run, (0, 4)) == f"{heading}\n\n0 slices\n"


def test_fields_that_were_not_asked_for_are_left_out() -> None:
    slices = Slices(0, TUTORIAL.hard, TUTORIAL.soft, TUTORIAL.offset, TUTORIAL.peak, TUTORIAL.agree)
    text = printed([slices], Run("a.npy", (3, 4), "float32", 1, 100.0, "CPU"), (3, 4))
    assert "spread" not in text
    assert "tied" not in text


def test_the_table_keeps_no_hold_of_what_it_does_not_show() -> None:
    soft = TUTORIAL.soft.copy()
    slices = Slices(0, TUTORIAL.hard, soft, TUTORIAL.offset, TUTORIAL.peak, TUTORIAL.agree)
    table, file = Table(2), io.StringIO()
    table.add(slices)
    soft[:] = 7
    table.render(Run("a.npy", (3, 4), "float32", 1, 1.0, "CPU"), (3, 4), Summary(), file, color=False)
    assert "0.9999546" in file.getvalue()


def test_an_endless_name_widens_only_its_own_row() -> None:
    columns = (TUTORIAL.hard, TUTORIAL.soft, TUTORIAL.offset, TUTORIAL.peak, TUTORIAL.agree)
    slices = Slices(0, *columns, None, None, None, ["x" * 999, "y", "z"])
    lines = printed([slices], Run("a.csv", (3, 4), "float32", 1, 1.0, "CPU", True), (3, 4)).splitlines()
    assert "x" * 999 in lines[4]
    assert max(map(len, lines[5:7])) < WIDEST + 60


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (-4.5397868702434395e-05, "-4.54e-05"),
        (0.00123, "0.0012"),
        (-12.5, "-12.5000"),
        (1234567.0, "1.23e+06"),
        (math.inf, "inf"),
    ],
)
def test_short(number: float, text: str) -> None:
    assert short(number) == text


def test_fixed_turns_to_powers_of_ten_where_decimals_say_little() -> None:
    assert fixed([1e-9, NAN], 7)(1e-9) == "1.0000000e-09"
    assert fixed([3e12, 1.0], 7)(3e12) == "3.0000000e+12"
    assert fixed([0.0, 5e6], 7)(5e6) == "5000000.0000000"
    assert fixed([], 7)(0.0) == "0.0000000"


RUN = Run("a\x1b.npy", (3, 4), "float32", 1, 100.0, "CPU")


@pytest.mark.parametrize(
    ("summary", "line"),
    [
        (Summary(), "0 slices"),
        (Summary(slices=2, undefined=2, tied=0), "2 slices · 0 tied · 2 undefined"),
        (
            Summary(5_000_000, 0, 4_999_999, 0.5, 1.0),
            "5,000,000 slices · max |offset| 0.5 · mean |offset| 2.0e-07 · agreement 99.9 %",
        ),
        (
            Summary(3000, 0, 1, 1234.5678, 3e6),
            "3,000 slices · max |offset| 1235 · mean |offset| 1000 · agreement 0.1 %",
        ),
        (Summary(1, 0, 0, 2.0, 2.0, 1), "1 slice · max |offset| 2 · mean |offset| 2 · agreement 0 % · 1 tied"),
    ],
)
def test_summary_line(summary: Summary, line: str) -> None:
    assert summary_line(summary, RUN) == line


def test_summary_line_of_one_of_several_inputs() -> None:
    assert (
        summary_line(Summary(slices=2, undefined=2), RUN, named=True, signs=PLAIN)
        == "a\\x1b.npy: 2 slices, 2 undefined"
    )
