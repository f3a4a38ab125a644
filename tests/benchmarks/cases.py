"""What is compared with what, and the ratios to reach."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.benchmarks.files import File

HERE = Path(__file__).parent
INPUT, OUTPUT = "{input}", "{output}"
"""In a command: the file to read and the file to write."""

SCALES = {"full": 1, "quick": 50, "tiny": 2500}
"""By how much the files are smaller than those the ratios are meant for."""
LEAST_ROWS = 40
COLUMNS = 100

SAME = 6e-5
"""Index units between two layouts of one array: twice the tool's own bound, 1e-6 (1 + spread), at 100 columns."""
CLOSE = 1e-2
"""Index units between the tool and a script in single precision: softmax(100 x) itself is that far off."""


@dataclass(frozen=True)
class Subject:
    """One command to time."""

    label: str
    command: tuple[str, ...]
    """What follows the interpreter."""
    file: File | None = None
    at_most: float | None = None
    """The ratio to reach: the tool's seconds by this one's."""
    per_byte: bool = False
    """Whether both are first divided by the size of their files."""
    agrees: float | None = None
    """How far its results may be from the tool's; None where the two answer different questions."""
    needs: tuple[str, ...] = ()
    """Packages without which it is left out."""
    says_seconds: bool = False
    """Whether it prints its own time, without the interpreter's start."""
    expected: tuple[float, float] = (0.5, 0.8)
    """Seconds to start, and for each GB, on a machine of two cores; only for the time left."""

    def guess(self) -> float:
        """Seconds of one run, before there has been one."""
        start, each = self.expected
        return start + each * self.file.size / 1e9 if self.file else start


@dataclass(frozen=True)
class Case:
    """The tool, and what it is compared with."""

    name: str
    title: str
    subjects: tuple[Subject, ...]
    """The tool first."""
    peak_at_most: int | None = None
    """Bytes of memory to stay below."""
    scaled: bool = field(default=False, kw_only=True)
    """Whether the files are smaller than those the limits are meant for."""

    def files(self) -> list[File]:
        """Each once."""
        return list(dict.fromkeys(subject.file for subject in self.subjects if subject.file))

    def guess(self, runs: int) -> float:
        """Seconds of all its runs."""
        return runs * sum(subject.guess() for subject in self.subjects)


def tool(file: File, *options: str, label: str = "softargmax") -> Subject:
    """`softargmax run` to an .npy file."""
    command = ("-m", "softargmax_cli", "run", INPUT, *options, "-o", OUTPUT, "--force", "--quiet")
    return Subject(label, command, file, expected=(0.5, 4.0 if file.layout == "csv" else 0.8))


def tensorflow(file: File, at_most: float | None = None) -> Subject:
    """The tutorials' formula."""
    return _script("TensorFlow", file, at_most, ("tensorflow",), (4.5, 5))


def numpy(file: File, at_most: float | None = None) -> Subject:
    """A few lines of NumPy."""
    return _script("NumPy", file, at_most, ("numpy",), (0.1, 8 if file.dtype == "float16" else 2))


def jax(file: File, at_most: float | None = None) -> Subject:
    """Fused by XLA."""
    return _script("JAX", file, at_most, ("jax",), (0.9, 1.5))


def polars(file: File, at_most: float | None = None) -> Subject:
    """Parsed by polars, reduced by NumPy."""
    return _script("polars", file, at_most, ("polars",), (0.3, 5))


def _script(
    label: str, file: File, at_most: float | None, needs: tuple[str, ...], expected: tuple[float, float]
) -> Subject:
    command = (str(HERE / "peers" / f"{label.lower()}_script.py"), INPUT, OUTPUT)
    return Subject(label, command, file, at_most, agrees=CLOSE, needs=needs, expected=expected)


def reader(file: File, threads: int) -> Subject:
    """The machine's own bandwidth."""
    label = f"reading alone, {threads} thread{'s' if threads > 1 else ''}"
    command = (str(HERE / "bandwidth.py"), INPUT, str(threads))
    return Subject(label, command, file, says_seconds=True, expected=(0.1, 0.3))


