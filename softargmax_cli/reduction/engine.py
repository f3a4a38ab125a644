"""The reduction of an input to the results of its slices, in three steps.

    map     Block → State      `reducer.BlockReducer.whole` and `part`: reduce the values of one block
    merge   State, State → State   `state.merge`: join two states of the same slices
    finish  State → Slices     `finish.finish`: turn the sums of complete slices into their fields

`stream.Stream` calls map for each block in worker threads, and merge and, where a slice is complete, finish in the
order of the plan, so that a result does not depend on which thread was faster. A block that holds whole slices goes
from map to finish at once. On a cluster (`cluster.reduction`) tasks call the same three. Where a window or a second
mode depends on the maximum, and blocks hold parts of slices, each block is read twice: `BlockReducer.about` then sums
about the maximum that was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from softargmax_cli.reduction.blocks import Block, Plan, Remaining
from softargmax_cli.reduction.budget import BOXES
from softargmax_cli.reduction.finish import finish, finish_block
from softargmax_cli.reduction.order import Scratch, in_row_major_order, logical
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.reducer import BlockReducer
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.state import State
from softargmax_cli.reduction.stream import Stream

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Runtime


def reduce(
    source: Readable,
    problem: Problem,
    runtime: Runtime,
    *,
    memory: int,
    advance: Callable[[int], None] = lambda nbytes: None,
    note: Callable[[str], None] = lambda text: None,
    scratch: Scratch | None = None,
) -> Iterator[Slices]:
    """Yield all slices in row-major order; `advance` is told how many bytes of the input are done.

    `memory` (bytes) bounds blocks and unfinished slices, and where there is `scratch` also what must wait for its turn,
    as it must where the file has another order; `note` is told what the user may want to know. Raises
    UndefinedError, after the last byte, where there are negative weights, or where the NaN policy is "error" and there
    is NaN or a slice without any weight; InputError where the file is not what it seemed. The source must not be
    `sequential` where the reduction `must_seek` (see `budget.REDUCTION`).
    """
    return SliceStream(source, problem, BlockReducer(problem, runtime), memory, advance, note, scratch).slices()


def reduce_boxes(
    source: Readable,
    problem: Problem,
    runtime: Runtime,
    *,
    memory: int,
    columns: Sequence[int],
    advance: Callable[[int], None] = lambda nbytes: None,
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[tuple[Block, Slices]]:
    """Yield the slices of some columns of boxes, each with the last of its boxes, in row-major order within it.

    columns: their numbers in the plan of `budget.BOXES`, which also says what the source must be. Raises as `reduce`.
    """
    return _BoxStream(source, problem, BlockReducer(problem, runtime), memory, advance, note).slices_in_boxes(columns)


class SliceStream(Stream[Slices]):
    """Make the results of slices, in row-major order."""

    def slices(self) -> Iterator[Slices]:
        """Yield all slices, up to the first without an answer where that is an error."""
        return self.undefined.watched(self.answers())

    def _answers(self, state: State, block: Block, rows: Sequence[str] | None = None) -> Slices:
        return self._turned(self._results(state, block, rows), block)

    def _turned(self, slices: Slices, block: Block) -> Slices:
        """Put slices that come in the order of the file into row-major order."""
        return logical(slices, [block.shape[k] for k in self.problem.kept], self.source.order)

    def _results(self, state: State, block: Block, rows: Sequence[str] | None = None) -> Slices:
        """Finish the slices that end with a block, in the order of the file."""
        names, ids = self._names, rows if self.problem.keeps_rows else None
        if names is not None:
            ids = names[block.start[-1] : block.stop[-1]]
        return finish_block(state, self.problem, block, ids)

    def _of_table(self, state: State, shape: tuple[int, int], rows: Sequence[str] | None = None) -> Slices:
        ids = self._names if rows is None else rows
        return finish(state, self.problem, [shape[axis] for axis in self.problem.axes], 0, ids)

    @property
    def _names(self) -> Sequence[str] | None:
        """The names of the slices, where each is a column."""
        return self.source.labels if self.problem.keeps_columns else None

    def _numbered(self, answers: Slices, start: int) -> Slices:
        return replace(answers, start=start)

    def _ordered(self, plan: Plan, finished: Iterator[tuple[Block, Slices]]) -> Iterator[Slices]:
        if plan.in_order:
            return (slices for _, slices in finished)
        kept = self.problem.kept
        lengths = [plan.shape[k] for k in kept]
        return in_row_major_order(finished, kept, lengths, self.memory // 4, self.scratch)


class _BoxStream(SliceStream):
    """Make the results of slices in boxes, in any order."""

    needs = BOXES

    def slices_in_boxes(self, columns: Sequence[int]) -> Iterator[tuple[Block, Slices]]:
        """Yield the slices of these columns, each with the box that completed them; to the first without an answer."""
        plan = self.needs.plan(self.source, self.problem, self.memory)
        left = Remaining(plan.shape, plan.axes, plan.order, plan.extent, columns)
        yield from self.undefined.watched_boxes(self._in_blocks(left))
        self._remark()
