"""The reduction of an input to the results of its slices, in three steps.

    map     Block → State      `reducer.BlockReducer.whole` and `part`: reduce the values of one block
    merge   State, State → State   `state.merge`: join two states of the same slices
    finish  State → Slices     `finish.finish`: turn the sums of complete slices into their fields

`stream.Stream` calls map for each block in worker threads, which overlap reading and computing. The caller's thread
fetches blocks, merges their states and yields what is finished, all in the order of the plan, so that a result does not
depend on which thread was faster. A block that holds whole slices goes from map to finish at once. On a cluster
(`cluster.reduction`) tasks call the same three. If blocks hold parts of slices, a window, a second mode
and the norm of the gradient need sums that depend on what was found before: each block is read again for them, and
`BlockReducer.about` sums about the maximum, or the mean, of the whole slices (see `Problem.reviews`).

Several problems that differ only in β and window are reduced in one pass over the input, with a state for each.
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

    given: as for `stream.Stream`. Raises UndefinedError, after the last byte, for negative weights, and under the NaN
    policy "error" for NaN and slices without any weight; InputError for a damaged file. The source must not be
    `sequential` if the reduction `must_seek` (see `budget.REDUCTION`).
    """
    for (slices,) in reduce_several(source, [problem], runtime, **given):
        yield slices


def reduce_several(
    source: Readable, problems: Sequence[Problem], runtime: Runtime, *, ordered: bool = True, **given: Any
) -> Iterator[Answers]:
    """Yield all slices, reduced for each of several problems that differ only in β and window.

    `ordered`: in row-major order, as `reduce` does; else as soon as they are found, with `numbers` if these are not
    consecutive. The rest is as for `reduce`. The source must be fit for the problem with a window, if there is one,
    and for `budget.REDUCTION` with as many `states` as there are problems.
    """
    reducers = [BlockReducer(problem, runtime) for problem in problems]
    return Stream(source, problems, reducers, **given).slices(ordered=ordered)


def reduce_boxes(source: Readable, problem: Problem, runtime: Runtime, **given: Any) -> Iterator[tuple[Block, Slices]]:
    """Yield the slices of each column of boxes, with the last of its boxes, in row-major order within it.

    The plan is that of `budget.BOXES`, for which the source must be fit. The rest is as for `reduce`.
    """
    stream = Stream(source, [problem], [BlockReducer(problem, runtime)], needs=BOXES, **given)
    for block, (slices,) in stream.columns():
        yield block, slices
