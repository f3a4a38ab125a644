"""From the sums of complete slices to their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.coordinates import Coordinates
from softargmax_cli.reduction.fields import FIELDS, needed_sums
from softargmax_cli.reduction.moments import Geometry
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.state import Float, State

Array = npt.NDArray[Any]

MULTIMODAL = 0.25
"""The part of the peak from which on a second mode makes a slice multimodal."""


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of `m` complete slices over `a` reduced axes, in the order of the coordinates."""

    state: State
    axes: Sequence[tuple[Coordinates, int, int]]
    """For each axis its coordinates, its length, and the row of their moments."""
    least: float
    """The least resultant of a mean on a circle."""
    mass: Float
    """(m,): Σ w, NaN for slices without an answer."""
    hard: Array
    """(a, m): −1 for slices without an answer."""
    distance: Float
    """(a, m): the mean index, counted from `hard`."""
    offset: Float
    """(a, m): the mean coordinate, counted from that of `hard`."""

    def soft(self) -> Float:
        """Return the mean coordinate, (a, m)."""
        along = zip(self.axes, self.hard, self.offset, strict=True)
        return np.array([c.geometry(n).wrapped(c.at(hard, n) + offset) for (c, n, _), hard, offset in along])

    def spread(self) -> Float:
        """Return the standard deviation of the coordinate, (a, m)."""
        first, second = self.state.moment, self.state.second_moment
        assert second is not None
        spreads = [
            c.geometry(n).spread(first[k], second[k], self.mass, self.least) * c.unit(n) for c, n, k in self.axes
        ]
        return np.array(spreads)

    def entropy(self) -> Float:
        """Return −Σ p ln p in nats, (m,)."""
        assert self.state.log_moment is not None
        entropy: Float = np.maximum(np.log(self.mass) - self.state.log_moment / self.mass, 0.0)
        return entropy

    def ties(self) -> Array:
        """Return how many entries equal the maximum, (m,); 0 for slices without an answer."""
        assert self.state.ties is not None
        return np.where(np.isnan(self.mass), 0, self.state.ties).astype(np.int64)

    def second(self) -> Float:
        """Return the weight of a second mode, (m,)."""
        assert self.state.second is not None
        return self.state.second / self.mass

    def multimodal(self) -> Array:
        """Return whether the second mode has a quarter of the weight of the first, (m,)."""
        multimodal: Array = self.second() >= MULTIMODAL * (1 / self.mass)
        return multimodal

    def agree(self) -> Array:
        """Return whether hard is the index nearest to soft on every axis, (m,)."""
        return np.asarray(((np.abs(self.distance) < 0.5) & ~np.isnan(self.offset)).all(axis=0))


def finish(
    state: State, problem: Problem, lengths: Sequence[int], start: int, ids: Sequence[str] | None = None
) -> Slices:
    """Turn the state of slices over complete axes into their results.

    lengths: of the reduced axes, in the order of the coordinates. start: row-major number of the first slice. A slice
    without weight, or one spoilt by NaN, has no answer (see `result.Slices`).
    """
    there = {part for part in needed_sums(problem.fields) if getattr(state, part) is not None}
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = _sums(state, problem, lengths)
        columns = {
            field.name: field.finish(sums)
            for field in FIELDS
            if field.finish is not None and there.issuperset(field.needs)
        }
    return Slices(start, columns, ids)


def finish_block(state: State, problem: Problem, block: Block, ids: Sequence[str] | None = None) -> Slices:
    """Finish the slices that end with a block, in the order of their states."""
    first, shape = 0, [n or 0 for n in problem.shape]
    for k in problem.kept:
        first = first * shape[k] + block.start[k]
    return finish(state, problem, [block.stop[axis] for axis in problem.axes], first, ids)


def _sums(state: State, problem: Problem, lengths: Sequence[int]) -> Sums:
    """Put the axes into the order of the coordinates, and express the mean in coordinates."""
    order = problem.order
    turn: Any = slice(None) if order == sorted(order) else order
    mass, hard = state.mass, state.hard[turn]
    defined = mass > 0
    if not defined.all():
        mass, hard = np.where(defined, mass, np.nan), np.where(defined, hard, -1)
    axes = [*zip(problem.coordinates, lengths, order, strict=True)]
    indices = {moment.axis: row for row, moment in enumerate(problem.moments)}  # which come after coordinates
    distance, offset = [], []
    for along, n, row in axes:
        mean = _mean(state, row, along.geometry(n), mass, problem.epsilon)
        offset.append(mean * along.unit(n))
        by = indices[row]
        distance.append(mean if by == row else _mean(state, by, along.indices.geometry(n), mass, problem.epsilon))
    return Sums(state, axes, problem.epsilon, mass, hard, np.array(distance), np.array(offset))


def _mean(state: State, row: int, geometry: Geometry, mass: Float, least: float) -> Float:
    second = None if state.second_moment is None else state.second_moment[row]
    return geometry.mean(state.moment[row], second, mass, least)
