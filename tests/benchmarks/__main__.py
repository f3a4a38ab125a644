"""python -m tests.benchmarks: makes the files, runs everything in turn, prints a table."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.cases import SCALES, Case, all_cases, missing
from tests.benchmarks.files import BIG, clean, discard, provide
from tests.benchmarks.machine import describe
from tests.benchmarks.running import Outcome, run_case
from tests.benchmarks.table import render

PEERS = ("tensorflow", "numpy", "jax", "polars")
MAKING = 5.0
"""Seconds to make and read a file of 1 GB; only for the time left."""


class Progress:
    """Lines on stderr: where we are, and about how long it will take."""

    def __init__(self, cases: Sequence[Case], runs: int) -> None:
        self.guesses = [case.guess(runs + (runs > 1)) + _making(case) for case in cases]
        self.began = time.monotonic()
        self.pace = 1.0
        self.number = -1

    def start(self, case: Case) -> None:
        """The next case."""
        self.number += 1
        guessed = sum(self.guesses[: self.number])
        self.pace = (time.monotonic() - self.began) / guessed if guessed else 1.0
        files = ", ".join(file.name for file in case.files())
        self._say(
            f"{case.name}: {'preparing ' + files if files else 'no files'}", self.pace * self.guesses[self.number]
        )

    def round(self, done: int, rounds: int, seconds: float) -> None:
        """One round of the current case is over."""
        self._say(f"round {done} of {rounds} took {seconds:.1f} s", (rounds - done) * seconds)

    def _say(self, text: str, left: float) -> None:
        left += self.pace * sum(self.guesses[self.number + 1 :])
        about = f"{left / 60:.0f} min" if left > 90 else f"{left:.0f} s"
        print(f"[{self.number + 1}/{len(self.guesses)}] {text}; about {about} left", file=sys.stderr, flush=True)


def _making(case: Case) -> float:
    return MAKING * sum(file.size for file in case.files()) / 1e9


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    names = [case.name for case in all_cases("full")]
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"cases: {', '.join(names)}")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS, help="scripts to run; default: all")
    parser.add_argument("--runs", type=int, default=5, help="for each median, after a warm-up; 1: without one")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--sizes", choices=SCALES, default="full", help="of the files; ratios are meant for full")
    size.add_argument("--quick", action="store_const", dest="sizes", const="quick", help="files of a 50th")
    default = Path(tempfile.gettempdir(), "softargmax-benchmarks")
    parser.add_argument(
        "--folder",
        type=lambda name: Path(name).resolve(),
        default=default,
        help="for the files; default: a temporary one",
    )
    parser.add_argument("--keep", action="store_true", help="keep the large files too (20 GB)")
    parser.add_argument("--clean", action="store_true", help="delete what earlier runs kept, and do nothing else")
    chosen = parser.parse_args(arguments)
    if chosen.runs < 1:
        parser.error("--runs is at least 1")
    return chosen


def choose(options: argparse.Namespace) -> list[Case]:
    """The cases that were asked for, without the peers that were not, or that are not installed."""
    cases = []
    for case in all_cases(options.sizes):
        if options.only and case.name not in options.only:
            continue
        welcome = [
            subject
            for subject in case.subjects
            if not missing([subject]) and all(need in options.peers for need in subject.needs if need in PEERS)
        ]
        cases.append(replace(case, subjects=tuple(welcome)))
    return cases


def run(cases: Sequence[Case], options: argparse.Namespace, outcomes: list[Outcome]) -> None:
    """Every case in order; large files go after the last case that needs them."""
    progress = Progress(cases, options.runs)
    try:
        for number, case in enumerate(cases):
            progress.start(case)
            paths = {file: provide(file, options.folder) for file in case.files()}
            outcomes.append(run_case(case, options.runs, paths, options.folder, progress.round))
            _discard_big(case, cases[number + 1 :], options)
    finally:
        for case in cases:
            _discard_big(case, [], options)


def _discard_big(case: Case, later: Sequence[Case], options: argparse.Namespace) -> None:
    needed = {file for other in later for file in other.files()}
    for file in case.files():
        if file.size >= BIG and file not in needed and not options.keep:
            discard(file, options.folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """0; 1 where a command failed or disagreed; 2 where a file could not be made; 130 interrupted."""
    options = parse(arguments)
    if options.clean:
        print(f"deleted {clean(options.folder)} files", file=sys.stderr)
        return 0
    cases = choose(options)
    absent = missing([subject for case in all_cases(options.sizes) for subject in case.subjects])
    if absent:
        print(f"not installed, left out: {', '.join(absent)} (pip install -e '.[bench]')", file=sys.stderr)
    print(describe(), end="\n\n", flush=True)
    outcomes: list[Outcome] = []
    code = 0
    try:
        options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        run(cases, options, outcomes)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted; what was measured:", file=sys.stderr)
        code = 130
    print(render(outcomes))
    return code or int(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
