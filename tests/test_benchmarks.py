"""The benchmarks measure what they say, on files that are what they say. Nothing here looks at a time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.benchmarks.__main__ import main
from tests.benchmarks.cases import Case, Command, all_cases, measure_of, tool
from tests.benchmarks.files import File, provide
from tests.benchmarks.measure import Measured, measure
from tests.benchmarks.running import Outcome, Timing, run_case
from tests.benchmarks.table import HEAD, describe, render

LARGE = 100_000_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "wait4"), reason="processes are measured as POSIX systems do"),
]


def python(code: str) -> Measured:
    return measure([sys.executable, "-c", code])


def test_a_process_is_measured_and_not_its_parent() -> None:
    ballast = np.ones(2 * LARGE, np.uint8)  # resident here, and none of its business
    small = python("import sys; print('out'); print('note', file=sys.stderr)")
    large = python(f"b'1' * {LARGE}; bytearray({LARGE})\nimport time\nwhile time.process_time() < 0.2: pass")
    assert ballast[-1] == 1
    assert 0 < small.peak < LARGE / 2
    assert LARGE < large.peak < 2 * LARGE
    assert large.processor >= 0.2
    assert (small.stdout, small.stderr, small.code, small.failure()) == ("out\n", "note\n", 0, "")


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_layouts_hold_the_same_scores(tmp_path: Path, dtype: str) -> None:
    rows, fortran, transposed = (
        np.load(provide(File((50, 100), dtype, layout), tmp_path)) for layout in ("rows", "fortran", "transposed")
    )
    assert (rows.dtype, rows.shape) == (dtype, (50, 100))
    assert fortran.flags.f_contiguous
    assert transposed.flags.c_contiguous
    np.testing.assert_array_equal(fortran, rows)
    np.testing.assert_array_equal(transposed, rows.T)
    assert 0 <= rows.min() < 0.1
    assert 0.9 < rows.max() <= 1


def test_a_csv_has_nine_significant_digits(tmp_path: Path) -> None:
    path = provide(File((30, 100), layout="csv"), tmp_path)
    assert path.stat().st_size == File((30, 100), layout="csv").size
    cells = [line.split(",") for line in path.read_text().splitlines()]
    assert {len(line) for line in cells} == {100}
    assert {len(cell) for line in cells for cell in line} == {11}
    assert all(0.1 <= float(cell) < 1 for line in cells for cell in line)


def test_sizes_are_those_of_the_limits() -> None:
    sizes = {case.name: case.tool.file.size for case in all_cases("full") if case.tool.file}
    two = {"2gb", "bandwidth", "axis0", "fortran", "float64", "float16", "flat", "sweep", "weights", "evaluate"}
    assert {name for name, size in sizes.items() if size == 2_000_000_000} == two
    assert (sizes["8gb"], measure_of(sizes["csv"])) == (8_000_000_000, "1 GB")


def test_table() -> None:
    def measured(seconds: float, peak: int) -> Measured:
        return Measured(seconds, seconds + 4, peak, 0, "", "")

    large, larger = File((5_000_000, 100)), File((20_000_000, 100))
    case = Case("8gb", "large", tool(larger), (tool(large, label="2 GB", at_most=1.15),), 800_000_000)
    ours = Timing(case.tool, [measured(8.0, 500_000_000), measured(6.0, 900_000_000), measured(7.2, 1)])
    theirs = Timing(case.beside[0], [measured(2.0, 400_000_000)])
    single = Case("flat", "a | b", tool(large))
    failed = Timing(single.tool, [measured(1.0, 1)], "signal 9")
    assert render([Outcome(case, [ours, theirs]), Outcome(single, [failed])], 5, scaled=False).splitlines() == [
        "| case   |         softargmax | CPU time | peak memory | beside         |           its time | its peak"
        " |  ratio | at most |    met |",
        "|--------|-------------------:|---------:|------------:|----------------|-------------------:|---------:"
        "|-------:|--------:|-------:|",
        "| large  | 7.20 s (1.11 GB/s) |  11.20 s |      900 MB | 2 GB, per byte | 2.00 s (1.00 GB/s) |   400 MB"
        " |   0.90 |    1.15 |    yes |",
        "|        |                    |          |             | peak memory    |                  – |        –"
        " | 900 MB |  800 MB | **no** |",
        "| a \\| b |             failed |        – |           – | –              |                  – |        –"
        " |      – |       – |      – |",
        "",
        "Times are medians of 5 runs; memory is the largest peak.",
        "flat, softargmax: signal 9.",
    ]


def short(*codes: str, agrees: float | None = None) -> Case:
    """Short commands instead of the tool and its peers."""
    first, *others = (("-c", code, "{input}", "{output}") for code in codes)
    return Case("short", "short", Command("0", first), tuple(Command("1", each, agrees=agrees) for each in others))


def test_all_run_in_turn_after_a_warm_up(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = f"open({str(log)!r}, 'a').write"
    outcome = run_case(short(f"{code}('A')", f"{code}('B')", "raise SystemExit(4)"), 2, {}, tmp_path)
    assert log.read_text() == "AB" * 3
    assert [len(timing.runs) for timing in outcome.timings] == [2, 2, 0]
    assert [timing.failure for timing in outcome.timings] == ["", "", "exit code 4"]
    assert outcome.ratio(outcome.timings[1]) is not None
    assert outcome.ratio(outcome.timings[2]) is None


def test_results_are_compared(tmp_path: Path) -> None:
    save = "import sys, numpy; numpy.save(sys.argv[2], numpy.array({}))".format
    case = short(save("[1.0, 2.0]"), save("[[1.005, 2.0], [1, 2]]"), save("[[1.5, 2], [1, 2]]"), "pass", agrees=1e-2)
    failures = [timing.failure for timing in run_case(case, 1, {}, tmp_path).timings]
    assert failures[:3] == ["", "", "differs from softargmax by 0.5 index units"]
    assert failures[3].startswith("cannot be compared")
    assert list(tmp_path.iterdir()) == []


def test_one_command_makes_runs_and_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["version", "bandwidth", "8gb", "csv", "sweep"]
    assert main(["--sizes", "tiny", "--runs", "1", "--folder", str(tmp_path), "--only", *chosen]) == 0
    printed, said = capsys.readouterr()
    assert printed.startswith(describe())
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if line[:1] == "|"]
    assert rows[0] == list(HEAD)
    assert [(row[0], row[4]) for row in rows[2:]] == [
        ("`--version`", "`import typer`"),
        ("2,000 × 100 float32, bandwidth", "reading alone, threads: 1"),
        ("", "reading alone, threads: 2"),
        ("8,000 × 100 float32 (3.2 MB)", "2 GB, per byte"),
        ("", "peak memory"),
        ("333 × 100 CSV", "polars"),
        ("2,000 × 100 float32, sweep of 13 β", "run"),
    ]
    assert all(row[1].endswith(" s") == bool(row[0]) for row in rows[2:])
    assert "[5/5] sweep" in said
    assert main(["--folder", str(next(tmp_path.iterdir())), "--only", "version"]) == 2
