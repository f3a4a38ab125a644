"""`softargmax` of tensors against the oracle, in every mode of TensorFlow, and what it refuses."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import softargmax as exact

with warnings.catch_warnings():  # what third parties deprecate is theirs to mend
    warnings.simplefilter("ignore")
    import tensorflow as tf

    from softargmax_cli import softargmax

from softargmax_cli.errors import SoftArgmaxError

pytestmark = pytest.mark.slow

Array = npt.NDArray[Any]

KINDS: list[Any] = ["scores", "probs", "cost"]
COORDS: list[Any] = ["index", "corners", "centers", "values"]
MODES: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "eager": lambda call: call,
    "graph": tf.function,
    "xla": lambda call: tf.function(call, jit_compile=True),
}
ROUNDING = {"float16": 2**-11, "bfloat16": 2**-8, "float32": 2**-24, "float64": 0.0}
"""Half a unit in the last place of a result, relative to it."""


def scores(shape: tuple[int, ...], kind: str, seed: int = 1) -> Array:
    """Random numbers; weights are not negative."""
    drawn = np.random.default_rng(seed).normal(size=shape)
    return abs(drawn) if kind == "probs" else drawn


def places(shape: tuple[int, ...], axes: tuple[int, ...]) -> list[Array]:
    """Coordinates in no order for each of some axes."""
    random = np.random.default_rng(5)
    return [random.normal(size=shape[axis]) * 10 for axis in axes]


def check(got: Any, x: Array, axes: tuple[int, ...], beta: float, kind: str, coords: str, window: int | None) -> None:
    """Compare a result with the oracle's, within the bounds that the command line keeps."""
    values = places(x.shape, axes) if coords == "values" else None
    named = "index" if coords == "values" else coords
    want = exact(x, axes, beta, kind=kind, coords=named, values_of=values, window=window)
    soft, spread = (np.moveaxis(a, 0, -1) if len(axes) > 1 else a[0] for a in (want.soft, want.spread))
    got = got.numpy()
    assert got.dtype == x.dtype
    assert got.shape == soft.shape
    unit = 1e-11 if x.dtype == np.float64 else 1e-6
    bound = unit * (20 if coords == "values" else 1 + spread) + ROUNDING[str(x.dtype)] * abs(soft) + 1e-12
    np.testing.assert_array_equal(np.isnan(got), np.isnan(soft))
    assert not (abs(got.astype("f8") - soft) > bound).any()


@st.composite
def cases(draw: st.DrawFn) -> tuple[Array, dict[str, Any]]:
    """An array and the arguments of one call."""
    rank = draw(st.integers(1, 4))
    shape = tuple(draw(st.integers(1, 40 if rank == 1 else 7)) for _ in range(rank))
    axes = tuple(draw(st.permutations(range(rank)))[: draw(st.integers(1, rank))])
    kind, coords = draw(st.sampled_from(KINDS)), draw(st.sampled_from(COORDS))
    x = scores(shape, kind, draw(st.integers(0, 999)))
    if draw(st.booleans()):  # ties, and what is not finite
        x = np.round(x)
        odd = [math.inf, math.nan] if kind == "probs" else [math.inf, -math.inf, math.nan]
        flat = x.reshape(-1)
        for at in draw(st.lists(st.integers(0, x.size - 1), max_size=x.size)):
            flat[at] = draw(st.sampled_from(odd))
    dtype = draw(st.sampled_from(["float16", "float32", "float64"]))
    asked = {
        "axes": tuple(axis - draw(st.sampled_from([0, rank])) for axis in axes),
        "beta": draw(st.sampled_from([0.5, 3.0, 100.0])),
        "kind": kind,
        "coords": coords,
        "window": draw(st.sampled_from([None, 0, 1, 2, 100])),
    }
    return x.astype(dtype), asked


@given(cases())
@settings(max_examples=40, derandomize=True)
def test_all_options_together_against_the_oracle(case: tuple[Array, dict[str, Any]]) -> None:
    x, asked = case
    axes, coords = asked["axes"], asked["coords"]
    values = places(x.shape, axes) if coords == "values" else None
    got = softargmax(
        tf.constant(x),
        asked["beta"],
        axes if len(axes) > 1 else axes[0],
        kind=asked["kind"],
        coords="index" if coords == "values" else coords,
        values=values if values is None or len(axes) > 1 else values[0],
        window=asked["window"],
    )
    check(got, x, **asked)


@pytest.mark.parametrize(("shape", "coords"), [((3, 1000), "values"), ((2, 40, 60), "index")])
def test_long_axes_are_summed_in_tiles(shape: tuple[int, ...], coords: Any) -> None:
    x, axes = scores(shape, "scores").astype("f4"), tuple(range(1, len(shape)))
    values = places(shape, axes) if coords == "values" else None
    got = softargmax(x, 0.01, axes, values=values if values is None else values[0])
    check(got, x, axes, 0.01, "scores", coords, None)


