"""What is compared with what, and the ratios to reach."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.benchmarks.files import File

HERE = Path(__file__).parent
INPUT, OUTPUT, TRUTH = "{input}", "{output}", "{truth}"
"""In a command: the file to read, the file to write, and a number for each slice."""

SCALES = {"full": 1, "quick": 50, "tiny": 2500}
"""By how much the files are smaller than those the ratios are meant for."""
LEAST_ROWS = 40

SAME = 6e-5
"""Index units between two layouts of one array: twice the tool's own bound, 1e-6 (1 + spread), at 100 columns."""
CLOSE = 1e-2
"""Index units between the tool and a script in single precision: softmax(100 x) itself is that far off."""


@dataclass(frozen=True)
class Command:
    """A command to time, and how its time and its result compare with the tool's."""

    label: str
    words: tuple[str, ...]
    """What follows the interpreter."""
    file: File | None = None
    at_most: float | None = None
    """The ratio to reach: the tool's seconds by this one's, each for a byte where their files differ in size."""
    agrees: float | None = None
    """How far its result may be from the tool's, in index units; None where the two answer different questions."""
    needs: str = ""
    """The package without which it is left out."""
    truth: File | None = None
    says_seconds: bool = False
    """True where it prints its own time, without the interpreter's start."""
    per_byte: bool = True
    """True where times are compared for a byte each if the files differ in size."""


@dataclass(frozen=True)
class Case:
    """The tool, and what it is compared with."""

    name: str
    title: str
    tool: Command
    beside: tuple[Command, ...] = ()
    peak: int | None = None
    """Bytes of memory to stay below."""

    @property
    def commands(self) -> list[Command]:
        """The tool, and the commands that can run here."""
        installed = [one for one in self.beside if not one.needs or importlib.util.find_spec(one.needs)]
        return [self.tool, *installed]

    @property
    def files(self) -> list[File]:
        """Each file once."""
        named = [file for command in self.commands for file in (command.file, command.truth)]
        return [file for file in dict.fromkeys(named) if file]


def tool(file: File, *options: str, label: str = "softargmax", command: str = "run", **more: Any) -> Command:
    """A command of ours that writes a file."""
    words = ("-m", "softargmax_cli", command, INPUT, *options, "-o", OUTPUT, "--force", "--quiet")
    return Command(label, words, file, **more)


def script(name: str) -> Callable[..., Command]:
    """A script of `peers`, which imports the package that it is called after."""

    def command(file: File, at_most: float | None = None) -> Command:
        words = (str(HERE / "peers" / f"{name.lower()}_script.py"), INPUT, OUTPUT)
        return Command(name, words, file, at_most, CLOSE, name.lower())

    return command


tensorflow, numpy, jax, polars = map(script, ("TensorFlow", "NumPy", "JAX", "polars"))


def own(name: str, label: str, *words: str, **more: Any) -> Command:
    """A script of this folder that prints its own seconds."""
    return Command(label, (str(HERE / f"{name}.py"), *words), says_seconds=True, **more)


def reader(file: File, threads: int) -> Command:
    """The machine's own bandwidth."""
    words = (str(HERE / "bandwidth.py"), INPUT, str(threads))
    return Command(f"reading alone, threads: {threads}", words, file, says_seconds=True)


def all_cases(size: str) -> list[Case]:
    """Every comparison, with files of a size that SCALES names."""

    def rows(full: int) -> int:
        return max(full // SCALES[size], LEAST_ROWS)

    small, medium = File((3, 4)), File((rows(100_000), 100))
    large, larger = File((rows(5_000_000), 100)), File((rows(20_000_000), 100))
    double, half = File((rows(2_500_000), 100), "float64"), File((rows(10_000_000), 100), "float16")
    transposed, fortran = replace(large, layout="transposed"), replace(large, layout="fortran")
    flat, text = File((rows(500_000_000),)), File((rows(833_000), 100), layout="csv")
    many = File((max(1000 // SCALES[size], 2), 3, 4), layout="folder")
    maps = File((rows(4_800), 17, 64, 48))
    joined = replace(maps, shape=(*maps.shape[:2], math.prod(maps.shape[2:])))
    version = Command("softargmax", ("-m", "softargmax_cli", "--version"))
    return [
        Case("version", "`--version`", version, (Command("`import typer`", ("-c", "import typer"), at_most=2),)),
        Case("small", shown(small), tool(small), (tensorflow(small, 0.12), numpy(small, 5), jax(small))),
        Case("40mb", shown(medium), tool(medium), (tensorflow(medium), numpy(medium), jax(medium))),
        Case("2gb", shown(large), tool(large), (tensorflow(large, 0.08), numpy(large, 0.35), jax(large, 0.30))),
        Case("bandwidth", f"{shown(large)}, bandwidth", tool(large), (reader(large, 1), reader(large, 2))),
        Case("8gb", shown(larger), tool(larger), (tool(large, label="2 GB", at_most=1.15),), peak=800_000_000),
        Case(
            "steady",
            "6 GB beyond the start",
            own("steady", "softargmax", "tool", TRUTH, truth=larger),
            (own("steady", "the kernel alone", "kernel", TRUTH, truth=larger, at_most=1 / 0.7),),
        ),
        Case(
            "files",
            f"{many.shape[0]:,} files of 3 × 4",
            Command("softargmax", ("-m", "softargmax_cli", "run", INPUT, "--format", "csv", "--quiet"), many),
            (tool(small, label="one of them", at_most=10, per_byte=False),),
        ),
        *[
            Case(
                f"function-{how}",
                f"`softargmax(x)` and gradient, {how}",
                own("function", "softargmax", "softargmax", how),
                (own("function", "softmax and einsum", "formula", how, at_most=1.5),),
            )
            for how in ("graph", "xla")
        ],
        Case(
            "axis0",
            f"{shown(transposed)}, axis 0",
            tool(transposed, "--axis", "0"),
            (tool(large, label="last axis of the same scores", at_most=1.4, agrees=SAME),),
        ),
        Case(
            "fortran",
            f"{shown(fortran)}, Fortran order",
            tool(fortran),
            (tool(large, label="last axis of the same scores", agrees=SAME),),
        ),
        Case(
            "heatmaps",
            f"{shown(maps)}, two axes",
            tool(maps, "--axis", "-2,-1"),
            (tool(joined, label="one axis of the same scores", at_most=1.2),),
        ),
        Case(
            "window",
            f"{shown(maps)}, two axes, window ±4",
            tool(maps, "--axis", "-2,-1", "--window", "4"),
            (tool(maps, "--axis", "-2,-1", label="no window", at_most=1.5),),
        ),
        Case("float64", shown(double), tool(double), (numpy(double),)),
        Case("float16", shown(half), tool(half), (numpy(half),)),
        Case(
            "weights",
            f"{shown(large)}, weights",
            tool(large, command="weights"),
            (replace(numpy(large, 0.5), words=(*numpy(large).words, "weights"), agrees=None),),
        ),
        Case(
            "evaluate",
            f"{shown(large)}, evaluate",
            replace(tool(large, "--truth", TRUTH, command="evaluate"), truth=File((large.shape[0],))),
            (tool(large, label="run", at_most=1.3),),
        ),
        Case("flat", shown(flat), tool(flat)),
        Case("csv", shown(text), tool(text), (polars(text, 1.0),)),
        Case(
            "sweep",
            f"{shown(large)}, sweep of 13 β",
            tool(large, "--format", "csv", command="sweep"),
            (tool(large, label="run", at_most=8),),
        ),
    ]


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
