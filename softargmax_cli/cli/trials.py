"""`softargmax sweep --truth`: which β, and which window, brings soft closest to the truth."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

from softargmax_cli.cli.sweep import Shown, format_of, listed, put

if TYPE_CHECKING:
    from softargmax_cli.cli.pipeline import Asked, Inputs
    from softargmax_cli.reduction.result import Run
    from softargmax_cli.reduction.trials import Trials


def try_file(
    name: str,
    asked: Asked,
    betas: Sequence[float] | None,
    windows: Sequence[int | None],
    truth: str,
    shown: Shown,
) -> int:
    """Try β within windows on one input and show them; 0, or 2 where it cannot be used.

    betas: None for the usual ones. Raises OptionError where options contradict each other.
    """
    from softargmax_cli.cli.best_beta import COUNT, HIGH, LOW
    from softargmax_cli.cli.destinations import spare_inputs
    from softargmax_cli.cli.pipeline import for_each
    from softargmax_cli.cli.references import refuse_same
    from softargmax_cli.reduction.search import spaced

    format, tried = format_of(shown), spaced(LOW, HIGH, COUNT) if betas is None else betas
    refuse_same("truth", truth, name)
    spare_inputs([shown.output], [name], truth, *asked.files)
    asked = replace(asked, window=windows[0])

    def work(inputs: Inputs, name: str) -> int:
        from softargmax_cli.files.writers.atomic import open_target

        with ExitStack() as stack:
            numbers = None
            if format != "table":
                numbers = open_target(shown.output or "-", force=shown.force)
                stack.callback(numbers.abort)  # of no effect once it is committed
            trials, run = _tried(inputs, name, tried, windows, truth, asked)
            if numbers is not None:
                put(numbers, _text(trials, format))
        _say(name, trials, run, asked, shown, format)
        return 0

    return for_each([name], asked, work)


def _tried(
    inputs: Inputs, name: str, betas: Sequence[float], windows: Sequence[int | None], truth: str, asked: Asked
) -> tuple[Trials, Run]:
    """Compare one input with the truth at every β within every window; say its notes."""
    from softargmax_cli.cli.pipeline import say_notes
    from softargmax_cli.errors import parameter
    from softargmax_cli.files.expected import truth as opened_truth
    from softargmax_cli.files.temporary import scratch
    from softargmax_cli.reduction.trials import compare, needs_of

    with inputs.opened(name, {"offset"}, needs=needs_of(betas, windows)) as reduction:
        run, source = reduction.run, reduction.source
        with opened_truth(truth, run.kept, run.axes, source.facts.id_column) as stored:
            if stored.note:
                reduction.notes.append(f"{parameter('truth')}: {stored.note}")
            work = partial(compare, betas=betas, windows=windows, truth=stored, rows=lambda: source.rows)
            (trials,) = reduction.through(work, scratch=scratch)
            stored.end()
    if not asked.quiet:
        say_notes(reduction)
    window = None if len(windows) > 1 else windows[0]
    return trials, replace(reduction.run, beta=None, window=window)


def _text(trials: Trials, format: str) -> str:
    best = trials.best
    beta, window = (None, None) if best is None else (best.beta, best.window)
    rows = [asdict(trial) for trial in trials.trials]
    return listed(rows, format, hard_error=trials.hard_error, best_beta=beta, best_window=window)


def _say(name: str, trials: Trials, run: Run, asked: Asked, shown: Shown, format: str) -> None:
    """Print the table; where numbers have been written, its last line alone, to standard error."""
    from softargmax_cli.cli.advice import run_with
    from softargmax_cli.report.trials import put_trials, verdict

    best = trials.best
    command = [] if best is None else [*run_with(name, replace(asked, window=best.window), best.beta)]
    if format == "table":
        put_trials(trials, run, command, sys.stdout)
    elif shown.output not in (None, "-") and not asked.quiet:
        for line in verdict(trials, command, sys.stderr):
            print(line, file=sys.stderr)
