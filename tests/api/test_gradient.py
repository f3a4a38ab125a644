"""Gradients: the formula and finite differences agree, and nothing that is not finite comes of masks."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from oracle import gradients
from oracle import softargmax as exact

with warnings.catch_warnings():  # what third parties deprecate is theirs to mend
    warnings.simplefilter("ignore")
    import tensorflow as tf

    from softargmax_cli import softargmax

pytestmark = pytest.mark.slow

Array = npt.NDArray[Any]

SHAPE = (2, 4, 3, 5)
BETA = 1.7
CASES: dict[str, dict[str, Any]] = {
    "last": {"axis": -1},
    "two, turned": {"axis": (3, 1), "coords": "corners"},
    "all": {"axis": (2, 0, 3, 1)},
    "cost, two": {"axis": (3, 2), "kind": "cost", "coords": "centers"},
    "probs, two": {"axis": (1, 2), "kind": "probs", "coords": "corners"},
    "values, two": {"axis": (2, 1), "values": [[1.0, 4.0, 9.0], [7.0, -1.0, 2.0, 0.0]]},
    "window, two": {"axis": (1, 3), "window": 1, "coords": "centers"},
    "window, probs": {"axis": 3, "window": 2, "kind": "probs"},
    "window, values, cost": {"axis": 3, "window": 1, "kind": "cost", "values": [5.0, -2.0, 0.5, 9.0, 1.0]},
}


def scores(kind: str) -> Array:
    """Random numbers of `SHAPE`, in float64; weights are above 0."""
    drawn = np.random.default_rng(7).normal(size=SHAPE)
    return abs(drawn) + 0.1 if kind == "probs" else drawn


def tape_gradients(x: Array, beta: float, towards: Array, case: dict[str, Any]) -> tuple[Array, Array | None]:
    """By x and by β of Σ towards · softargmax(x)."""
    score, inverse = tf.Variable(x), tf.Variable(beta, dtype=tf.float64)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(softargmax(score, inverse, **case) * towards)
    by_x, by_beta = tape.gradient(loss, [score, inverse])
    return by_x.numpy(), None if by_beta is None else by_beta.numpy()


def formula(x: Array, beta: float, towards: Array, case: dict[str, Any]) -> tuple[Array, Array]:
    """By x and by β of Σ towards · softargmax(x), of the oracle's gradients of each slice."""
    axes = case["axis"] if isinstance(case["axis"], tuple) else (case["axis"],)
    asked = {name: value for name, value in case.items() if name not in ("axis", "values")}
    if (values := case.get("values")) is not None:
        asked["values_of"] = [np.array(each) for each in (values if len(axes) > 1 else [values])]
    by_x, by_beta = gradients(x, axes, beta, **asked)
    if len(axes) == 1:
        by_x, by_beta, towards = by_x[..., None], by_beta[..., None], towards[..., None]
    along = np.expand_dims(towards, tuple(axis % x.ndim for axis in axes))
    return (by_x * along).sum(-1), np.array((by_beta * towards).sum())


def result_like(x: Array, case: dict[str, Any]) -> Array:
    """Random numbers shaped as the result."""
    shape = softargmax(x, BETA, **case).shape
    return np.random.default_rng(3).normal(size=tuple(shape))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_autodiff_agrees_with_the_formula(case: dict[str, Any]) -> None:
    x = scores(case.get("kind", "scores"))
    towards = result_like(x, case)
    by_x, by_beta = tape_gradients(x, BETA, towards, case)
    want_x, want_beta = formula(x, BETA, towards, case)
    np.testing.assert_allclose(by_x, want_x, atol=1e-13, rtol=1e-11)
    if by_beta is None:
        assert case["kind"] == "probs"
    else:
        np.testing.assert_allclose(by_beta, want_beta, atol=1e-12, rtol=1e-11)


