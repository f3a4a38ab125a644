"""Second modes of peaks whose number is known, whole and in blocks that cut them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from softargmax_cli.files.formats.npy import ArraySource
from softargmax_cli.reduction import budget
from softargmax_cli.reduction.engine import reduce
from softargmax_cli.reduction.fields import FREE
from softargmax_cli.reduction.problem import Spec
from softargmax_cli.tensorflow.base import Runtime

INDEX = np.arange(100.0)
WAYS = [Spec(beta=10.0), Spec(beta=1.0), Spec(kind="probs")]


def peak(center: float, sigma: float, height: float = 1.0) -> npt.NDArray[np.float64]:
    return height * np.exp(-(((INDEX - center) / sigma) ** 2) / 2)


@pytest.fixture(params=[30, pytest.param(10_000, marks=pytest.mark.slow)])
def modes(request: pytest.FixtureRequest, native_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The ratio of second to peak, and multimodal, of each slice, read in blocks of so many entries."""

    def found(rows: Sequence[Any], spec: Spec) -> tuple[list[float], list[bool]]:
        values = np.array(rows, "f4")
        monkeypatch.setattr(budget, "BLOCK", values.itemsize * request.param)
        problem = spec.resolve(values.shape, values.dtype, FREE | {"second", "multimodal"})
        slices = [*reduce(ArraySource(values), problem, native_runtime, memory=1 << 26)]
        ratios = np.concatenate([one.second / one.peak for one in slices])
        return ratios.tolist(), np.concatenate([one.multimodal for one in slices]).tolist()

    return found


@pytest.mark.parametrize("spec", WAYS)
def test_one_peak_of_any_width_and_a_flat_top_have_none(spec: Spec, modes: Any) -> None:
    single = [peak(center, sigma) for center in (0, 41.3, 99) for sigma in (0.5, 3, 20, 200)]
    rows = [*single, *(np.minimum(row, 0.7) for row in single), np.full(100, 0.5)]
    assert modes(rows, spec) == ([0.0] * len(rows), [False] * len(rows))


@pytest.mark.parametrize("spec", WAYS)
def test_two_peaks_are_seen(spec: Spec, modes: Any) -> None:
    ratios, seen = modes([peak(30, sigma) + peak(70, sigma, 0.95) for sigma in (3, 4.5, 6)], spec)
    assert seen == [True] * 3
    assert ratios == pytest.approx([0.95 if spec.kind == "probs" else np.exp(-0.05 * spec.beta)] * 3, rel=1e-5)


def test_a_low_second_peak_counts_by_its_weight(modes: Any) -> None:
    rows = [peak(30, 3) + peak(70, 3, height) for height in (0.2, 0.3)]
    assert modes(rows, Spec(kind="probs"))[1] == [False, True]
    assert modes(rows, Spec(beta=10.0))[1] == [False, False]
    assert modes(rows, Spec(beta=1.0))[1] == [True, True]  # below ln 4 / range, any bump counts


def test_two_axes(modes: Any) -> None:
    one = np.outer(peak(30, 8), peak(60, 20))[::5, ::5]
    two = one + 0.95 * np.outer(peak(75, 8), peak(10, 8))[::5, ::5]
    ratios, seen = modes([one, two], Spec((1, 2), "probs"))
    assert ratios == pytest.approx([0, 0.95], abs=1e-3)
    assert seen == [False, True]
