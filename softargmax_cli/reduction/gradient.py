"""Differentiate the soft argmax block by block, by automatic differentiation of the kernel.

The soft argmax of a slice is a place plus a function of mass and moments, which are sums of the kernel about a maximum
and a place that are constants to the gradient. On a line

    soft = place + moment / mass,    d soft = (d moment − offset · d mass) / mass

or, written out, ∂soft/∂xⱼ = β pⱼ (cⱼ − soft). Each block of a slice has its share of that, once the sums of the whole
slice are known: the derivatives of the block's own sums, with those of the function as seeds (`Geometry.slopes`).
Soft depends on β x alone, so that ∂soft/∂β = Σ (xⱼ − max x) ∂soft/∂xⱼ / β.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.arrays import ArrayStream, Write
from softargmax_cli.reduction.box_reducer import Derived
from softargmax_cli.reduction.budget import Needs, bytes_reduced
from softargmax_cli.reduction.fields import FREE
from softargmax_cli.reduction.finish import Scratch
from softargmax_cli.reduction.formulas import Formulas, Tensor
from softargmax_cli.reduction.kernel import block_sums
from softargmax_cli.reduction.layout import F8, Layout, exact_dtype
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.reducer import Array, BlockReducer, collapse, near, needs_care, unfold
from softargmax_cli.reduction.result import Slices, Summary
from softargmax_cli.reduction.state import Slope, State

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Runtime

By = Literal["x", "beta"]
"""The variable that soft is differentiated by: each score, or β."""
Float = npt.NDArray[np.float64]

VANISHED = 1e-6
"""The norm below which a gradient is said to have vanished, in the unit of soft for 1 in the scores, or in β.

To first order, a step of length 1 then moves soft by less than a result in single precision may be off: nothing that a
training does to the scores can be seen in it.
"""
BY_SCORES = ("hard", "soft", "norm", "min", "max", "vanished")
BY_BETA = ("hard", "soft", "gradient", "vanished")
"""The fields of slices whose soft argmax is differentiated by its scores, and by β."""


@dataclass(slots=True)
class SlopeSummary(Summary):
    """Sum up the gradients of all slices."""

    max_norm: float = math.nan
    total_norm: float = 0.0
    vanished: int = 0

    def add(self, slices: Slices) -> None:
        """Take a run of slices into account, which must have gradients."""
        Summary.add(self, slices)
        norm = slices.column("norm")
        self.max_norm = float(np.fmax.reduce(norm, initial=self.max_norm))
        self.total_norm += float(np.nansum(norm))
        self.vanished += int(np.count_nonzero(slices.column("vanished")))

    @property
    def mean_norm(self) -> float:
        """Return the mean over the slices that have an answer; NaN when none has."""
        defined = self.slices - self.undefined
        return self.total_norm / defined if defined else math.nan

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the summary under its public names, what is no finite number as None."""
        norms = {"max_norm": self.max_norm, "mean_norm": self.mean_norm}
        finite = {name: n if math.isfinite(n) else None for name, n in norms.items()}
        return {"slices": self.slices, **finite, "vanished": self.vanished, "undefined": self.undefined}


def differentiate(
    source: Readable,
    problem: Problem,
    runtime: Runtime,
    *,
    by: By,
    memory: int,
    write: Write | None = None,
    vanished: float = VANISHED,
    advance: Callable[[int], None] = lambda nbytes: None,
    note: Callable[[str], None] = lambda text: None,
    scratch: Scratch | None = None,
) -> Iterator[Slices]:
    """Yield what the gradients of all slices are like, in row-major order; `write` is given the gradients by x.

    Boxes come in the order of the file, from the caller's thread, as arrays of their shape, with one more last axis
    where there are several coordinates. `vanished`: the norm below which a gradient has. The rest, and the errors, are
    those of `engine.reduce`. The source must not be `sequential` where `GRADIENT` says `must_seek`.
    """
    reducer = BlockDifferentiator(problem, runtime)

    def derive(values: Array, start: Sequence[int], known: State, compiled: bool) -> Derived:
        return reducer.slope(values, start, known, by, keep=write is not None, compiled=compiled)

    finish = partial(_with, vanished=vanished)
    stream = ArrayStream(source, problem, reducer, memory, advance, note, scratch, GRADIENT, derive, write, finish)
    for (slices,) in stream.slices():
        yield slices


def _with(slope: Slope | None, slices: Slices, vanished: float) -> Slices:
    """Add to slices, in the order of the file, what their gradients are like."""
    assert slope is not None
    columns = {name: slices.columns[name] for name in FREE}
    if slope.by_beta is None:
        least, largest = slope.least, slope.largest
        norm = np.maximum(np.sqrt(slope.squares), np.maximum(-least, largest))  # whose square may be lost
    else:
        norm = np.sqrt((slope.by_beta**2).sum(axis=0))
        least, largest = slope.by_beta.min(axis=0), slope.by_beta.max(axis=0)
        columns["gradient"] = slope.by_beta
    return replace(slices, columns=columns | {"norm": norm, "min": least, "max": largest, "vanished": norm < vanished})


