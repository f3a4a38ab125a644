"""python -m tests.benchmarks: makes the files, runs everything in turn, prints a table."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.cases import SCALES, all_cases
from tests.benchmarks.files import provide
from tests.benchmarks.running import Outcome, run_case
from tests.benchmarks.table import describe, render


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    names = [case.name for case in all_cases("full")]
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"cases: {', '.join(names)}")
    parser.add_argument("--runs", type=int, default=5, help="for each median, after a warm-up; 1: without one")
    parser.add_argument("--sizes", choices=SCALES, default="full", help="of the files; ratios are meant for full")
    parser.add_argument("--folder", type=Path, help="keep the files there (22 GB); default: a temporary one")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, folder: Path, outcomes: list[Outcome]) -> None:
    """Run every case in order; without --folder a file goes after the last case that needs it."""
    cases = [case for case in all_cases(options.sizes) if not options.only or case.name in options.only]
    for number, case in enumerate(cases):
        print(f"[{number + 1}/{len(cases)}] {case.name}", file=sys.stderr, flush=True)
        paths = {file: provide(file, folder) for file in case.files}
        outcomes.append(run_case(case, options.runs, paths, folder))
        for file in case.files:
            if not options.folder and not any(file in later.files for later in cases[number + 1 :]):
                shutil.rmtree(paths[file]) if paths[file].is_dir() else paths[file].unlink()


def main(arguments: Sequence[str] | None = None) -> int:
    """0; 1 where a command failed or disagreed; 2 where a file could not be made; 130 interrupted."""
    options = parse(arguments)
    print(describe(), end="\n\n", flush=True)
    outcomes: list[Outcome] = []
    code = 0
    try:
        with tempfile.TemporaryDirectory(prefix="softargmax-benchmarks-") as temporary:
            folder = (options.folder or Path(temporary)).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            run(options, folder, outcomes)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted; what was measured:", file=sys.stderr)
        code = 130
    print(render(outcomes, options.runs, scaled=options.sizes != "full"))
    return code or int(any(timing.failure for outcome in outcomes for timing in outcome.timings))


if __name__ == "__main__":
    sys.exit(main())
