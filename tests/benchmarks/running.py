"""Runs the commands of a case in turn, and keeps what was measured."""

from __future__ import annotations

import math
import os
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.benchmarks.cases import INPUT, OUTPUT, TRUTH, Case, Command
from tests.benchmarks.files import File
from tests.benchmarks.measure import Measured, measure

ROOT = Path(__file__).parents[2]


@dataclass
class Timing:
    """All measured runs of one command."""

    command: Command
    runs: list[Measured] = field(default_factory=list)
    failure: str = ""
    """Why there is no result, or why it is not to be believed."""

    def median(self, what: str = "seconds") -> float | None:
        """The median of a figure; None where a run failed."""
        return statistics.median(getattr(run, what) for run in self.runs) if self.runs and not self.failure else None

    @property
    def peak(self) -> int | None:
        """Bytes, of the run that took most."""
        return max(run.peak for run in self.runs) if self.runs and not self.failure else None


@dataclass
class Outcome:
    """One case, measured."""

    case: Case
    timings: list[Timing]
    """The tool's first."""

    def ratio(self, timing: Timing) -> float | None:
        """The tool's time by another one's, each for a byte where the files differ in size."""
        ours, theirs = self.timings[0].median(), timing.median()
        if not ours or not theirs:
            return None
        mine, other = self.timings[0].command.file, timing.command.file
        return ours / theirs * (other.size / mine.size if mine and other and timing.command.per_byte else 1)


def run_case(case: Case, runs: int, paths: dict[File, Path], folder: Path) -> Outcome:
    """Run all commands `runs` times after a warm-up, which also compares results; one run is its own warm-up."""
    timings = [Timing(command) for command in case.commands]
    results = [folder / f"result-{place}.npy" for place in range(len(timings))]
    try:
        for number in range(runs + (runs > 1)):
            for timing, result in zip(timings, results, strict=True):
                if not timing.failure and not timings[0].failure:
                    run(timing, paths, result)
                    if number == 0 and timing.command.agrees is not None and not timing.failure:
                        timing.failure = disagreement(timing.command.agrees, results[0], result)
            if number == 0 and runs > 1:
                for timing in timings:
                    timing.runs.clear()
    finally:
        for result in results:
            result.unlink(missing_ok=True)
    return Outcome(case, timings)


def run(timing: Timing, paths: dict[File, Path], result: Path) -> None:
    """Run one command once."""
    file, truth = timing.command.file, timing.command.truth
    words = {INPUT: str(paths[file]) if file else "", OUTPUT: str(result), TRUTH: str(paths[truth]) if truth else ""}
    os.sync()  # else the disk still writes what the command before left to it
    measured = measure([sys.executable, *(words.get(word, word) for word in timing.command.words)], ROOT)
    timing.failure = measured.failure()
    if not timing.failure and timing.command.says_seconds:
        measured.seconds = float(measured.stdout)
    timing.runs.append(measured)


def disagreement(allowed: float, ours: Path, theirs: Path) -> str:
    """How two results differ, if they do. The scripts write soft and hard in two rows, the tool writes soft alone."""
    try:
        difference = largest_difference(np.load(ours), np.load(theirs))
    except (OSError, ValueError) as error:
        return f"cannot be compared: {error}"
    return "" if difference <= allowed else f"differs from softargmax by {difference:.2g} index units"


def largest_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Index units between two soft argmaxes; infinite where shapes differ or one has a NaN."""
    theirs = theirs[0] if theirs.ndim == ours.ndim + 1 else theirs
    if ours.shape != theirs.shape:
        return math.inf
    difference = float(np.abs(ours - theirs).max())
    return math.inf if math.isnan(difference) else difference
