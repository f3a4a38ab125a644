"""`SoftArgmax` in Keras models: shapes, saving, precision, a β that is trained, and keypoints that are learnt."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

with warnings.catch_warnings():  # what third parties deprecate is theirs to mend
    warnings.simplefilter("ignore")
    import keras
    import tensorflow as tf

    from softargmax_cli import SoftArgmax, softargmax

from softargmax_cli.errors import InputError, OptionError

pytestmark = pytest.mark.slow

Array = npt.NDArray[Any]

CONFIGS: list[dict[str, Any]] = [
    {},
    {"axis": (2, 1), "coords": "corners"},
    {"axis": [1, 2], "kind": "cost", "window": 2, "trainable_beta": True},
    {"axis": (-1, 1), "values": [(1.0, 2.0, 4.0), range(5)]},
    {"kind": "probs", "name": "expected", "dtype": "float64"},
]


@pytest.fixture(autouse=True)
def calm() -> Any:
    """Keras's own deprecations, and those of what it imports, are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def scores(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype("f4")


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_layer_is_the_function(config: dict[str, Any]) -> None:
    layer, x = SoftArgmax(**config), abs(scores(2, 5, 4, 3))
    more = {name: value for name, value in config.items() if name not in ("trainable_beta", "name", "dtype")}
    got = layer(x)
    np.testing.assert_allclose(got, softargmax(tf.cast(x, layer.compute_dtype), **more), rtol=1e-5)
    assert got.dtype == layer.compute_dtype
    assert layer.compute_output_shape(x.shape) == tuple(got.shape)
    assert layer.compute_output_shape((None, 5, 4, 3))[1:] == tuple(got.shape)[1:]
    assert len(layer.weights) == config.get("trainable_beta", False)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_configuration_makes_the_same_layer(config: dict[str, Any]) -> None:
    layer = SoftArgmax(**config)
    known = layer.get_config()
    assert json.loads(json.dumps(known)) == known
    again = SoftArgmax.from_config(known)
    assert again.get_config() == known
    x = abs(scores(2, 5, 4, 3))
    np.testing.assert_array_equal(again(x), layer(x))
    named = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(named) is SoftArgmax
    assert named.get_config() == known
    assert keras.saving.get_registered_name(SoftArgmax) == "softargmax>SoftArgmax"


def test_models_of_any_batch() -> None:
    inputs = keras.Input((8, 6, 3))
    outputs = SoftArgmax(axis=(1, 2))(inputs)
    assert tuple(outputs.shape) == (None, 3, 2)
    functional = keras.Model(inputs, outputs)
    sequential = keras.Sequential([keras.Input((8, 6, 3)), SoftArgmax(axis=(1, 2))])
    assert sequential.output_shape == (None, 3, 2)
    for batch in (1, 4, 7):
        x = scores(batch, 8, 6, 3)
        want = softargmax(x, axis=(1, 2))
        for model in (functional, sequential):
            np.testing.assert_allclose(model(x), want, atol=1e-5)
            np.testing.assert_allclose(model.predict(x, batch_size=2, verbose=0), want, atol=1e-5)


def test_a_saved_model_gives_the_same_numbers(tmp_path: Path) -> None:
    model = keras.Sequential(
        [
            keras.Input((8, 6, 1)),
            keras.layers.Conv2D(2, 3, padding="same"),
            SoftArgmax(axis=(2, 1), beta=2.0, trainable_beta=True, values=[range(6), np.arange(8) ** 2]),
        ]
    )
    model.layers[-1].log_beta.assign(math.log(7.5))
    x = scores(3, 8, 6, 1)
    model.save(tmp_path / "model.keras")
    model.save(tmp_path / "model.h5")
    for name in ("model.keras", "model.h5"):
        loaded = keras.saving.load_model(tmp_path / name)
        np.testing.assert_array_equal(loaded(x), model(x))
        assert loaded.layers[-1].beta == model.layers[-1].beta == pytest.approx(7.5)
        assert loaded.layers[-1].get_config() == model.layers[-1].get_config()


