"""The benchmarks measure what they say, on files that are what they say. Nothing here looks at a time."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.benchmarks.__main__ import choose, parse
from tests.benchmarks.agreement import largest_difference
from tests.benchmarks.bandwidth import read_in_threads
from tests.benchmarks.cases import Case, Subject, all_cases, measure_of, tool
from tests.benchmarks.cluster import HEAD as CLUSTER_HEAD
from tests.benchmarks.files import File, clean, provide
from tests.benchmarks.machine import describe
from tests.benchmarks.making import is_right, make
from tests.benchmarks.measure import Measured, measure
from tests.benchmarks.running import Outcome, Timing, run_case
from tests.benchmarks.table import HEAD, met, render

ROOT = Path(__file__).parents[1]
LARGE = 200_000_000

pytestmark = pytest.mark.skipif(not hasattr(os, "wait4"), reason="processes are measured as POSIX systems do")


def python(code: str) -> Measured:
    return measure([sys.executable, "-c", code])


def benchmarks(folder: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], list[dict[str, str]]]:
    """A finished run on tiny files, and the rows of its table."""
    command = [sys.executable, "-m", "tests.benchmarks", "--sizes", "tiny", "--folder", str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    if cells:
        assert cells[0] == list(HEAD)
        assert all(set(cell) <= set("-:") for cell in cells[1])
        assert len({len(line) for line in lines}) == 1, "columns of one width"
    return done, [dict(zip(HEAD, row, strict=True)) for row in cells[2:]]


def test_peak_memory_is_the_childs() -> None:
    ballast = np.ones(2 * LARGE, np.uint8)  # resident here, and none of its business
    small, large = python("pass"), python(f"b'1' * {LARGE}; bytearray({LARGE})")
    assert ballast[-1] == 1
    assert 0 < small.peak < LARGE / 2
    assert LARGE < large.peak < 2 * LARGE


def test_time_is_of_the_whole_process() -> None:
    waits = python("import time; time.sleep(0.3)")
    works = python("import time\nwhile time.process_time() < 0.3: pass")
    assert waits.seconds >= 0.3
    assert works.processor >= 0.3
    assert works.seconds >= 0.3


def test_output_is_kept() -> None:
    done = python("import sys; print('out'); print('note', file=sys.stderr)")
    assert (done.stdout, done.stderr, done.code, done.failure()) == ("out\n", "note\n", 0, None)


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("1 / 0", "exit code 1: ZeroDivisionError: division by zero"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9"),
        (
            "import sys; sys.exit('softargmax: error: no such file.\\n  give another.')",
            "exit code 1: softargmax: error",
        ),
    ],
)
def test_failures_are_told(code: str, failure: str) -> None:
    said = python(code).failure()
    assert said is not None
    assert said.startswith(failure)


def test_a_command_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot start"):
        measure([tmp_path / "nothing"])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_layouts_hold_the_same_scores(tmp_path: Path, dtype: str) -> None:
    shape = (90_001, 100) if dtype == "float32" else (50, 100)  # the first in two pieces
    rows, fortran, transposed = (
        np.load(provide(File(shape, dtype, layout), tmp_path)) for layout in ("rows", "fortran", "transposed")
    )
    assert rows.dtype == dtype
    assert rows.shape == shape
    assert fortran.flags.f_contiguous
    assert transposed.flags.c_contiguous
    np.testing.assert_array_equal(fortran, rows)
    np.testing.assert_array_equal(transposed, rows.T)
    assert 0 <= rows.min() < 0.1
    assert 0.9 < rows.max() <= 1
    assert len(np.unique(rows[:, 0])) > 40


def test_a_csv_has_nine_significant_digits(tmp_path: Path) -> None:
    path = provide(File((30, 100), layout="csv"), tmp_path)
    assert path.stat().st_size == File((30, 100), layout="csv").size
    cells = [line.split(",") for line in path.read_text().splitlines()]
    assert {len(line) for line in cells} == {100}
    assert {len(cell) for line in cells for cell in line} == {11}
    assert all(0.1 <= float(cell) < 1 for line in cells for cell in line)
    assert len({cell for line in cells for cell in line}) > 2900


def test_only_a_wrong_file_is_made_again(tmp_path: Path) -> None:
    file = File((20, 100))
    path = provide(file, tmp_path)
    good, made = path.read_bytes(), path.stat().st_mtime_ns
    assert provide(file, tmp_path).stat().st_mtime_ns == made
    for wrong in (good[:-1], good + b"\0", b"\0" + good[1:], b""):
        path.write_bytes(wrong)
        assert not is_right(path, file)
        assert provide(file, tmp_path).read_bytes() == good


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tests.benchmarks.making.write", full)
    with pytest.raises(OSError, match="No space"):
        make(tmp_path / "file.npy", File((20, 100)))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_seen_before(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="not enough room"):
        provide(File((10**15,)), tmp_path)


def test_clean_leaves_what_is_not_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    provide(File((20, 100)), folder)
    (folder / "mine.npy").write_bytes(b"")
    assert clean(folder) == 1
    assert [path.name for path in folder.iterdir()] == ["mine.npy"]
    (folder / "mine.npy").unlink()
    assert clean(folder) == 0
    assert not folder.exists()


def test_bandwidth_reads_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(9_000_001))
    for threads in (1, 2, 3):
        assert read_in_threads(str(path), threads) > 0


def test_agreement_is_of_the_soft_argmax() -> None:
    ours = np.array([1.0, 2.0])
    assert largest_difference(ours, np.array([[1.5, 2.0], [9, 9]])) == 0.5
    assert largest_difference(ours, np.array([1.0, 2.25])) == 0.25
    assert largest_difference(ours, np.array([1.0])) == np.inf
    assert largest_difference(ours, np.array([1.0, np.nan])) == np.inf


def test_limits_are_those_of_the_full_size() -> None:
    limits = {(case.name, subject.label): subject.at_most for case in all_cases("full") for subject in case.subjects}
    assert {key: limit for key, limit in limits.items() if limit} == {
        ("version", "`import typer`"): 2,
        ("small", "TensorFlow"): 0.15,
        ("small", "NumPy"): 5,
        ("2gb", "TensorFlow"): 0.10,
        ("2gb", "NumPy"): 0.30,
        ("heatmaps", "one axis of the same scores"): 1.2,
        ("window", "two axes, no window"): 1.5,
        ("2gb", "JAX"): 0.40,
        ("8gb", "2 GB"): 1.15,
        ("axis0", "last axis of the same scores"): 1.5,
        ("csv", "polars"): 1.0,
    }
    assert not any(case.scaled for case in all_cases("full"))
    assert {case.name for case in all_cases("quick") if not case.scaled} == {"version", "small"}
    sizes = {case.name: case.subjects[0].file.size for case in all_cases("full") if case.subjects[0].file}
    assert {name for name, size in sizes.items() if size == 2_000_000_000} == {
        *("2gb", "bandwidth", "axis0", "fortran", "float64", "float16", "flat")
    }
    assert sizes["8gb"] == 8_000_000_000
    assert measure_of(sizes["csv"]) == "1 GB"


def test_cases_and_peers_can_be_chosen() -> None:
    cases = choose(parse(["--quick", "--only", "2gb", "version", "--peers", "numpy"]))
    assert [case.name for case in cases] == ["version", "2gb"]
    assert [subject.label for subject in cases[1].subjects] == ["softargmax", "NumPy"]


@pytest.mark.parametrize(
    ("ratio", "at_most", "scaled", "said"),
    [
        (0.3, 0.3, False, "yes"),
        (0.31, 0.3, False, "**no**"),
        (None, 0.3, False, "failed"),
        (1, None, False, "–"),
        (0.1, 0.3, True, "–"),
    ],
)
def test_met(ratio: float | None, at_most: float | None, scaled: bool, said: str) -> None:
    assert met(ratio, at_most, scaled=scaled) == said


def test_table() -> None:
    large, larger = File((5_000_000, 100)), File((20_000_000, 100))
    case = Case("8gb", "large", (tool(larger), Subject("2 GB", (), large, 1.15, per_byte=True)), 800_000_000)
    ours = Timing(case.subjects[0], [8.0, 6.0, 7.2], [11.0, 12.0, 13.0], [500_000_000, 900_000_000])
    theirs = Timing(case.subjects[1], [2.0, 2.0], [4.0, 4.0], [400_000_000])
    single = Case("flat", "a | b", (tool(large),), scaled=True)
    failed = Timing(single.subjects[0], [1.0], [1.0], [1], "signal 9")
    assert render([Outcome(case, [ours, theirs], 5), Outcome(single, [failed], 3)]).splitlines() == [
        "| case   |         softargmax | CPU time | peak memory | beside         |           its time | its peak"
        " |  ratio | at most |    met |",
        "|--------|-------------------:|---------:|------------:|----------------|-------------------:|---------:"
        "|-------:|--------:|-------:|",
        "| large  | 7.20 s (1.11 GB/s) |  12.00 s |      900 MB | 2 GB, per byte | 2.00 s (1.00 GB/s) |   400 MB"
        " |   0.90 |    1.15 |    yes |",
        "|        |                    |          |             | peak memory    |                  – |        –"
        " | 900 MB |  800 MB | **no** |",
        "| a \\| b |             failed |        – |           – | –              |                  – |        –"
        " |      – |       – |      – |",
        "",
        "Times are medians of 5 runs; memory is the largest peak.",
        "Only 3 runs where one takes more than 10 s: flat.",
        "The files are smaller than those that the limits are meant for.",
        "flat, softargmax: signal 9.",
    ]


def quick_case(tmp_path: Path, *codes: str, agrees: float | None = None) -> tuple[Case, dict[File, Path]]:
    """Short commands instead of the tool and its peers."""
    file = File((3, 4))
    subjects = [Subject(f"{place}", ("-c", code, "{input}", "{output}"), file) for place, code in enumerate(codes)]
    if agrees is not None:
        subjects[1:] = [Subject(one.label, one.command, file, agrees=agrees) for one in subjects[1:]]
    return Case("short", "short", tuple(subjects)), {file: tmp_path / "input.npy"}


def writing(values: str) -> str:
    return f"import sys, numpy; numpy.save(sys.argv[2], numpy.array({values}))"


@pytest.mark.parametrize(("runs", "rounds"), [(1, 1), (2, 3), (3, 4)])
def test_all_run_in_turn_after_a_warm_up(tmp_path: Path, runs: int, rounds: int) -> None:
    log = tmp_path / "log"
    code = f"open({str(log)!r}, 'a').write"
    case, paths = quick_case(tmp_path, f"{code}('A')", f"{code}('B')", f"{code}('C')")
    told = []
    outcome = run_case(case, runs, paths, tmp_path, lambda *state: told.append(state[:2]))
    assert log.read_text() == "ABC" * rounds
    assert told == [(done, rounds) for done in range(1, rounds + 1)]
    assert [len(timing.seconds) for timing in outcome.timings] == [runs] * 3
    assert not outcome.failed


def test_slow_cases_run_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.benchmarks.running.SLOW", 0)
    case, paths = quick_case(tmp_path, "pass")
    assert run_case(case, 5, paths, tmp_path, lambda *_: None).runs == 3
    assert run_case(case, 2, paths, tmp_path, lambda *_: None).runs == 2


def test_a_failed_peer_is_left_out_of_later_rounds(tmp_path: Path) -> None:
    case, paths = quick_case(tmp_path, "pass", "raise SystemExit(4)", "pass")
    outcome = run_case(case, 2, paths, tmp_path, lambda *_: None)
    assert [timing.failure for timing in outcome.timings] == [None, "exit code 4", None]
    assert outcome.ratio(outcome.timings[1]) is None
    assert outcome.ratio(outcome.timings[2]) is not None


def test_after_a_failed_tool_nothing_is_run(tmp_path: Path) -> None:
    case, paths = quick_case(tmp_path, "raise SystemExit(2)", f"open({str(tmp_path / 'log')!r}, 'w')")
    outcome = run_case(case, 2, paths, tmp_path, lambda *_: None)
    assert outcome.failed
    assert not (tmp_path / "log").exists()


def test_results_are_compared(tmp_path: Path) -> None:
    codes = [writing("[1.0, 2.0]"), writing("[[1.005, 2.0], [1, 2]]"), writing("[[1.5, 2.0], [1, 2]]")]
    case, paths = quick_case(tmp_path, *codes, agrees=1e-2)
    outcome = run_case(case, 1, paths, tmp_path, lambda *_: None)
    assert [timing.failure for timing in outcome.timings] == [
        *(None, None),
        "differs from softargmax by 0.5 index units",
    ]
    assert list(tmp_path.glob("*.npy")) == []


def test_a_result_that_is_missing_cannot_be_compared(tmp_path: Path) -> None:
    case, paths = quick_case(tmp_path, "pass", "pass", agrees=1e-2)
    failure = run_case(case, 1, paths, tmp_path, lambda *_: None).timings[1].failure
    assert failure is not None
    assert failure.startswith("cannot be compared")


def test_the_machine_is_described_without_its_name() -> None:
    said = describe()
    assert f"Python {platform.python_version()}" in said
    assert f"NumPy {np.__version__}" in said
    assert "GB of memory" in said
    assert len(platform.node()) < 4 or platform.node() not in said


@pytest.mark.nightly
def test_one_command_makes_runs_and_shows(tmp_path: Path) -> None:
    chosen = ["version", "small", "8gb", "axis0", "bandwidth"]
    done, rows = benchmarks(tmp_path, "--runs", "1", "--peers", "numpy", "--only", *chosen)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(row["case"], row["beside"]) for row in rows] == [
        ("`--version`", "`import typer`"),
        ("3 × 4 float32", "NumPy"),
        ("2,000 × 100 float32, bandwidth", "reading alone, 1 thread"),
        ("", "reading alone, 2 threads"),
        ("8,000 × 100 float32 (3.2 MB)", "800 kB, per byte"),
        ("", "peak memory"),
        ("100 × 2,000 float32, axis 0", "last axis of the same scores"),
    ]
    for row in rows:
        assert row["softargmax"].endswith(" s") == bool(row["case"])
        assert row["ratio"].replace(" MB", "").replace(".", "").isdecimal()
    assert [row["at most"] for row in rows] == ["2.00", "5.00", "–", "–", "1.15", "800 MB", "1.50"]
    assert {row["met"] for row in rows[2:]} == {"–"}
    assert done.stdout.count("Python ") == 1
    assert "[5/5] round 1 of 1" in done.stderr
    assert "left" in done.stderr
    assert not list(tmp_path.glob("result-*"))


@pytest.mark.nightly
def test_the_tool_and_tensorflow_agree(tmp_path: Path) -> None:
    done, rows = benchmarks(tmp_path, "--runs", "1", "--peers", "tensorflow", "numpy", "--only", "2gb")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["beside"] for row in rows] == ["TensorFlow", "NumPy"]
    assert "differs" not in done.stdout


def test_a_csv_gives_what_the_script_finds(tmp_path: Path) -> None:
    pytest.importorskip("polars")
    done, rows = benchmarks(tmp_path, "--runs", "1", "--only", "csv")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["beside"] for row in rows] == ["polars"]


def test_failures_show_in_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    done, rows = benchmarks(tmp_path / "file", "--only", "small")
    assert done.returncode == 2
    assert "error:" in done.stderr
    assert rows == []


@pytest.mark.nightly
@pytest.mark.slow
def test_a_cluster_beside_one_process(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    pytest.importorskip("zarr", "3")
    command = [sys.executable, "-m", "tests.benchmarks.cluster", "--tiny", "--runs", "1", "--workers", "1"]
    done = subprocess.run([*command, "--folder", tmp_path], cwd=ROOT, capture_output=True, text=True, check=True)
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()[2:])
    assert head == [*CLUSTER_HEAD]
    assert [row[:2] for row in rows] == [
        [chunks, where] for chunks in ("32 × 1.28 MB", "10 × 0.04 MB") for where in ("one process", "1 worker")
    ]
    assert not any(tmp_path.iterdir())
