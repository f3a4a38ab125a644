"""Arrays of the input's shape, computed block by block beside the slices: gradients, and weights.

If a block holds whole slices, its array is computed while it is in the cache. If not, the blocks of a slice are read
once for its maximum, mass and moments, a second time for these if a window depends on the maximum, and once more for
the array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from softargmax_cli.reduction.blocks import Block, Plan
from softargmax_cli.reduction.box_reducer import BoxReducer, Derive, Derived, SlopeColumns, joined
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.reducer import Array, BlockReducer
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.stream import Answers, Part, States, Stream, Task

Write = Callable[[Sequence[int], Array], None]
"""Take the array of a box of the input, given the position where the box begins."""
Finish = Callable[[SlopeColumns, Slices], Slices]
"""Add to slices the columns that were derived beside their state."""


class ArrayStream(Stream):
    """A stream that computes an array of the input's shape; the caller's thread writes its boxes in order."""

    def __init__(
        self,
        source: Readable,
        problem: Problem,
        reducer: BlockReducer,
        derive: Derive,
        write: Write | None,
        finish: Finish = lambda beside, slices: slices,
        **given: Any,
    ) -> None:
        super().__init__(source, [problem], [reducer], **given)
        first = self.reducers[0]
        self.derive = partial(first.derived, derive) if isinstance(first, BoxReducer) else derive
        self.write, self.finish = write, finish

    def _parts(
        self, work: Callable[[Task], Part], blocks: Iterable[Block], known: States | None = None
    ) -> Iterator[Part]:
        for part in super()._parts(work, blocks, known):
            if self.write is not None and part.array is not None:
                self.write(part.block.start, part.array)
            yield part

    def _answered(self, part: Part, values: Array, share: Array | None, compiled: bool) -> Part:
        (state,) = part.states
        # Blocks of a table differ in length: each would need its own program.
        compiled = compiled and not (self.whole_blocks and self.table)
        found: Derived = ({}, share)
        if share is None:
            found = self.derive(values, part.block.start, state, compiled)
        beside, array = found
        (slices,) = self._finish([state], part.block, part.ids, partial(self.finish, beside))
        return replace(part, states=(), answers=[slices], array=array)

    def _several_passes(self, plan: Plan) -> Iterator[tuple[Block, Answers]]:
        for column in plan.boxes():
            found, ids = self._found(column)
            if self.problem.window is not None:
                found = self._completed(column, found)
            beside: SlopeColumns = {}
            for part in self._parts(self._derived, column, found):
                beside = joined(beside, part.beside)
            yield column[-1], self._finish(found, column[-1], ids, partial(self.finish, beside))

    def _derived(self, task: Task) -> Part:
        """Compute the array of a block whose slices' state is known."""
        values = task.pending.load(self.buffer).values
        assert task.known is not None
        beside, array = self.derive(values, task.block.start, task.known[0], task.compiled)
        return Part(task.block, task.pending.nbytes, beside=beside, array=array)