@pytest.mark.parametrize(
    ("mode", "dtype", "axis", "more"),
    [
        ("eager", "float16", -1, {}),
        ("graph", "bfloat16", 1, {"kind": "cost", "coords": "centers"}),
        ("xla", "float32", (2, 1), {"window": 1, "coords": "corners"}),
        ("xla", "float64", (0, 2), {"kind": "probs", "values": [[3.0, 1.0], [0.0, 1.0, 4.0, 9.0, 16.0]]}),
        ("graph", "float32", (2, 1), {"window": 1, "coords": "corners"}),
    ],
)
def test_modes_and_dtypes_give_one_answer(mode: str, dtype: str, axis: Any, more: dict[str, Any]) -> None:
    x = tf.cast(scores((2, 3, 5), more.get("kind", "scores")), dtype)
    call = MODES[mode](lambda x, beta: softargmax(x, beta, axis, **more))
    got = call(x, tf.constant(3.0))
    want = softargmax(tf.cast(x, tf.float64), 3.0, axis, **more).numpy()
    assert got.dtype == x.dtype
    assert got.shape == want.shape
    np.testing.assert_allclose(tf.cast(got, tf.float64), want, atol=4e-6, rtol=2 * ROUNDING[dtype])


@pytest.mark.parametrize(
    ("mode", "known", "axis", "static"),
    [
        ("graph", (None, 6), -1, (None,)),
        ("xla", (None, 6, 4), (2, 1), (None, 2)),
        ("graph", (4, None, 6, None), (2, 0), (None, None, 2)),
    ],
)
def test_lengths_that_are_not_known(mode: str, known: Any, axis: Any, static: Any) -> None:
    traced = []

    def call(x: Any) -> Any:
        soft = softargmax(x, 3.0, axis)
        traced.append(tuple(soft.shape))
        return soft

    signature = [tf.TensorSpec(known, tf.float32)]
    compiled = tf.function(call, input_signature=signature, jit_compile=mode == "xla")
    for unknown in (0, 3):
        x = scores(tuple(unknown if n is None else n for n in known), "scores").astype("f4")
        got = compiled(x)
        assert traced[0] == static
        assert tuple(got.shape) == tuple(unknown if n is None else n for n in static)
        np.testing.assert_allclose(got, softargmax(x, 3.0, axis), atol=1e-5)


def test_no_slices_at_all() -> None:
    for shape in ((0, 5), (3, 0, 5)):
        with tf.GradientTape() as tape:
            x = tf.Variable(tf.zeros(shape))
            soft = softargmax(x)
        assert tuple(soft.shape) == shape[:-1]
        assert tuple(tape.gradient(soft, x).shape) == shape


def test_one_slice_gives_a_number() -> None:
    assert softargmax([0.0, 5.0, 0.0]).shape == ()
    assert softargmax([[0.0, 5.0], [0.0, 0.0]], axis=(1, 0)).numpy().tolist() == [1, 0]


def test_ways_to_say_beta() -> None:
    x = tf.constant([[1.0, 0.5, 0.25]])
    want = softargmax(tf.cast(x, tf.float64), 4.0)
    for beta in (4, np.float32(4), np.array(4.0), tf.constant(4), tf.constant(4.0, tf.float64), tf.Variable(4.0)):
        np.testing.assert_allclose(softargmax(x, beta), want, rtol=1e-6)
    for temperature in (0.25, np.float32(0.25), tf.constant(0.25)):
        np.testing.assert_allclose(softargmax(x, temperature=temperature), want, rtol=1e-6)
    for beta in (1e-300, 1e300):  # which a float32 cannot hold
        np.testing.assert_allclose(softargmax(x, beta), exact(x.numpy(), -1, beta).soft[0], rtol=1e-6)


def test_probabilities_have_no_beta() -> None:
    x = tf.constant([[0.25, 0.75]])
    assert softargmax(x, 7.0, kind="probs").numpy() == softargmax(x, kind="probs").numpy() == 0.75
    assert np.isnan(softargmax(-x, kind="probs"))
    assert np.isnan(softargmax(tf.constant([[-1.0, 2.0, 0.0]]), kind="probs", window=0))


EDGES: dict[str, Callable[[Any], Array]] = {
    "flat": lambda n: np.zeros(n) + 0.3,
    "noise": lambda n: np.random.default_rng(n).normal(size=n),
    "a maximum far from the mean": lambda n: np.where(
        np.arange(n) < n // 9, -0.01, np.where(np.arange(n) < n - 1, -9, 0)
    ),
}


