"""Convert models with `SoftArgmax` to ONNX and TFLite, or run them on other backends; each in its own process."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from oracle import softargmax as exact

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MODEL = """
import sys, warnings
warnings.simplefilter("ignore")
import keras, numpy as np
from softargmax_cli import SoftArgmax
inputs = keras.Input((8, 6, 3))
outputs = [
    SoftArgmax(axis=(1, 2), beta=3.0)(inputs),
    SoftArgmax(axis=(2, 1), beta=3.0, coords="corners", window=2, kind="cost")(inputs),
    SoftArgmax(axis=1, kind="probs", values=[3.0, 1.0, 4.0, 1.5, 9.0, 2.0, 6.0, 5.0])(inputs),
]
model = keras.Model(inputs, outputs)
x = np.load("x.npy")
"""
RUNS = {
    "keras": """
results = [keras.ops.convert_to_numpy(one) for one in model(x)]
""",
    "onnx": """
import onnxruntime
model(x)
model.export("model.onnx", format="onnx", verbose=False)
session = onnxruntime.InferenceSession("model.onnx")
results = session.run(None, {session.get_inputs()[0].name: x})
""",
    "tflite": """
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_content=tf.lite.TFLiteConverter.from_keras_model(model).convert())
runner = interpreter.get_signature_runner()
found = runner(**{next(iter(runner.get_input_details())): x})
results = [found[name] for name in sorted(found)]
""",
}
SAVE = "np.savez('results.npz', *results)\n"
NEEDS = {"onnx": ["tf2onnx", "onnxruntime"], "tflite": ["ai_edge_litert"], "jax": ["jax"], "torch": ["torch"]}


def run(folder: Path, code: str, backend: str = "tensorflow") -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr[-3000:]


def need(*names: str) -> None:
    """Skip the test where a package or a backend is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


@pytest.mark.parametrize(
    ("way", "backend"),
    [("onnx", "tensorflow"), ("tflite", "tensorflow"), ("keras", "jax"), ("keras", "torch"), ("keras", "tensorflow")],
)
def test_a_model_gives_the_same_numbers(way: str, backend: str, tmp_path: Path) -> None:
    need(*NEEDS.get(way, []), *NEEDS.get(backend, []))
    x = abs(np.random.default_rng(0).normal(size=(5, 8, 6, 3))).astype("f4")
    np.save(tmp_path / "x.npy", x)
    run(tmp_path, MODEL + RUNS[way] + SAVE, backend)
    places = [np.array([3.0, 1.0, 4.0, 1.5, 9.0, 2.0, 6.0, 5.0])]
    wanted = [
        exact(x, (1, 2), 3.0),
        exact(x, (2, 1), 3.0, coords="corners", window=2, kind="cost"),
        exact(x, (1,), 1.0, kind="probs", values_of=places),
    ]
    with np.load(tmp_path / "results.npz") as results:
        for got, want in zip(results.values(), wanted, strict=True):
            soft, spread = (np.moveaxis(a, 0, -1) if len(a) > 1 else a[0] for a in (want.soft, want.spread))
            assert got.dtype == np.float32
            assert (abs(got - soft) <= 1e-6 + 1e-6 * spread + 2**-24 * abs(soft)).all()


TRAINED = (
    MODEL.partition("inputs =")[0]
    + """
model = keras.Sequential([keras.Input((6,)), SoftArgmax(beta=1.0, trainable_beta=True)])
model.compile(keras.optimizers.Adam(0.1), "mse")
x = np.tile(np.array([[0.0, 1.0, 0.0, 0.0, 0.0, 0.5]], "f4"), (8, 1))
model.fit(x, np.full((8,), 0.9, "f4"), epochs=20, verbose=0)
assert model.layers[-1].beta > 1.5, model.layers[-1].beta
model.save("model.keras")
np.testing.assert_array_equal(*(np.asarray(keras.ops.convert_to_numpy(one(x))) for one in (
    model, keras.saving.load_model("model.keras"))))
"""
)
JAX_GRADIENT = """
import jax, jax.numpy as jnp
by_x = np.asarray(jax.grad(lambda x: jnp.nansum(softargmax(x, 2.0)))(jnp.asarray(x)))
"""
TORCH_GRADIENT = """
import torch
t = torch.tensor(x, requires_grad=True)
torch.nansum(softargmax(t, 2.0)).backward()
by_x = t.grad.numpy()
"""
GRADIENT = """
from softargmax_cli import softargmax
x = np.array([[1, 2, 0.5, 2], [-np.inf, 1, 0, 2], [np.nan, 1, 2, 3], [-np.inf] * 4, [np.inf, 1, np.inf, 0]], "f4")
{}
finite = np.where(np.isfinite(x), x, -1e4)[:2].astype("f8")
p = np.exp(2 * (finite - finite.max(1, keepdims=True)))
p /= p.sum(1, keepdims=True)
i = np.arange(4)
np.testing.assert_allclose(by_x[:2], 2 * p * (i - (p * i).sum(1, keepdims=True)), atol=1e-6)
assert not by_x[2:].any(), by_x
"""


@pytest.mark.parametrize(("backend", "gradient"), [("jax", JAX_GRADIENT), ("torch", TORCH_GRADIENT)])
def test_other_backends_have_gradients(backend: str, gradient: str, tmp_path: Path) -> None:
    need(backend)
    np.save(tmp_path / "x.npy", 0)
    run(tmp_path, MODEL.partition("inputs =")[0] + GRADIENT.format(gradient) + TRAINED, backend)


def test_a_tensor_of_another_backend_is_told_so(tmp_path: Path) -> None:
    need("jax")
    code = """
import tensorflow as tf
from softargmax_cli import softargmax
try:
    softargmax(tf.zeros((2, 3)))
except ValueError as error:
    assert "KERAS_BACKEND=tensorflow" in str(error), error
else:
    raise AssertionError
"""
    run(tmp_path, code, "jax")
