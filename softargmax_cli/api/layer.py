"""Soft argmax as a layer of a Keras model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import keras  # type: ignore[import-untyped]
from keras import ops

from softargmax_cli.api.arguments import Axis, Coords, beta_of, spec_of
from softargmax_cli.api.function import resolved, soft_of
from softargmax_cli.errors import OptionError, naming


@keras.saving.register_keras_serializable(package="softargmax")
class SoftArgmax(keras.layers.Layer):  # type: ignore[misc]
    """Compute the mean coordinate along one axis, or several as one, with weights softmax(β·x); see `softargmax`.

    (batch, …, n, …) → (batch, …): of the layer's compute dtype, shaped as the input without the axis. With several
    axes, one more last dimension holds the coordinate along each, in the order given. Heatmaps (batch, height, width,
    keypoints) with `axis=(1, 2)` become (batch, keypoints, 2): rows and columns. The batch axis counts, too.

    beta: inverse temperature > 0, a number; 100 if neither it nor `temperature`, 1/β, is given. With `trainable_beta`
        training begins at it; the trained weight is `log_beta`, the logarithm of β, so that β stays above 0. A frozen
        layer keeps its β.
    axis, kind, coords, values, period, window: as those of `softargmax`.
    kwargs: as those of any layer. Half precision rounds indices from 128 on to eighths, from 512 on to halves: under a
        policy of mixed precision give this layer `dtype="float32"`, or use `coords="corners"`.

    A saved model (.keras) is loaded by a program that has imported this class, or names it in `custom_objects`.
    Raises OptionError, a ValueError, for arguments without meaning; InputError, when the layer is built, for
    shapes that cannot be reduced.
    """

    def __init__(
        self,
        axis: Axis = -1,
        beta: float | None = None,
        trainable_beta: bool = False,
        kind: Literal["scores", "probs", "cost"] = "scores",
        coords: Coords = "index",
        values: Any = None,
        window: int | None = None,
        temperature: float | None = None,
        period: float | Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        with naming("SoftArgmax"):
            self._spec = spec_of(axis, float(beta_of(beta, temperature)), kind, coords, values, period, window)
            if trainable_beta and kind == "probs":
                raise OptionError("trainable_beta: probabilities are taken as they are, without β")
        self.trainable_beta = trainable_beta
        self.log_beta: Any = None

    @property
    def beta(self) -> float:
        """Return the current inverse temperature."""
        if self.log_beta is None:
            return self._spec.beta
        return math.exp(float(keras.ops.convert_to_numpy(self.log_beta)))

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Check the lengths, and make the weight if β is trained."""
        with naming("SoftArgmax"):
            resolved(self._spec, tuple(input_shape), "float32")
        if self.trainable_beta:
            self.log_beta = self.add_weight(
                name="log_beta",
                shape=(),
                # Not `Constant`, which first rounds to the default dtype of Keras.
                initializer=lambda shape, dtype: ops.full(shape, math.log(self._spec.beta), dtype),
                # Half precision, stored or computed, would round β by a hundredth.
                dtype="float64" if self.variable_dtype == "float64" else "float32",
                autocast=False,
            )

    def call(self, inputs: Any) -> Any:
        """Return the coordinates of one batch."""
        return soft_of(inputs, self._spec, self._spec.beta if self.log_beta is None else ops.exp(self.log_beta))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return the shape of the coordinates."""
        with naming("SoftArgmax"):
            problem = resolved(self._spec, tuple(input_shape), "float32")
        several = () if len(problem.axes) == 1 else (len(problem.axes),)
        return (*(input_shape[k] for k in problem.kept), *several)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments in plain Python, with the initial β."""
        spec, several = self._spec, len(self._spec.axes) > 1
        values = None if spec.values is None else [part.tolist() for part in spec.values]
        return {
            **super().get_config(),
            # Not "axis": of a list with that name, Keras takes only the first when it loads a model from .h5.
            "axes": list(spec.axes) if several else spec.axes[0],
            "beta": spec.beta,
            "trainable_beta": self.trainable_beta,
            "kind": spec.kind,
            "coords": spec.coords if isinstance(spec.coords, str) else list(spec.coords),
            "values": values if values is None or several else values[0],
            "period": None if spec.period is None else list(spec.period),
            "window": spec.window,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SoftArgmax:
        """Make a layer from the result of `get_config`."""
        axes = config["axes"]
        return cls(axis=axes, **{name: value for name, value in config.items() if name != "axes"})