@pytest.mark.parametrize(
    ("mode", "scores", "shape"),
    [("xla", "a maximum far from the mean", (4093,)), ("xla", "flat", (64, 64)), ("eager", "noise", (64, 64))],
    ids=str,
)
def test_single_precision_of_slices_of_4096(mode: str, scores: str, shape: tuple[int, ...]) -> None:
    """In the last axes and in the first, which are summed in other orders."""
    x = EDGES[scores](math.prod(shape)).astype("f4").reshape(shape)
    for axes, beta, coords in (
        (tuple(range(1, 1 + len(shape))), 1.0, "index"),
        (tuple(range(len(shape))), 0.2, "corners"),
    ):
        slices = np.stack([x, x[..., ::-1], -x], axis=0 if axes[0] else -1)
        got = MODES[mode](lambda x, a=axes, b=beta, c=coords: softargmax(x, b, a, coords=c))(slices)
        check(got, slices, axes, beta, "scores", coords, None)


def test_the_signature_is_the_documented_one() -> None:
    parameters = inspect.signature(softargmax).parameters
    assert list(parameters) == ["x", "beta", "axis", "temperature", "kind", "coords", "values", "window", "period"]
    assert (parameters["beta"].default, parameters["axis"].default) == (None, -1)
    assert parameters["kind"].kind is inspect.Parameter.KEYWORD_ONLY
    assert "(…, n, …) → (…)" in (softargmax.__doc__ or "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"axis": 2}, "axis=2: the array has 2 axes (shape (2, 3))"),
        ({"axis": (0, -2)}, "axis=(0, -2): names one axis twice"),
        ({"axis": ()}, "axis: name at least one axis"),
        ({"beta": 0.0}, "β = 0: the inverse temperature must be a finite number above 0"),
        ({"beta": math.inf}, "β = inf: "),
        ({"beta": 100.0, "temperature": 0.01}, "beta and temperature say the same thing"),
        ({"temperature": -1}, "temperature=-1: it must be a finite number above 0"),
        ({"beta": tf.ones(2)}, "beta has shape (2,): it is one number"),
        ({"kind": "logits"}, "kind='logits': no such choice"),
        ({"coords": "pixels"}, "coords='pixels': no such choice"),
        ({"coords": "corners", "values": [1, 2, 3]}, 'values and coords="corners" both give coordinates'),
        ({"values": [1, 2]}, "values: 2 values for the 3 indices of axis 1"),
        ({"values": [[1, 2, 3]]}, "values: shape (1, 3): an axis has one coordinate for each index"),
        ({"values": [1, math.nan, 3]}, "values: the coordinate of index 1 is nan"),
        ({"values": [1, 2, 3], "axis": (0, 1)}, "values: 3 arrays for 2 axes"),
        ({"values": [1, 2], "axis": (0, 1)}, "values: shape (): "),
        ({"values": "0:3:1"}, "values: '0:3:1' are no numbers"),
        ({"window": -1}, "window=-1: a distance from the hard argmax is 0 or more indices"),
        ({"period": 360}, "period=360: only circular values have a period"),
        ({"coords": "circular", "values": [1, 2, 3]}, 'values with coords="circular": the values of one turn'),
        ({"coords": "circular", "values": [1, 2, 9], "period": 3}, "are not within one period of 3"),
        ({"coords": ("circular", "index")}, "2 kinds for 1 axis"),
    ],
    ids=str,
)
def test_arguments_without_meaning(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=r"^softargmax: ") as caught:
        softargmax(tf.zeros((2, 3)), **arguments)
    assert said in str(caught.value)
    assert "--" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["int32", "bool", "complex64", "string"])
def test_dtypes_without_a_gradient(dtype: str) -> None:
    x = tf.constant([["a"]]) if dtype == "string" else tf.cast(tf.zeros((2, 3)), dtype)
    with pytest.raises(TypeError, match=f"^softargmax: x is {dtype}, not one of float16, bfloat16, float32, float64"):
        softargmax(x)


def test_a_beta_that_is_no_number() -> None:
    with pytest.raises(TypeError, match=r"^softargmax: beta is string, not a number$"):
        softargmax(tf.zeros((2, 3)), tf.constant("warm"))


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((2, None), r"the length of axis 1 is not known \(shape \(2, \?\)\)"),
        (None, "the number of x's axes is not known"),
        ((), "no axis"),
        ((2, 0), "axis 1 has length 0"),
        ((2, 1 << 24), "a slice of 16,777,216 scores is too long"),
    ],
    ids=str,
)
def test_shapes_that_cannot_be_reduced(shape: Any, said: str) -> None:
    call = tf.function(softargmax, input_signature=[tf.TensorSpec(shape, tf.float32)])
    with pytest.raises(ValueError, match=said) as caught:
        call.get_concrete_function()
    if shape is not None:
        assert isinstance(caught.value, SoftArgmaxError)