def test_mixed_precision() -> None:
    x = scores(3, 40)
    half = SoftArgmax(dtype="mixed_float16", trainable_beta=True)
    got = half(x)
    assert (got.dtype, half.log_beta.dtype, half.compute_dtype) == (tf.float16, "float32", "float16")
    np.testing.assert_allclose(got, softargmax(tf.cast(x, tf.float16), half.beta), atol=1e-3)
    whole = SoftArgmax(dtype="float32")
    assert whole(tf.cast(x, tf.float16)).dtype == tf.float32

    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model = keras.Sequential([keras.Input((40,)), keras.layers.Dense(40), SoftArgmax(coords="corners")])
        model.compile("adam", "mse", jit_compile="auto")
        assert math.isfinite(model.fit(x, np.zeros(3), verbose=0).history["loss"][0])
        assert model.compute_dtype == "float16"
    finally:
        keras.mixed_precision.set_dtype_policy("float32")


@pytest.mark.parametrize(("target", "jit"), [(0.9, False), (2.5, True)])
def test_a_trained_beta_goes_where_it_is_pulled(target: float, jit: bool) -> None:
    """The answer is 1, where the maximum is, for large β, and the middle of the axis, 2.5, for small."""
    x = np.tile(np.array([[0.0, 1.0, 0.0, 0.0, 0.0, 0.5]], "f4"), (8, 1))
    model = keras.Sequential([keras.Input((6,)), SoftArgmax(beta=1.0, trainable_beta=True)])
    model.compile(keras.optimizers.Adam(0.1), "mse", jit_compile=jit)
    layer = model.layers[-1]
    before, betas = layer.beta, []
    for _ in range(3):
        model.fit(x, np.full(8, target), epochs=3, verbose=0)
        betas.append(layer.beta)
    assert before == 1.0
    assert [before, *betas] == sorted({before, *betas}, reverse=target > 2)
    assert min(betas) > 0
    assert layer.get_config()["beta"] == 1.0


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"beta": -1.0}, "β = -1: "),
        ({"beta": 2.0, "temperature": 0.5}, "beta and temperature say the same thing"),
        ({"temperature": 0}, "temperature=0: it must be a finite number above 0"),
        ({"kind": "logits"}, "kind='logits': no such choice"),
        ({"kind": "probs", "trainable_beta": True}, "trainable_beta: probabilities"),
        ({"window": -2}, "window=-2: "),
    ],
    ids=str,
)
def test_arguments_without_meaning(config: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=r"^SoftArgmax: ") as caught:
        SoftArgmax(**config)
    assert said in str(caught.value)


def test_shapes_that_cannot_be_reduced() -> None:
    with pytest.raises(InputError, match="axis 1 is not known"):
        SoftArgmax(axis=1)(keras.Input((None, 3)))
    with pytest.raises(OptionError, match="axis=3: the array has 3 axes"):
        SoftArgmax(axis=3)(keras.Input((4, 3)))


def blobs(count: int, seed: int) -> tuple[Array, Array]:
    """Noisy pictures (count, 24, 20, 1) of one blob, and the row and column of its centre, (count, 2)."""
    random = np.random.default_rng(seed)
    centers = random.uniform(3, [20, 16], (count, 2))
    rows, columns = np.arange(24)[:, None], np.arange(20)
    squared = (rows - centers[:, 0, None, None]) ** 2 + (columns - centers[:, 1, None, None]) ** 2
    pictures = np.exp(-squared / (2 * 1.5**2)) + random.normal(scale=0.1, size=(count, 24, 20))
    return pictures[..., None].astype("f4"), centers.astype("f4")


@pytest.mark.nightly
def test_a_small_model_learns_keypoints(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((24, 20, 1)),
            keras.layers.Conv2D(8, 5, padding="same", activation="relu"),
            keras.layers.Conv2D(8, 5, padding="same", activation="relu"),
            keras.layers.Conv2D(1, 1),
            SoftArgmax(axis=(1, 2), beta=1.0, trainable_beta=True),
            keras.layers.Reshape((2,)),
        ]
    )
    model.compile(keras.optimizers.Adam(3e-3), "mae")
    model.fit(*blobs(1024, seed=2), batch_size=64, epochs=12, verbose=0)
    pictures, centers = blobs(256, seed=3)
    found = model.predict(pictures, verbose=0)
    assert np.linalg.norm(found - centers, axis=1).mean() < 0.5

    model.save(tmp_path / "keypoints.keras")
    loaded = keras.saving.load_model(tmp_path / "keypoints.keras")
    np.testing.assert_array_equal(loaded.predict(pictures, verbose=0), found)
    assert loaded.layers[-2].beta == model.layers[-2].beta != 1.0
