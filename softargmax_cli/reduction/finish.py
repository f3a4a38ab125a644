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
        defined = state.mass > 0
        hard = np.where(defined, state.hard[0], -1)
        offset = np.where(defined, state.moment[0] / state.mass, np.nan)
        spread = entropy = ties = None
        if state.second_moment is not None:
            spread = np.sqrt(np.maximum(state.second_moment[0] / state.mass - offset**2, 0.0))
        if state.log_moment is not None:
            entropy = np.maximum(np.log(state.mass) - state.log_moment / state.mass, 0.0)
            entropy = np.where(defined, entropy, np.nan)
        if state.ties is not None:
            ties = np.where(defined, state.ties, 0).astype(np.int64)
        return Slices(
            start=start,
            hard=hard,
            soft=hard + offset,
            offset=offset,
            peak=np.where(defined, 1 / state.mass, np.nan),
            agree=np.abs(offset) < 0.5,
            spread=spread,
            entropy=entropy,
            ties=ties,
            ids=ids,
        )
