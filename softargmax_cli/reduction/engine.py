"""The reduction of an input to the results of its slices, in three steps.

    map     Block → State      `reducer.BlockReducer.whole` and `part`: reduce the values of one block
    merge   State, State → State   `state.merge`: join two states of the same slices
    finish  State → Slices     `finish.finish`: turn the sums of complete slices into their fields

`stream.Stream` calls map for each block in worker threads, which overlap reading and computing. The caller's thread
fetches blocks, merges their states and yields what is finished, all in the order of the plan, so that a result does not
depend on which thread was faster. A block that holds whole slices goes from map to finish at once. On a cluster
(`cluster.reduction`) tasks call the same three. Where a window or a second mode depends on the maximum, and blocks hold
parts of slices, each block is read twice: `BlockReducer.about` then sums about the maximum that was found.

Several problems that differ in β and window alone are reduced in one pass over the input: there is a state for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.budget import BOXES
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.reducer import BlockReducer
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.stream import Answers, Stream

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Runtime


def reduce(source: Readable, problem: Problem, runtime: Runtime, **given: Any) -> Iterator[Slices]:
    """Yield all slices in row-major order.

    given: as for `stream.Stream`. Raises UndefinedError, after the last byte, where there are negative weights, or
    where the NaN policy is "error" and there is NaN or a slice without any weight; InputError where the file is not
    what it seemed. The source must not be `sequential` where the reduction `must_seek` (see `budget.REDUCTION`).
    """
    for (slices,) in reduce_several(source, [problem], runtime, **given):
        yield slices


def reduce_several(
    source: Readable, problems: Sequence[Problem], runtime: Runtime, *, ordered: bool = True, **given: Any
) -> Iterator[Answers]:
    """Yield all slices, reduced for each of several problems that differ in β, window and coordinates alone.

    `ordered`: in row-major order, as `reduce` does; else as they are found, with `numbers` where these do not follow
    each other, and without a wait. Else as `reduce`. Where any problem has a window, the source must be fit for that
    one, and `budget.REDUCTION` with as many `states` as there are problems.
    """
    reducers = [BlockReducer(problem, runtime) for problem in problems]
    return Stream(source, problems, reducers, **given).slices(ordered=ordered)


def reduce_boxes(source: Readable, problem: Problem, runtime: Runtime, **given: Any) -> Iterator[tuple[Block, Slices]]:
    """Yield the slices of each column of boxes, with the last of its boxes, in row-major order within it.

    The plan is that of `budget.BOXES`, which also says what the source must be. Else as `reduce`.
    """
    stream = Stream(source, [problem], [BlockReducer(problem, runtime)], needs=BOXES, **given)
    for block, (slices,) in stream.columns():
        yield block, slices
