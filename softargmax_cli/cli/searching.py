"""From an input to what every β does to it, and to the smallest that is good enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from softargmax_cli.errors import OptionError

if TYPE_CHECKING:
    from softargmax_cli.cli.asking import Inputs, Reduction
    from softargmax_cli.files.replay import Replay
    from softargmax_cli.reduction.result import Run, Traded

LOW, HIGH, COUNT = 0.1, 1e5, 13
"""The β that are tried where nobody says which: two for each power of ten, the default of 100 among them."""
SHARE = 4
"""The part of the memory that slices may take which are kept."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What was found of one input."""

    run: Run
    """Without a β."""
    traded: Traded
    recommended: float | None
    """The smallest β within the tolerance; None where there is none."""
    unbounded: bool
    """Whether smaller ones might do, too."""
    notes: Sequence[str]


def swept(
    inputs: Inputs,
    name: str,
    replay: Replay,
    betas: Sequence[float] | None,
    tolerance: float,
    *,
    bar: bool = True,
) -> Swept:
    """What each of `betas` does, in one pass, and the smallest within the tolerance.

    betas: None for the usual ones, below which it is searched further. Between them it takes no further pass where the
    slices that matter there are few enough to be kept.
    """
    from softargmax_cli.reduction.search import Search, spaced
    from softargmax_cli.reduction.suspects import Suspects
    from softargmax_cli.reduction.trade import trade, trading
    from softargmax_cli.reduction.weighing import finest_of

    trading_off = partial(trade, finest=tolerance)
    tried = spaced(LOW, HIGH, COUNT) if betas is None else betas

    def largest(traded: Traded) -> dict[float, float]:
        return {at.beta: at.max_abs_offset for at in traded.betas}

    with inputs.opened(name, {"offset"}, bar=bar, needs=trading(tried), replay=replay) as reduction:
        _refuse_below(finest_of(reduction.problem), tolerance, reduction)
        suspects = Suspects(tolerance, tried, reduction.memory // SHARE)
        (traded,) = reduction.through(partial(trading_off, betas=tried, full=True, suspects=suspects))
        run, notes = reduction.run, reduction.notes
        search = Search(largest(traded), tolerance, below=betas is None)
        while (wanted := search.wanted()) and (slices := suspects.above(wanted[0])) is not None:
            (more,) = reduction.of(slices).through(partial(trading_off, betas=wanted, full=False))
            search.learn(largest(more))
    while wanted := search.wanted():
        with inputs.opened(name, {"offset"}, bar=bar, needs=trading(wanted), replay=replay) as again:
            (more,) = again.through(partial(trading_off, betas=wanted, full=False))
            search.learn(largest(more))
    return Swept(replace(run, beta=None), traded, search.answer, search.unbounded, notes)


def _refuse_below(finest: float, tolerance: float, reduction: Reduction) -> None:
    """Raise OptionError for a tolerance so small that no sums tell whether an offset is within it."""
    if tolerance >= finest:
        return
    least = f"1e{math.ceil(math.log10(finest)):+03d}"
    single = reduction.problem.precision.itemsize == 4
    what = f"{reduction.run.input}: --tol {tolerance:g}: smaller offsets than {least} are not told from none"
    where, double = (" in single precision", ", or --precision double") if single else ("", "")
    raise OptionError(what + where, f"give --tol {least} or more{double}")


def found_beta(
    inputs: Inputs, name: str, replay: Replay, tolerance: float, usual: float, *, bar: bool
) -> tuple[float, str]:
    """The smallest β within the tolerance, and what there is to say of it; the `usual` where no slice has an answer.

    Raises OptionError where there is none.
    """
    done = swept(inputs, name, replay, None, tolerance, bar=bar)
    if done.traded.slices == done.traded.undefined:
        return usual, f"no slice has an answer, so β stays {usual:.10g}"
    if done.recommended is None:
        last = done.traded.betas[-1]
        raise OptionError(
            f"{done.run.input}: --beta auto: no β up to {last.beta:g} keeps soft within {tolerance:g} of hard: "
            f"at {last.beta:g} it lies {last.max_abs_offset:.4g} off",
            "slices with tied or nearly tied maxima never agree: see softargmax sweep, raise --tol, or give a number",
        )
    return done.recommended, f"β {done.recommended:.10g} keeps soft within {tolerance:g} of hard"
