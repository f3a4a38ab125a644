"""From sums to answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.state import State


def finish(state: State, start: int, ids: Sequence[str] | None = None) -> Slices:
    """The result of slices over a complete axis; `start` is the row-major number of the first.

    A slice without weight, or a spoilt one, has no answer (see `result.Slices`).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        mass, hard = state.mass, state.hard[0]
        defined = mass > 0
        if not defined.all():
            mass, hard = np.where(defined, mass, np.nan), np.where(defined, hard, -1)
        offset = state.moment[0] / mass
        spread = entropy = ties = None
        if state.second_moment is not None:
            spread = np.sqrt(np.maximum(state.second_moment[0] / mass - offset**2, 0.0))
        if state.log_moment is not None:
            entropy = np.maximum(np.log(mass) - state.log_moment / mass, 0.0)
        if state.ties is not None:
            ties = np.where(defined, state.ties, 0).astype(np.int64)
        return Slices(
            start=start,
            hard=hard,
            soft=hard + offset,
            offset=offset,
            peak=1 / mass,
            agree=np.abs(offset) < 0.5,
            spread=spread,
            entropy=entropy,
            ties=ties,
            ids=ids,
        )
