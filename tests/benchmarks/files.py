"""The input files: what is in them, where they lie, whether they are there already.

They are made by a process of its own (making.py), so that the one that measures loads no NumPy.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ITEM_SIZE = {"float16": 2, "float32": 4, "float64": 8}
CELL = 12
"""Characters of a CSV's cell: `0.`, nine digits, a comma or the end of the line."""
BIG = 500_000_000
"""Bytes from which a file is not left lying about."""
SPARE = 1_000_000_000
"""Bytes of the disk that no file may take."""
PIECE = 4_000_000
PREFIX = "scores-"
MAKING = ".making"


@dataclass(frozen=True)
class File:
    """Uniform random scores in [0, 1), in row-major order of `shape`; the same for every layout and run."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    layout: str = "rows"
    """rows; fortran: the same array stored by columns; transposed: that, as an array of the reversed shape; csv."""

    @property
    def name(self) -> str:
        """Says all that is in it."""
        shape = "x".join(map(str, self.shape))
        return f"{PREFIX}{shape}.csv" if self.layout == "csv" else f"{PREFIX}{self.dtype}-{self.layout}-{shape}.npy"

    @property
    def size(self) -> int:
        """Bytes of the scores, without an .npy header."""
        return math.prod(self.shape) * (CELL if self.layout == "csv" else ITEM_SIZE[self.dtype])


def provide(file: File, folder: Path) -> Path:
    """Make a file where it is missing or not what it should be, and have it in the cache.

    Raises OSError where the disk is too small or the file cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / file.name
    if not path.exists() and shutil.disk_usage(folder).free < file.size + SPARE:
        raise OSError(f"not enough room for a file of {file.size / 1e9:.1f} GB; choose another --folder, or --quick")
    description = [file.layout, file.dtype, *map(str, file.shape)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.making", os.fspath(path.resolve()), *description],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    if done.returncode:
        raise OSError(f"cannot make {file.name}: {done.stderr.strip().splitlines()[-1:]}")
    with path.open("rb", buffering=0) as opened:
        buffer = bytearray(PIECE)
        while opened.readinto(buffer):
            pass
    return path


def discard(file: File, folder: Path) -> None:
    """Delete a file if it is there."""
    (folder / file.name).unlink(missing_ok=True)


def clean(folder: Path) -> int:
    """Delete all that any run may have left, and the folder if nothing else is in it; how many files those were."""
    if not folder.is_dir():
        return 0
    left = [path for path in folder.iterdir() if path.name.startswith((PREFIX, "result-")) and path.is_file()]
    for path in left:
        path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
    return len(left)
