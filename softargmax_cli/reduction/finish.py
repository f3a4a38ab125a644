"""From the sums of complete slices to their results, in row-major order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.blocks import Block, Order
from softargmax_cli.reduction.coordinates import Coordinates
from softargmax_cli.reduction.fields import FIELDS, needed_sums
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.state import Float, State

Array = npt.NDArray[Any]
Scratch = Callable[[int], AbstractContextManager[IO[bytes]]]
"""Lends a file for so many bytes that are not wanted for long, all of which have a place on the disk."""

RUN = 1 << 16
"""Slices handed on at a time."""
MULTIMODAL = 0.25
"""The part of the peak from which on a second mode makes a slice multimodal."""


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of `m` complete slices over `a` reduced axes, in the order of the coordinates."""

    state: State
    axes: Sequence[tuple[Coordinates, int]]
    """For each axis its coordinates, and the row of their moments."""
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
        return np.array([c.geometry.wrapped(c.at(hard) + offset) for (c, _), hard, offset in along])

    def spread(self) -> Float:
        """Return the standard deviation of the coordinate, (a, m)."""
        first, second = self.state.moment, self.state.second_moment
        assert second is not None
        return np.array([c.geometry.spread(first[k], second[k], self.mass, self.least) * c.unit for c, k in self.axes])

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


def finish_block(
    state: State,
    problem: Problem,
    block: Block,
    order: Order,
    ids: Sequence[str] | None = None,
    more: Callable[[Slices], Slices] = lambda slices: slices,
) -> Slices:
    """Finish the slices that end with a block, and put them into row-major order from that of the file.

    more: what else is to be done with slices while they are in the order of the file. They are numbered where they do
    not follow each other.
    """
    first, kept = 0, problem.kept
    for k in kept:
        first = first * (problem.shape[k] or 0) + block.start[k]
    slices = more(finish(state, problem, [block.stop[axis] for axis in problem.axes], first, ids))
    lengths = [block.shape[k] for k in kept]
    if order == "F" and len(kept) > 1:
        slices = replace(slices, columns={name: _turned(part, lengths) for name, part in slices.columns.items()})
    wide = [place for place, n in enumerate(lengths) if n > 1]
    if not wide or all(block.shape[k] == problem.shape[k] for k in kept[wide[0] + 1 :]):
        return slices
    numbers = np.zeros((), np.int64)
    for k in kept:
        numbers = np.add.outer(numbers * (problem.shape[k] or 0), np.arange(block.start[k], block.stop[k]))
    return replace(slices, numbers=numbers.ravel())


def _turned(part: Array, shape: Sequence[int]) -> Array:
    """Turn (m,) or (a, m) into row-major order of `shape` from column-major."""
    box = part.T.reshape((*shape, *part.shape[:-1]), order="F")
    return np.ascontiguousarray(box.reshape(-1, *part.shape[:-1]).T)


def _sums(state: State, problem: Problem, lengths: Sequence[int]) -> Sums:
    """Put the axes into the order of the coordinates, and express the mean in coordinates."""
    order = problem.order
    mass, hard = state.mass, state.hard if order == sorted(order) else state.hard[order]
    defined = mass > 0
    if not defined.all():
        mass, hard = np.where(defined, mass, np.nan), np.where(defined, hard, -1)
    seconds = state.moment if state.second_moment is None else state.second_moment

    def mean(row: int, along: Coordinates) -> Float:
        return along.geometry.mean(state.moment[row], seconds[row], mass, problem.epsilon)

    axes = [(along.of(n), row) for along, n, row in zip(problem.coordinates, lengths, order, strict=True)]
    indices = {moment.axis: row for row, moment in enumerate(problem.moments)}  # which come after coordinates
    means = [mean(row, along) for along, row in axes]
    offset = np.array([each * along.unit for each, (along, _) in zip(means, axes, strict=True)])
    distance = [
        each if indices[row] == row else mean(indices[row], along.indices)
        for each, (along, row) in zip(means, axes, strict=True)
    ]
    return Sums(state, axes, problem.epsilon, mass, hard, np.array(distance), offset)


def in_row_major_order(
    parts: Iterator[tuple[Block, Sequence[Slices]]],
    kept: Sequence[int],
    lengths: Sequence[int],
    memory: int,
    scratch: Scratch | None = None,
) -> Iterator[list[Slices]]:
    """Collect the slices of blocks in any order, then yield all in row-major order.

    parts: a block and its slices, or those of several problems. kept: the axes that stay, of `lengths`. What takes more
    than `memory` bytes is kept in files, where there are any.
    """
    whole: list[dict[str, npt.NDArray[Any]]] = []
    for block, answers in parts:
        whole = whole or [{} for _ in answers]
        box: tuple[Any, ...] = (..., *(slice(block.start[k], block.stop[k]) for k in kept))
        inner = [block.stop[k] - block.start[k] for k in kept]
        for columns, slices in zip(whole, answers, strict=True):
            share = memory // (len(answers) * len(slices.columns))
            for name, part in slices.columns.items():
                if name not in columns:
                    columns[name] = _space([*part.shape[:-1], *lengths], part.dtype, share, scratch)
                columns[name][box] = part.reshape(*part.shape[:-1], *inner)
    flat = [
        {name: array.reshape(*array.shape[: array.ndim - len(kept)], -1) for name, array in columns.items()}
        for columns in whole
    ]
    for start in range(0, math.prod(lengths) if whole else 0, RUN):
        yield [
            Slices(start, {name: np.array(array[..., start : start + RUN]) for name, array in columns.items()})
            for columns in flat
        ]


def _space(shape: Sequence[int], dtype: np.dtype[Any], memory: int, scratch: Scratch | None) -> npt.NDArray[Any]:
    nbytes = math.prod(shape) * dtype.itemsize
    if scratch is None or nbytes <= memory:
        return np.empty(shape, dtype)
    with scratch(nbytes) as file:  # the mapping outlives the descriptor
        return np.memmap(file, dtype, "r+", shape=tuple(shape))