def all_cases(size: str) -> list[Case]:
    """Every comparison, with files of a size that SCALES names; cases of the same large file follow each other."""

    def rows(full: int) -> int:
        return max(full // SCALES[size], LEAST_ROWS)

    small = File((3, 4))
    medium = File((rows(100_000), COLUMNS))
    large = File((rows(5_000_000), COLUMNS))
    larger = File((rows(20_000_000), COLUMNS))
    double = File((rows(2_500_000), COLUMNS), "float64")
    half = File((rows(10_000_000), COLUMNS), "float16")
    transposed = replace(large, layout="transposed")
    fortran = replace(large, layout="fortran")
    flat = File((rows(500_000_000),))
    text = File((rows(833_000), COLUMNS), layout="csv")
    straight = tool(large, label="last axis of the same scores")
    maps = File((rows(4_800), 17, 64, 48))
    joined = replace(maps, shape=(*maps.shape[:2], math.prod(maps.shape[2:])))
    both = tool(maps, "--axis", "-2,-1", label="two axes, no window")
    cases = [
        Case(
            "version",
            "`--version`",
            (
                Subject("softargmax", ("-m", "softargmax_cli", "--version"), expected=(0.1, 0)),
                Subject("`import typer`", ("-c", "import typer"), at_most=2, needs=("typer",), expected=(0.1, 0)),
            ),
        ),
        Case("small", shown(small), (tool(small), tensorflow(small, 0.15), numpy(small, 5), jax(small))),
        Case("40mb", shown(medium), (tool(medium), tensorflow(medium), numpy(medium), jax(medium))),
        Case("2gb", shown(large), (tool(large), tensorflow(large, 0.10), numpy(large, 0.30), jax(large, 0.40))),
        Case("bandwidth", f"{shown(large)}, bandwidth", (tool(large), reader(large, 1), reader(large, 2))),
        Case(
            "8gb",
            shown(larger),
            (tool(larger), replace(tool(large, label=measure_of(large.size)), at_most=1.15, per_byte=True)),
            peak_at_most=800_000_000,
        ),
        Case(
            "axis0",
            f"{shown(transposed)}, axis 0",
            (tool(transposed, "--axis", "0"), replace(straight, at_most=1.5, agrees=SAME)),
        ),
        Case("fortran", f"{shown(fortran)}, Fortran order", (tool(fortran), replace(straight, agrees=SAME))),
        Case(
            "heatmaps",
            f"{shown(maps)}, two axes",
            (tool(maps, "--axis", "-2,-1"), replace(tool(joined, label="one axis of the same scores"), at_most=1.2)),
        ),
        Case(
            "window",
            f"{shown(maps)}, two axes, window ±4",
            (tool(maps, "--axis", "-2,-1", "--window", "4"), replace(both, at_most=1.5)),
        ),
        Case("float64", shown(double), (tool(double), numpy(double))),
        Case("float16", shown(half), (tool(half), numpy(half))),
        Case("flat", shown(flat), (tool(flat),)),
        Case("csv", shown(text), (tool(text), polars(text, 1.0))),
    ]
    return [replace(case, scaled=size != "full" and case.name not in ("version", "small")) for case in cases]


def shown(file: File) -> str:
    """A file as the table names it."""
    shape = file.shape[::-1] if file.layout == "transposed" else file.shape
    kind = "CSV" if file.layout == "csv" else file.dtype
    lengths = " × ".join(f"{length:,}" for length in shape)
    return f"{lengths} {kind}" + (f" ({measure_of(file.size)})" if file.size >= 1e6 else "")


def measure_of(size: float) -> str:
    """Bytes for people, in decimal units."""
    for unit, power in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= 0.9995 * power:  # 999.6 MB is 1 GB in three digits
            return f"{size / power:.3g} {unit}"
    return f"{size:g} bytes"


def missing(subjects: Sequence[Subject]) -> list[str]:
    """Packages that are needed and not installed."""
    needed = dict.fromkeys(package for subject in subjects for package in subject.needs)
    return [package for package in needed if importlib.util.find_spec(package) is None]
