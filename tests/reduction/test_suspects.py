"""Slices that are kept: all that matter between two β, or the search must read the file again."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from oracle import answer_to

from softargmax_cli.files.memory import ArraySource
from softargmax_cli.reduction import fitting
from softargmax_cli.reduction.spec import Spec
from softargmax_cli.reduction.suspects import Suspects
from softargmax_cli.reduction.trade import trade
from softargmax_cli.tensorflow.base import Runtime

Array = npt.NDArray[Any]
BETAS = [0.5, 2.0, 8.0, 32.0]


def gathered(x: Array, spec: Spec, runtime: Runtime, tolerance: float, room: int = 1 << 30) -> Suspects:
    suspects = Suspects(tolerance, BETAS, room)
    problem = spec.resolve(x.shape, x.dtype, frozenset())
    list(trade(ArraySource(x), problem, runtime, betas=BETAS, full=True, memory=1 << 28, suspects=suspects))
    return suspects


def offsets(x: Array, spec: Spec, beta: float) -> Array:
    """The largest |offset| of each slice, by the oracle."""
    asked = Spec(spec.axes, spec.kind, beta, spec.coords, spec.values, spec.window)
    return np.abs(answer_to(x, asked).flat().offset).max(axis=0)


CASES = {
    "scores": ((300, 20), Spec()),
    "first axis": ((20, 300), Spec((0,), coords="corners")),
    "costs": ((300, 20), Spec(kind="cost")),
    "window": ((300, 20), Spec(window=2)),
    "values": ((300, 20), Spec(values=(np.arange(20.0) ** 2 / 20,))),
    "two axes": ((90, 6, 7), Spec((2, 1), coords="centers")),
}


@pytest.mark.parametrize("case", CASES)
def test_no_other_slice_lies_too_far_off(case: str, native_runtime: Runtime) -> None:
    shape, spec = CASES[case]
    x = (np.random.default_rng(1).normal(size=shape) * 2).astype("f4")
    tolerance = 0.05
    suspects = gathered(x, spec, native_runtime, tolerance)
    for beta in (2.0, 3.3, 8.0, 20.0, 40.0):
        held = suspects.above(beta)
        far = offsets(x, spec, beta) > tolerance
        assert far.any()
        assert held is not None
        axes = sorted(axis % x.ndim for axis in spec.axes)
        slices = np.moveaxis(x, axes, range(-len(axes), 0)).reshape(-1, *held.shape[1:])
        kept = {one.tobytes() for one in held}
        assert kept >= {one.tobytes() for one in slices[far]}
        assert len(kept) < len(slices) or beta < 8
    assert suspects.above(0.4) is None  # nobody tried so small a one


def test_room_for_some_only(native_runtime: Runtime) -> None:
    x = np.random.default_rng(2).normal(size=(4000, 30)).astype("f4") * 3
    everything = gathered(x, Spec(), native_runtime, 0.05)
    scarce = gathered(x, Spec(), native_runtime, 0.05, room=x.nbytes // 2)
    assert scarce.above(0.5) is None
    few = scarce.above(32.0)
    assert few is not None
    np.testing.assert_array_equal(few, everything.above(32.0))
    assert gathered(x, Spec(), native_runtime, 0.05, room=0).above(32.0) is None


def test_slices_in_parts_are_not_kept(native_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "BLOCK", 200)
    x = np.random.default_rng(3).normal(size=(3, 400)).astype("f4")
    assert gathered(x, Spec(), native_runtime, 0.01).above(32.0) is None
