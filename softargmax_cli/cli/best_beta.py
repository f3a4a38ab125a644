"""Find the β of an input: the smallest that keeps soft near hard, or the one that comes closest to the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from softargmax_cli.cli.arguments import allowance as parsed_allowance
from softargmax_cli.errors import OptionError, parameter

if TYPE_CHECKING:
    from softargmax_cli.cli.pipeline import Inputs
    from softargmax_cli.files.registry import Replay
    from softargmax_cli.reduction.result import Run
    from softargmax_cli.reduction.sweep import Trials
    from softargmax_cli.report.sweep import Sweep, TrialsReport

LOW, HIGH, COUNT = 0.1, 1e5, 13
"""The β that are tried where nobody says which: two for each power of ten, the default of 100 among them."""


def sweep_input(
    inputs: Inputs,
    name: str,
    replay: Replay,
    betas: Sequence[float] | None,
    tolerance: float,
    *,
    allow: str | None = None,
    bar: bool = True,
) -> Sweep:
    """Measure `betas` in one pass, and bisect in a few more for the smallest within the tolerance.

    betas: None for the usual ones, below which it is searched further. allow: how many slices may fail a check, as it
    was typed; without it, none that has an answer. The β found has passed the reduction of `run` and `check` itself.
    """
    from softargmax_cli.reduction.check import Allowance, Check, within
    from softargmax_cli.reduction.result import Summary
    from softargmax_cli.reduction.sweep import Search, needs_of, spaced, sweep
    from softargmax_cli.report.sweep import Sweep

    allowance = None if allow is None else Allowance(*parsed_allowance(allow))
    tried = spaced(LOW, HIGH, COUNT) if betas is None else betas

    def measured(wanted: Sequence[float], *, full: bool) -> tuple[Trials, Run, Sequence[str]]:
        needs = needs_of(len(wanted), full=full)
        with inputs.opened(name, {"offset"}, bar=bar, needs=needs, replay=replay) as reduction:
            (swept,) = reduction.through(partial(sweep, betas=wanted, full=full, tolerance=tolerance))
            return swept, reduction.run, reduction.notes

    def good(swept: Trials) -> dict[float, bool]:
        """Tell at which β no more slices than may lie further off."""
        if allowance is None:
            return {trial.beta: trial.max_abs_offset <= tolerance for trial in swept.trials}
        return {trial.beta: trial.outside <= allowance.of(swept.slices) for trial in swept.trials}

    swept, run, notes = measured(tried, full=True)
    search = Search(good(swept), below=betas is None)
    while True:
        while wanted := search.wanted():
            more, _, _ = measured(wanted, full=False)
            search.learn(good(more))
        answer = search.answer
        if answer is None:
            break
        summary, check = Summary(), Check(partial(within, tolerance=tolerance), allowance or Allowance(), 1)
        with inputs.opened(name, {"offset"}, bar=bar, replay=replay, beta=answer) as reduction:
            for slices in reduction:
                summary.add(slices)
                check.add(slices)
        if summary.max_abs_offset <= tolerance if allowance is None else check.passed:
            break
        search.learn({answer: False})
    return Sweep(replace(run, beta=None), notes, swept, tolerance, answer, search.unbounded, allow)


def found_beta(
    inputs: Inputs, name: str, replay: Replay, tolerance: float, usual: float, *, bar: bool
) -> tuple[float, str]:
    """Find the smallest β within the tolerance, and say so; the `usual` one where no slice has an answer.

    Raises OptionError where there is none.
    """
    found = sweep_input(inputs, name, replay, None, tolerance, bar=bar)
    if found.swept.slices == found.swept.undefined:
        return usual, f"no slice has an answer, so β stays {usual:.10g}"
    if found.beta is None:
        last = found.swept.trials[-1]
        raise OptionError(
            f"{found.run.input}: {parameter('beta', 'auto')}: no β up to {last.beta:g} keeps soft within {tolerance:g} "
            f"of hard: at {last.beta:g} it lies {last.max_abs_offset:.4g} off",
            "slices with tied or nearly tied maxima never agree (softargmax guide beta): "
            f"raise {parameter('tol')}, or give a number",
        )
    return found.beta, f"β {found.beta:.10g} keeps soft within {tolerance:g} of hard"


def try_input(
    inputs: Inputs, name: str, betas: Sequence[float] | None, windows: Sequence[int | None], truth: str
) -> TrialsReport:
    """Compare one input with the truth at every β within every window. betas: None for the usual ones."""
    from softargmax_cli.files.expected import truth as opened_truth
    from softargmax_cli.files.writers.atomic import scratch
    from softargmax_cli.reduction.sweep import needs_of, spaced, sweep
    from softargmax_cli.report.sweep import TrialsReport

    tried = spaced(LOW, HIGH, COUNT) if betas is None else betas
    with inputs.opened(name, {"offset"}, needs=needs_of(len(tried) * len(windows))) as reduction:
        run, source = reduction.run, reduction.source
        with opened_truth(truth, run.kept, run.axes, source.facts.id_column) as stored:
            if stored.note:
                reduction.notes.append(f"{parameter('truth')}: {stored.note}")
            work = partial(sweep, betas=tried, windows=windows, truth=stored, rows=lambda: source.rows)
            (trials,) = reduction.through(work, scratch=scratch)
            stored.end()
    window = None if len(windows) > 1 else windows[0]
    return TrialsReport(replace(reduction.run, beta=None, window=window), reduction.notes, trials)