@pytest.mark.parametrize("name", ["last", "cost, two", "window, probs", "window, values, cost"])
def test_single_precision_and_xla_give_that_gradient_too(name: str) -> None:
    case = CASES[name]
    x = scores(case.get("kind", "scores"))
    towards = result_like(x, case)
    want, _ = tape_gradients(x, BETA, towards, case)

    @tf.function(jit_compile=True)
    def compiled(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(softargmax(x, BETA, **case) * tf.cast(towards, tf.float32))
        return tape.gradient(loss, x)

    got = compiled(tf.constant(x, tf.float32))
    assert got.dtype == tf.float32
    np.testing.assert_allclose(got, want, atol=3e-5, rtol=3e-4)


def test_long_axes_have_the_same_gradient() -> None:
    """Their sums are taken in tiles."""
    x = np.random.default_rng(1).normal(size=(2, 40, 50)).astype("f4")
    case: dict[str, Any] = {"axis": (2, 1)}
    want, _ = formula(x.astype("f8"), 2.0, np.ones((2, 2)), case)
    with tf.GradientTape() as tape:
        variable = tf.Variable(x)
        soft = softargmax(variable, 2.0, **case)
    np.testing.assert_allclose(tape.gradient(soft, variable), want, rtol=1e-4, atol=1e-5)


def test_half_precision_has_a_gradient_in_its_own_dtype() -> None:
    for dtype in (tf.float16, tf.bfloat16):
        x = tf.Variable(tf.cast([[0.5, 1.0, -1.0]], dtype))
        with tf.GradientTape() as tape:
            soft = softargmax(x, 2.0)
        by_x = tape.gradient(soft, x)
        assert by_x.dtype == dtype
        want, _ = formula(tf.cast(x, tf.float64).numpy(), 2.0, np.ones(1), {"axis": -1})
        np.testing.assert_allclose(tf.cast(by_x, tf.float64), want, atol=2e-2)


def test_the_second_derivative() -> None:
    """∂²s/∂x² from two tapes, against differences of the first."""
    x, h = np.random.default_rng(2).normal(size=6), 1e-5
    variable = tf.Variable(x)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            soft = softargmax(variable, BETA)
        first = inner.gradient(soft, variable)
    second = outer.jacobian(first, variable).numpy()

    one = np.ones(())
    for j in range(6):
        at = h * np.eye(6)[j]
        ahead, behind = (tape_gradients(x + side * at, BETA, one, {})[0] for side in (1, -1))
        np.testing.assert_allclose(second[:, j], (ahead - behind) / (2 * h), atol=1e-8)


MASKED = [
    [1.0, 2.0, -math.inf, 0.5, -math.inf],
    [-math.inf, -math.inf, 3.0, -math.inf, -math.inf],
    [-1e30, 0.0, 1.0, -math.inf, 2.0],
]


@pytest.mark.parametrize(
    ("window", "coords", "dtype", "beta", "kind"),
    [
        (None, "index", "float32", 1e4, "scores"),
        (0, "corners", "float64", 2.0, "scores"),
        (1, "values", "float32", 1e-3, "cost"),
        (3, "index", "float64", 1e4, "cost"),
    ],
)
def test_masks_of_minus_infinity(window: int | None, coords: Any, dtype: str, beta: float, kind: Any) -> None:
    sign = -1 if kind == "cost" else 1
    more: dict[str, Any] = {"coords": coords, "window": window}
    if coords == "values":
        more = {"values": [3.0, 1.0, 4.0, 1.5, 9.0], "window": window}
    masked = tf.Variable(sign * np.array(MASKED, dtype))
    finite = tf.Variable(np.where(np.isinf(masked), sign * np.array(-1e36, dtype), masked))
    inverse = tf.Variable(beta, dtype=dtype)
    gradients = []
    for x in (masked, finite):  # with a weight of 0 in either way
        with tf.GradientTape() as tape:
            soft = softargmax(x, inverse, kind=kind, **more)
        gradients.append([soft, *tape.gradient(soft, [x, inverse])])
    for got, want in zip(*gradients, strict=True):
        assert np.isfinite(got).all()
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert not gradients[0][1].numpy()[np.isinf(masked)].any()


@pytest.mark.parametrize(("mode", "window"), [("eager", 1), ("xla", None)])
def test_slices_without_an_answer_are_nan_and_do_not_pull(mode: str, window: int | None) -> None:
    nan, inf = math.nan, math.inf
    x = np.array([[-inf] * 4, [nan, 1, 2, 3], [nan] * 4, [-inf, nan, inf, 0], [1, 2, 3, 4]], "f4")

    def pull(x: Any, beta: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([x, beta])
            soft = softargmax(x, beta, window=window)
            loss = tf.reduce_mean((soft - 1.0) ** 2)  # NaN itself
        return soft, *tape.gradient(loss, [x, beta])

    run = pull if mode == "eager" else tf.function(pull, jit_compile=True)
    soft, by_x, by_beta = run(tf.constant(x), tf.constant(2.0))
    np.testing.assert_array_equal(np.isnan(soft), [True, True, True, True, False])
    assert not by_x.numpy()[:4].any()
    assert by_x.numpy()[4].any()
    assert np.isfinite(by_x).all()
    assert np.isfinite(by_beta)


@pytest.mark.parametrize("window", [None, 1])
def test_weights_without_an_answer_do_not_pull(window: int | None) -> None:
    x = tf.Variable([[0.0, 0, 0], [-1, 2, 3], [3, 2, -1], [math.nan, 1, 1], [1, 2, 0]], dtype=tf.float32)
    with tf.GradientTape() as tape:
        soft = softargmax(x, kind="probs", window=window)
    by_x = tape.gradient(soft, x).numpy()
    np.testing.assert_array_equal(np.isnan(soft), [True, True, True, True, False])
    assert not by_x[:4].any()
    assert by_x[4].any()
    assert np.isfinite(by_x).all()


def test_plus_infinity_takes_all_and_stands_still() -> None:
    x = tf.Variable([[math.inf, 1.0, math.inf], [0.0, math.inf, -math.inf]])
    with tf.GradientTape() as tape:
        soft = softargmax(x, 2.0)
    assert soft.numpy().tolist() == [1.0, 1.0]
    assert not tape.gradient(soft, x).numpy().any()


def test_the_largest_numbers_have_a_finite_gradient() -> None:
    largest = float(np.finfo("f4").max)
    x, beta = tf.Variable([[largest, -largest, largest]]), tf.Variable(100.0)
    with tf.GradientTape() as tape:
        soft = softargmax(x, beta)
    assert soft.numpy() == exact(x.numpy(), -1, 100.0).soft[0]
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(soft, [x, beta]))