def _bytes_differentiated(source: Readable, problem: Problem) -> int:
    """Return the bytes that an element takes while its block is differentiated."""
    # The way back takes as many arrays as the way there; the gradient itself is there twice, and waits to be written.
    return 2 * bytes_reduced(source, problem) + 4 * len(problem.axes) * problem.precision.itemsize


def _times_differentiated(source: Readable, problem: Problem) -> int:
    """Return how many times as large as a box its gradient is, which waits to be written while the next is made."""
    return -(-2 * len(problem.axes) * problem.precision.itemsize // source.dtype.itemsize)


GRADIENT = Needs(
    _bytes_differentiated, lambda problem: 2 if problem.window is None else 3, of_results=_times_differentiated
)
"""The memory and passes that `differentiate` needs."""


class BlockDifferentiator(BlockReducer):
    """Reduce blocks, and differentiate them when mass and offset of their slices are known.

    These are found in double precision, whatever that of the gradient: where weight lies in tails far to either side,
    entries are as small as what single precision leaves of the distances from soft.
    """

    def __init__(self, problem: Problem, runtime: Runtime) -> None:
        super().__init__(replace(problem, precision=F8), runtime)
        self._sloped = problem

    def slope(
        self, values: Array, start: Sequence[int], known: State, by: By, *, keep: bool, compiled: bool
    ) -> tuple[Slope, Array | None]:
        """Return what the gradient over a block is like, and with `keep` the gradient by its scores.

        values: in any memory order; start: of the block, along each of the array's axes; known: of its whole slices,
        `hard` counted in the whole array. The gradient has the shape of `values`, one more last axis where there are
        several coordinates, the memory order of `values`, and the precision of the weights; it is NaN in slices that
        have no answer.
        """
        problem = self._sloped
        x, axes = collapse(values, problem.axes)
        # What counts lies within the window about hard; without one, moments may be about any place of the block.
        place = [start[axis] for axis in problem.ascending]
        about = near(known.hard, start, values.shape, -1 if problem.window is None else problem.window, problem)
        seeds, defined = self._seeds(known, about + np.array(place)[:, None])
        layout = self._layout(x, axes, ["mass", "moment", "second_moment"][: len(seeds)], problem.window)
        layout = replace(
            layout,
            rows=tuple(replace(row, squared=row.geometry.both) for row in layout.rows[: len(axes)]),
            precision=problem.precision,
            known=True,
            careful=needs_care(values, known),
        )
        places, centers = self.places(layout, start), self.centers(layout, known)
        maximum = known.maximum.astype(exact_dtype(layout.dtype, layout.precision), copy=False)
        inputs = [x, self._beta.astype(problem.precision), *places, maximum, *about.astype(problem.precision)]
        results = self._derive(layout, by, keep, len(places), [*inputs, *centers, *seeds], compiled)
        turn, nothing = problem.order, np.zeros(defined.shape[1])
        if by == "beta":
            by_beta = np.where(defined, results[0] / (problem.beta or 1), np.nan)[turn]
            return Slope(nothing, nothing, nothing, by_beta), None
        *gradients, squares, least, largest = results
        nothing = np.where(defined.all(axis=0), 0.0, np.nan)
        slope = Slope(nothing + squares.sum(axis=0), nothing + least.min(axis=0), nothing + largest.max(axis=0))
        return slope, self._boxed([gradients[k] for k in turn], values, axes, defined[turn]) if keep else None

    def _boxed(
        self, gradients: Sequence[Array], values: Array, axes: tuple[int, ...], defined: npt.NDArray[np.bool_]
    ) -> Array:
        """Return gradients, shaped as `collapse` shapes values, in the shape of these values."""
        if not defined.all():
            kept = [1 if k in axes else n for k, n in enumerate(gradients[0].shape)]
            pairs = zip(gradients, defined, strict=True)
            gradients = [np.where(known.reshape(kept), part, part.dtype.type(math.nan)) for part, known in pairs]
        boxes = [unfold(part, values, self._sloped.axes) for part in gradients]
        return boxes[0] if len(boxes) == 1 else np.stack(boxes, axis=-1)

    def _seeds(self, known: State, about: npt.NDArray[np.int64]) -> tuple[list[Float], npt.NDArray[np.bool_]]:
        """Return the seeds of mass and of the moments, (a, s) each, and which coordinates have an answer, (a, s).

        about: the place that moments of indices are about.
        """
        problem = self._sloped
        rows = problem.moments[: len(problem.axes)]
        seeds, defined = np.zeros((3, *known.hard.shape)), np.zeros(known.hard.shape, bool)
        with np.errstate(invalid="ignore", divide="ignore"):
            for k, moment in enumerate(rows):
                first, second = known.moment[k], None if known.second_moment is None else known.second_moment[k]
                mean = moment.geometry.mean(first, second, known.mass, problem.epsilon)
                defined[k] = (known.mass > 0) & ~np.isnan(mean)
                if not moment.row.placed:
                    by = (known.hard[k] - about[k]).astype(np.float64)
                    first, second = moment.geometry.moved(first, second, known.mass, by)
                slopes = moment.geometry.slopes(first, second, known.mass)
                seeds[:, k] = np.where(defined[k], slopes, 0.0) * moment.along.unit
        return [*seeds[: 3 if any(row.geometry.both for row in rows) else 2]], defined

    def _derive(
        self, layout: Layout, by: By, keep: bool, places: int, inputs: Sequence[Array], compiled: bool
    ) -> list[Array]:
        def body(ops: Any, x: Tensor, beta: Tensor, *more: Tensor) -> list[Tensor]:
            end = len(more) - len(layout.outputs)
            return block_slopes(ops, x, beta, layout, more[:places], more[places:end], more[end:], by, keep)

        described = [(array.shape, array.dtype) for array in inputs]
        return self._runtime.function(body, described, compiled=compiled, key=(layout, by, keep))(*inputs)


def block_slopes(
    ops: Any,
    x: Tensor,
    beta: Tensor,
    layout: Layout,
    places: Sequence[Tensor],
    known: Sequence[Tensor],
    seeds: Sequence[Tensor],
    by: By,
    keep: bool,
) -> list[Tensor]:
    """Return the derivatives of soft by what a block holds, for s slices and a coordinates.

    x, beta, places, known: as for `block_sums` of a layout where maximum and hard are known; seeds, (a, s) each,
    float64: of the outputs of the layout, which are `mass` and one or both moments of a row an axis.

    By "x": for each coordinate the gradient, shaped as x, in the precision of the weights (only with `keep`), then
    (a, s) each, float64: the sums of its squares over the slice, its least, its largest. By "beta": (a, s), float64,
    β times the derivative.
    """
    x, top, layout, sign = _real(ops, x, known[0], layout)
    block = Formulas(ops, layout)
    sums = block_sums(ops, x, beta, layout, places, [top, *known[1:]])
    sums = [ops.Cast(x=part, DstT=F8) for part in sums]

    def over_slices(reduced: Callable[..., Tensor], parts: Sequence[Tensor]) -> Tensor:
        return block.stack([block.flat(reduced(input=part, axis=block.axes, keep_dims=True)) for part in parts])

    gradients = []
    for k in range(len(layout.axes)):
        row = np.eye(len(layout.axes))[:, k : k + 1]
        of_mass = ops.GatherV2(params=seeds[0], indices=np.int32(k), axis=np.int32(0))
        (slope,) = ops.gradients(sums, [x], [of_mass, *(ops.Mul(x=seed, y=row) for seed in seeds[1:])])
        gradients.append(slope)
    if by == "beta":
        gap = block.gap(block.comparable(x), block.unflat(top))
        gap = ops.Cast(x=ops.Neg(x=gap) if layout.kind == "cost" else gap, DstT=F8)
        # Beside infinite scores and NaN a gap is infinite or NaN, and the gradient 0.
        return [over_slices(ops.Sum, [ops.MulNoNan(x=gap, y=ops.Cast(x=slope, DstT=F8)) for slope in gradients])]
    gradients = [ops.Cast(x=ops.Neg(x=each) if sign < 0 else each, DstT=layout.precision) for each in gradients]
    wide = [ops.Cast(x=slope, DstT=F8) for slope in gradients]  # in which the square of no float32 is lost
    # As in Formulas.product: the maximum, of no effect, keeps XLA from its slow rule for sums of products.
    squares = [ops.Maximum(x=ops.Mul(x=slope, y=slope), y=np.zeros(())) for slope in wide]
    extremes = [ops.Cast(x=over_slices(extreme, gradients), DstT=F8) for extreme in (ops.Min, ops.Max)]
    return [*(gradients if keep else []), over_slices(ops.Sum, squares), *extremes]


def _real(ops: Any, x: Tensor, top: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Layout, int]:
    """Return scores, maximum and layout in floats, which alone have derivatives, and the sign of soft's by these.

    No float holds all 64-bit integers: of these it is the distances from the maximum.
    """
    exact = exact_dtype(layout.dtype, layout.precision)
    if exact.kind == "f":
        x = x if exact == layout.dtype else ops.Cast(x=x, DstT=exact)
        return x, top, replace(layout, dtype=exact), 1
    real = replace(layout, dtype=layout.precision)
    if layout.kind == "probs":
        return ops.Cast(x=x, DstT=layout.precision), ops.Cast(x=top, DstT=layout.precision), real, 1
    block = Formulas(ops, layout)
    x = block.gap(block.comparable(x), block.unflat(top))
    none = ops.ZerosLike(x=ops.Cast(x=top, DstT=layout.precision))
    return x, none, replace(real, kind="scores"), -1 if layout.kind == "cost" else 1
