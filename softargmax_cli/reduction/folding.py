"""Many states of the same slices, merged as a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from softargmax_cli.reduction.state import State

Merge = Callable[[State, State], State]


class Fold:
    """Merges states as they come, each group of `width` from the left, then the groups likewise.

    It is the tree that dask.array.reduction builds with `split_every`, so that one machine and many give the same bits;
    no more than one state a level waits. Without `width` there is one group. A place without a state counts, and says
    nothing.
    """

    def __init__(self, merge: Merge, width: int | None = None) -> None:
        self._merge, self._width = merge, width
        self._states: list[State | None] = []
        self._counts: list[int] = []

    def add(self, state: State | None) -> None:
        """The next one."""
        level = 0
        while True:
            if level == len(self._counts):
                self._states.append(None)
                self._counts.append(0)
            self._states[level] = self._both(self._states[level], state)
            self._counts[level] += 1
            if self._counts[level] != self._width:
                return
            state = self._states[level]
            self._states[level], self._counts[level] = None, 0
            level += 1

    def result(self) -> State | None:
        """All of them as one; None where there was none."""
        whole: State | None = None
        for state in self._states:  # the lowest level holds what came last
            whole = self._both(state, whole)
        return whole

    def whole(self) -> State:
        """The same, where there was one. LookupError where there was none."""
        result = self.result()
        if result is None:
            raise LookupError("nothing was folded")
        return result

    def _both(self, a: State | None, b: State | None) -> State | None:
        return b if a is None else a if b is None else self._merge(a, b)


def folded(states: Iterable[State | None], merge: Merge) -> State | None:
    """A group of states as one, from the left; None where there is none."""
    fold = Fold(merge)
    for state in states:
        fold.add(state)
    return fold.result()
