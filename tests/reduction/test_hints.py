"""Scores that look like ready-made weights, and those that do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from softargmax_cli.reduction.hints import Lookalike


def look_like_weights(*blocks_and_axes: Any) -> bool:
    """Tell whether all blocks look so; the axes come last."""
    *blocks, axes = blocks_and_axes
    looks = Lookalike()
    for block in blocks:
        looks.look(block, axes)
    return bool(looks.hint())


def probabilities(shape: tuple[int, ...], axes: tuple[int, ...], dtype: str = "f8") -> npt.NDArray[Any]:
    """Random ones, with sum 1 along the axes."""
    values = np.random.default_rng(1).random(shape)
    return (values / values.sum(axes, keepdims=True)).astype(dtype)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [((9, 7), (1,)), ((7, 9), (0,)), ((7,), (0,)), ((4, 5, 6), (0, 2)), ((4, 5, 6), (2, 1)), ((4, 5), (1, 0))],
)
def test_probabilities_do(shape: tuple[int, ...], axes: tuple[int, ...], order: Any, dtype: str) -> None:
    values = probabilities(shape, axes, dtype).copy(order)
    assert look_like_weights(values, axes)
    others = [(axis,) for axis in range(len(shape)) if axes != (axis,)]
    assert not any(look_like_weights(values, other) for other in others)


@pytest.mark.parametrize(("count", "digits"), [(3, 3), (10, 4), (10, 3), (1000, 6), (50, 3)])
def test_those_of_a_text_file_do(count: int, digits: int) -> None:
    assert look_like_weights(np.round(probabilities((50, count), (1,)), digits), (1,))


@pytest.mark.parametrize(
    "row",
    [
        [0.5, 0.6, 0.0],
        [1.5, -0.5, 0.0],
        [0.2, 0.3, 0.49],
        [np.nan, 0.5, 0.5],
        [np.inf, 0.5, 0.5],
        [-np.inf, 0.5, 0.5],
        [1.7e308, 1.7e308, 0.0],
        [0.0, 0.0, 0.0],
    ],
)
def test_one_slice_of_others_is_enough(row: list[float]) -> None:
    values = np.array([[0.25, 0.25, 0.5], row, [0.25, 0.25, 0.5]])
    assert not look_like_weights(values, (1,))
    assert look_like_weights(values[::2], (1,))


def test_labels_do_not() -> None:
    """It makes no difference that they are scores or weights."""
    labels = np.eye(5)
    assert not look_like_weights(labels, (1,))
    assert look_like_weights(np.vstack([labels, [0.5, 0.5, 0, 0, 0]]), (1,))


def test_every_block_is_looked_at() -> None:
    good, labels, others = probabilities((50, 4), (1,)), np.eye(4), np.full((50, 4), 0.3)
    assert look_like_weights(good, labels, good, (1,))
    assert look_like_weights(labels, good, (1,))
    for blocks in ((good, others), (others, good), (good, labels, others, good)):
        assert not look_like_weights(*blocks, (1,))
    assert not look_like_weights((1,))


def test_a_signalling_nan_is_not_warned_of() -> None:
    values = np.full((2, 4), 0.25, "f4")
    values.view("u4")[0, 0] = 0x7FB0F069
    assert not look_like_weights(values, (1,))
