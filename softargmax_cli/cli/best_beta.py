"""Sweep over an input, and search for the smallest β that is good enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from softargmax_cli.errors import OptionError, parameter

if TYPE_CHECKING:
    from softargmax_cli.cli.pipeline import Inputs
    from softargmax_cli.files.registry import Replay
    from softargmax_cli.reduction.check import Allowance
    from softargmax_cli.reduction.result import Run
    from softargmax_cli.reduction.sweep import Swept

LOW, HIGH, COUNT = 0.1, 1e5, 13
"""The β that are tried where nobody says which: two for each power of ten, the default of 100 among them."""


@dataclass(frozen=True, slots=True)
class Found:
    """The sweep over one input, and the β that it recommends."""

    run: Run
    """Without a β."""
    swept: Swept
    recommended: float | None
    """The smallest β within the tolerance; None where there is none."""
    unbounded: bool
    """True where smaller ones might do, too."""
    notes: Sequence[str]


def sweep_input(
    inputs: Inputs,
    name: str,
    replay: Replay,
    betas: Sequence[float] | None,
    tolerance: float,
    *,
    allowance: Allowance | None = None,
    bar: bool = True,
) -> Found:
    """Measure `betas` in one pass, and bisect in a few more for the smallest within the tolerance.

    betas: None for the usual ones, below which it is searched further. allowance: how many slices may fail a check;
    without one, none that has an answer. The β found has passed the reduction of `run` and `check` itself.
    """
    from softargmax_cli.reduction.check import Allowance, Check, within
    from softargmax_cli.reduction.result import Summary
    from softargmax_cli.reduction.search import Search, spaced
    from softargmax_cli.reduction.sweep import needs_of, sweep

    tried = spaced(LOW, HIGH, COUNT) if betas is None else betas

    def measured(wanted: Sequence[float], *, full: bool) -> tuple[Swept, Run, Sequence[str]]:
        with inputs.opened(name, {"offset"}, bar=bar, needs=needs_of(wanted, full=full), replay=replay) as reduction:
            limit = None if allowance is None else tolerance
            (swept,) = reduction.through(partial(sweep, betas=wanted, full=full, tolerance=limit))
            return swept, reduction.run, reduction.notes

    def largest(swept: Swept) -> dict[float, float]:
        """Return the largest |offset| at each β, of which those count as 0 that are allowed."""
        if allowance is None:
            return {at.beta: at.max_abs_offset for at in swept.betas}
        may = allowance.of(swept.slices)
        return {at.beta: 0.0 if n <= may else math.inf for at, n in zip(swept.betas, swept.outside, strict=True)}

    swept, run, notes = measured(tried, full=True)
    search = Search(largest(swept), tolerance, below=betas is None)
    while True:
        while wanted := search.wanted():
            more, _, _ = measured(wanted, full=False)
            search.learn(largest(more))
        answer = search.answer
        if answer is None:
            break
        summary, check = Summary(), Check(within(tolerance), allowance or Allowance(), 1)
        with inputs.opened(name, {"offset"}, bar=bar, replay=replay, beta=answer) as reduction:
            for slices in reduction:
                summary.add(slices)
                check.add(slices)
        if summary.max_abs_offset <= tolerance if allowance is None else check.verdict().passed:
            break
        search.refute(answer)
    return Found(replace(run, beta=None), swept, answer, search.unbounded, notes)


def found_beta(
    inputs: Inputs, name: str, replay: Replay, tolerance: float, usual: float, *, bar: bool
) -> tuple[float, str]:
    """Find the smallest β within the tolerance, and say so; the `usual` one where no slice has an answer.

    Raises OptionError where there is none.
    """
    found = sweep_input(inputs, name, replay, None, tolerance, bar=bar)
    if found.swept.slices == found.swept.undefined:
        return usual, f"no slice has an answer, so β stays {usual:.10g}"
    if found.recommended is None:
        last = found.swept.betas[-1]
        raise OptionError(
            f"{found.run.input}: {parameter('beta', 'auto')}: no β up to {last.beta:g} keeps soft within {tolerance:g} "
            f"of hard: at {last.beta:g} it lies {last.max_abs_offset:.4g} off",
            "slices with tied or nearly tied maxima never agree: see softargmax sweep, "
            f"raise {parameter('tol')}, or give a number",
        )
    return found.recommended, f"β {found.recommended:.10g} keeps soft within {tolerance:g} of hard"
