"""Runs the commands of a case in turn, and keeps what was measured."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.cases import INPUT, OUTPUT, Case, Subject
from tests.benchmarks.files import File
from tests.benchmarks.measure import measure

ROOT = Path(__file__).parents[2]
SLOW = 10.0
"""Seconds of one run from which FEWER runs have to do."""
FEWER = 3


@dataclass
class Timing:
    """All measured runs of one command."""

    subject: Subject
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    failure: str | None = None
    """Why there is no result, or why it is not to be believed."""

    @property
    def median(self) -> float | None:
        """Seconds; None where a run failed."""
        return statistics.median(self.seconds) if self.seconds and not self.failure else None

    @property
    def peak(self) -> int | None:
        """Bytes, of the run that took most."""
        return max(self.peaks) if self.peaks and not self.failure else None

    @property
    def median_processor(self) -> float | None:
        """Seconds of all threads."""
        return statistics.median(self.processor) if self.processor and not self.failure else None


@dataclass
class Outcome:
    """One case, measured."""

    case: Case
    timings: list[Timing]
    """The tool's first."""
    runs: int = 0

    def ratio(self, timing: Timing) -> float | None:
        """The tool's time by another one's."""
        ours, theirs = self.timings[0].median, timing.median
        if not ours or not theirs:
            return None
        if timing.subject.per_byte:
            return (ours / self.timings[0].subject.file.size) / (theirs / timing.subject.file.size)
        return ours / theirs

    @property
    def failed(self) -> bool:
        """Whether any command failed or found something else than the tool."""
        return any(timing.failure for timing in self.timings)


def run_case(
    case: Case, runs: int, paths: dict[File, Path], folder: Path, progress: Callable[[int, int, float], None]
) -> Outcome:
    """A warm-up, which also compares the results, then `runs` rounds; a single run is its own warm-up.

    progress(rounds done, of how many, seconds of the last one) is called after each.
    """
    outcome = Outcome(case, [Timing(subject) for subject in case.subjects], runs)
    warm_up = int(runs > 1)
    done = 0
    try:
        while done < outcome.runs + warm_up and not outcome.timings[0].failure:
            options = {"keep": done >= warm_up, "first": done == 0}
            spent = [_one_run(outcome, place, paths, folder, **options) for place in _able(outcome)]
            done += 1
            if done == 1 + warm_up and max(spent) > SLOW:
                outcome.runs = min(runs, FEWER)
            progress(done, outcome.runs + warm_up, sum(spent))
    finally:
        for place in range(len(outcome.timings)):
            _result(folder, place).unlink(missing_ok=True)
    return outcome


def _able(outcome: Outcome) -> Iterator[int]:
    """Places of the commands that have not failed; none after a tool that has."""
    for place, timing in enumerate(outcome.timings):
        if not timing.failure and not outcome.timings[0].failure:
            yield place


def _one_run(outcome: Outcome, place: int, paths: dict[File, Path], folder: Path, *, keep: bool, first: bool) -> float:
    """Run one command of a case; the seconds it took."""
    timing = outcome.timings[place]
    subject = timing.subject
    words = {INPUT: str(paths[subject.file]) if subject.file else "", OUTPUT: str(_result(folder, place))}
    measured = measure([sys.executable, *(words.get(word, word) for word in subject.command)], ROOT)
    timing.failure = measured.failure()
    if timing.failure is None and keep:
        timing.seconds.append(float(measured.stdout) if subject.says_seconds else measured.seconds)
        timing.processor.append(measured.processor)
        timing.peaks.append(measured.peak)
    if timing.failure is None and first and subject.agrees is not None:
        timing.failure = _disagreement(subject.agrees, _result(folder, 0), _result(folder, place))
    return measured.seconds


def _disagreement(allowed: float, ours: Path, theirs: Path) -> str | None:
    """How two results differ, if they do."""
    compared = measure([sys.executable, "-m", "tests.benchmarks.agreement", ours, theirs], ROOT)
    if compared.code:
        return f"cannot be compared: {compared.failure()}"
    difference = float(compared.stdout)
    return None if difference <= allowed else f"differs from softargmax by {difference:.2g} index units"


def _result(folder: Path, place: int) -> Path:
    """Where a command writes; one name for each place in a case."""
    return folder / f"result-{place}.npy"
