"""Turn the sums of complete slices into their results, in row-major order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import ROOM, disk_errors
from softargmax_cli.reduction.blocks import Block, Order
from softargmax_cli.reduction.fields import BY_NAME, needed_sums
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.state import Float, State

Array = npt.NDArray[Any]

RUN = 1 << 16
"""Slices handed on at a time."""
ZEROS = 1 << 20
"""Bytes of a file written at a time."""


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of `m` complete slices over `a` reduced axes, in the order of the coordinates, and their means.

    Means and deviations are NaN for slices without an answer, and if directions cancel.
    """

    state: State
    mass: Float
    """(m,): Σ w, NaN for slices without an answer."""
    hard: Array
    """(a, m): −1 for slices without an answer."""
    distance: Float
    """(a, m): the mean index, counted from `hard`."""
    offset: Float
    """(a, m): the mean coordinate, counted from that of `hard`."""
    soft: Float
    """(a, m): the mean coordinate."""
    spread: Float
    """(a, m): the standard deviation of the coordinate, if second moments are wanted."""
    norm: Float
    """(m,): ‖∂soft/∂x‖, if slopes are wanted; over several axes, the Frobenius norm of the Jacobian."""


def finish(
    state: State, problem: Problem, lengths: Sequence[int], start: int, ids: Sequence[str] | None = None
) -> Slices:
    """Turn the state of slices over complete axes into their results.

    lengths: those of the reduced axes, in the order of the coordinates. start: the row-major number of the first slice.
    A slice without weight, or one spoilt by NaN, has no answer (see `result.Slices`).
    """
    there = {"", *(part for part in needed_sums(problem.fields) if getattr(state, part) is not None)}
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = _sums(state, problem, lengths)
        fields = [(field, field.finish) for field in BY_NAME.values() if field.needs in there]
        columns = {field.name: of(sums).astype(field.dtype, copy=False) for field, of in fields if of is not None}
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

    more: a function applied to the slices in the order of the file. Slices that are not consecutive get numbers.
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
    """Put the axes into the order of the coordinates, and express means in coordinates."""
    order, least, mass, hard = problem.order, problem.epsilon, state.mass, state.hard
    if not (defined := mass > 0).all():
        mass, hard = np.where(defined, mass, np.nan), np.where(defined, hard, -1)
    firsts, seconds = state.moment, state.moment if state.second_moment is None else state.second_moment
    # Rows of indices come last, and replace those of coordinates.
    indices = {moment.axis: row for row, moment in enumerate(problem.moments)}
    found, norm = [], mass
    if state.slope is not None:
        norm = np.zeros_like(mass)
    for coordinates, length, row in zip(problem.coordinates, lengths, order, strict=True):
        along, by = coordinates.of(length), indices[row]
        geometry, moments = along.geometry, (firsts[row], seconds[row], mass, least)
        distance = mean = geometry.mean(*moments)
        if by != row:
            distance = along.indices.geometry.mean(firsts[by], seconds[by], mass, least)
        offset, spread = mean * along.unit, mean
        if state.second_moment is not None:
            spread = geometry.spread(*moments) * along.unit
        if state.slope is not None:
            scale = along.unit / (mass * geometry.resultant(*moments[:3]))
            norm = np.hypot(norm, np.sqrt(state.slope[row]) * np.where(np.isnan(mean), np.nan, scale))
        found.append((distance, offset, geometry.wrapped(along.at(hard[row]) + offset), spread))
    if state.slope is not None:
        norm = np.where(np.isinf(state.maximum), mass * 0, (problem.beta or 0.0) * norm)
    hard = hard if order == sorted(order) else hard[order]
    distance, offset, soft, spread = map(np.array, zip(*found, strict=True))
    return Sums(state, mass, hard, distance, offset, soft, spread, norm)


def in_row_major_order(parts: Iterator[Sequence[Slices]], count: int, memory: int) -> Iterator[list[Slices]]:
    """Collect runs of `count` slices in any order, each run for several problems, then yield all in row-major order.

    Columns of more than `memory` bytes wait in temporary files. Raises OutputError if there is no room for them.
    """
    whole: list[dict[str, Array]] = []
    for answers in parts:
        whole = whole or [{} for _ in answers]
        for columns, slices in zip(whole, answers, strict=True):
            share = memory // (len(answers) * len(slices.columns))
            run = slice(slices.start, slices.start + len(slices))
            for name, part in slices.columns.items():
                if name not in columns:
                    columns[name] = _space((*part.shape[:-1], count), part.dtype, share)
                columns[name][..., run if slices.numbers is None else slices.numbers] = part
    for start in range(0, count if whole else 0, RUN):
        runs = [{name: column[..., start : start + RUN] for name, column in columns.items()} for columns in whole]
        yield [Slices(start, {name: np.array(column) for name, column in columns.items()}) for columns in runs]


def _space(shape: tuple[int, ...], dtype: np.dtype[Any], memory: int) -> Array:
    """Return an array for numbers, in a nameless file if they take more than `memory` bytes."""
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes <= memory:
        return np.empty(shape, dtype)
    import tempfile

    with disk_errors("temporary file", ROOM), tempfile.TemporaryFile() as file:
        # Zeros reserve the space: a full disk that a mapped page meets later would end the process.
        for start in range(0, nbytes, ZEROS):
            file.write(bytes(min(ZEROS, nbytes - start)))
        file.flush()
        return np.memmap(file, dtype, "r+", shape=shape)
