"""From sums to answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.coordinates import coordinate, step
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.spec import Problem
from softargmax_cli.reduction.state import State


def finish(
    state: State, problem: Problem, lengths: Sequence[int], start: int, ids: Sequence[str] | None = None
) -> Slices:
    """The result of slices over complete axes; `start` is the row-major number of the first.

    lengths: of the reduced axes, in the order of the coordinates. A slice without weight, or a spoilt one, has no
    answer (see `result.Slices`).
    """
    order = problem.order
    turn = slice(None) if order == sorted(order) else order
    with np.errstate(divide="ignore", invalid="ignore"):
        mass, hard = state.mass, state.hard[turn]
        defined = mass > 0
        if not defined.all():
            mass, hard = np.where(defined, mass, np.nan), np.where(defined, hard, -1)
        distance = state.moment[turn] / mass
        second = spread = entropy = ties = None
        about, scale = distance, np.ones((len(order), 1))
        if state.value_moment is not None and state.place is not None:
            offset = about = state.value_moment[turn] / mass
            soft = state.place[turn] + offset
        elif problem.coords == "index":
            offset, soft = distance, hard + distance
        else:
            scale = np.array([[step(problem.coords, n)] for n in lengths])
            centers = [coordinate(problem.coords, n, at) for n, at in zip(lengths, hard, strict=True)]
            offset = distance * scale
            soft = np.array(centers) + offset
        if state.second is not None:
            second = state.second / mass
        if state.second_moment is not None:
            spread = np.sqrt(np.maximum(state.second_moment[turn] / mass - about**2, 0.0)) * scale
        if state.log_moment is not None:
            entropy = np.maximum(np.log(mass) - state.log_moment / mass, 0.0)
        if state.ties is not None:
            ties = np.where(defined, state.ties, 0).astype(np.int64)
        return Slices(
            start=start,
            hard=hard,
            soft=soft,
            offset=offset,
            peak=1 / mass,
            agree=np.all(np.abs(distance) < 0.5, axis=0, keepdims=True)[0],
            second=second,
            spread=spread,
            entropy=entropy,
            ties=ties,
            ids=ids,
        )


def finish_block(state: State, problem: Problem, block: Block, ids: Sequence[str] | None = None) -> Slices:
    """The results of the slices that end with a block of an array of known shape, in the order of their states."""
    first, shape = 0, [n or 0 for n in problem.shape]
    for k in problem.kept:
        first = first * shape[k] + block.start[k]
    return finish(state, problem, [shape[axis] for axis in problem.axes], first, ids)
