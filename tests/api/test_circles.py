"""Circular coordinates of tensors and layers: the mean angle, and its gradients against differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from oracle import softargmax as exact

from softargmax_cli import SoftArgmax, reduce, softargmax

pytestmark = pytest.mark.slow

Array = npt.NDArray[Any]
DEGREES = np.sort(np.random.default_rng(7).uniform(-180, 170, 72))
WAYS: dict[str, dict[str, Any]] = {
    "indices": {"coords": "circular"},
    "degrees": {"coords": "circular", "values": DEGREES, "period": 360},
    "window": {"coords": "circular", "window": 3},
    "costs, hours": {"kind": "cost", "coords": "circular", "values": np.arange(72) / 3, "period": 24.0, "window": 40},
    "weights": {"kind": "probs", "coords": "circular"},
}


def scores(kind: str = "scores") -> Array:
    x = np.random.default_rng(0).normal(size=(6, 72))
    x[0] = np.cos(2 * np.pi * np.arange(72) / 72 - 0.01) * 5  # a peak at the seam
    return np.exp(x) if kind == "probs" else x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("way", WAYS)
def test_the_mean_angle(way: str, dtype: str) -> None:
    asked = WAYS[way]
    kind, period = asked.get("kind", "scores"), asked.get("period", 72)
    x = scores(kind).astype(dtype)
    values = [asked["values"]] if "values" in asked else None
    for beta in (0.3, 3.0, 100.0):
        got = softargmax(x, beta, **asked).numpy()
        want = exact(x, -1, beta, kind=kind, values_of=values, periods=[period], window=asked.get("window")).flat()
        unit, last = (1e-6, 6e-8) if dtype == "float32" else (1e-11, 2e-16)
        bound = unit * (1 + want.spread[0]) / want.resultant[0] + last * period
        assert (abs((got - want.soft[0] + period / 2) % period - period / 2) <= bound).all()
        assert ((got >= 0) & (got < period)).all()


@pytest.mark.parametrize("way", WAYS)
def test_gradients_are_those_of_differences(way: str) -> None:
    asked, step = WAYS[way], 1e-6
    x, period = scores(asked.get("kind", "scores")), asked.get("period", 72)
    with tf.GradientTape() as tape:
        given = tf.constant(x)
        tape.watch(given)
        soft = softargmax(given, 2.0, **asked)
    got = tape.gradient(soft, given).numpy()
    for at in (0, 1, 40, 71):
        moved = [softargmax(x + sign * step * (np.arange(72) == at), 2.0, **asked).numpy() for sign in (1, -1)]
        slope = ((moved[0] - moved[1] + period / 2) % period - period / 2) / (2 * step)
        np.testing.assert_allclose(got[:, at], slope, rtol=1e-5, atol=1e-7)


def test_no_direction_no_angle() -> None:
    x = tf.Variable(np.array([np.zeros(8), np.eye(8)[3]]))
    with tf.GradientTape() as tape:
        soft = softargmax(x, 1.0, coords="circular")
    assert np.isnan(soft.numpy()).tolist() == [True, False]
    slope = tape.gradient(soft, x).numpy()
    assert not slope[0].any()
    assert np.isfinite(slope).all()


def test_one_axis_of_two_in_a_saved_layer(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(3, 4, 72)).astype("float32")
    asked: dict[str, Any] = {
        "coords": ("index", "circular"),
        "values": [np.array([0.0, 1, 4, 9]), DEGREES],
        "period": 360.0,
    }
    model = keras.Sequential([keras.Input((4, 72)), SoftArgmax((1, 2), 2.0, **asked)])
    model.save(tmp_path / "m.keras")
    got = keras.models.load_model(tmp_path / "m.keras")(x).numpy()
    np.testing.assert_array_equal(got, model(x).numpy())
    want = reduce(x, axis=(1, 2), beta=2.0, **asked)
    np.testing.assert_allclose(got, want.soft, rtol=1e-5)
    assert want.run.coords == "values,circular"
    assert want.run.periods == (None, 360.0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_stays_below_the_period(dtype: str) -> None:
    """What rounds up to a whole turn is at its beginning."""
    x = np.full((400, 8), -1e4)
    x[:, 0], x[:, 7] = 0, -np.linspace(10, 45, 400)
    for more, period in (({}, 8), ({"values": np.arange(8) * 45.0, "period": 360}, 360)):
        soft = softargmax(tf.cast(x, dtype), 1.0, coords="circular", **more)
        assert soft.dtype == dtype
        assert tf.cast(soft, tf.float32).numpy().max() < period
        assert tf.cast(soft, tf.float32).numpy().min() >= 0
