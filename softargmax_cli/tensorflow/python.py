"""TensorFlow through `import tensorflow`: where its C library cannot be loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from softargmax_cli.errors import DeviceError
from softargmax_cli.tensorflow.base import Array, Body, Function, Runtime, Seen, Tensor, choose_device


class PythonRuntime(Runtime):
    """Bodies become `tf.function`s over `tf.raw_ops`."""

    name = "python"

    def __init__(self, device: str) -> None:
        super().__init__()
        self.version = str(tf.__version__)
        tf.get_logger().setLevel("ERROR")  # it takes blocks of many shapes for a mistake, and warns of it
        for gpu in tf.config.list_physical_devices("GPU"):
            if device != "cpu":
                with contextlib.suppress(RuntimeError, ValueError):  # TensorFlow is at work already, as it was set up
                    tf.config.experimental.set_memory_growth(gpu, True)
        self.device = choose_device(device, [seen.name for seen in self.seen()], self.version)

    def seen(self) -> list[Seen]:
        found = []
        for device in tf.config.list_physical_devices():
            details = tf.config.experimental.get_device_details(device)
            name = device.name.removeprefix("/physical_device:")
            found.append(Seen(name, description=details.get("device_name")))
        return found

    def _make(self, body: Body, inputs: Sequence[Tensor], *, compiled: bool) -> Function:
        call = tf.function(
            lambda *tensors: list(body(Ops(), *tensors)),
            input_signature=[tf.TensorSpec(shape, dtype) for shape, dtype in inputs],
            jit_compile=compiled,
            autograph=False,
        )
        try:
            return PythonFunction(call.get_concrete_function(), self.device)
        except (AttributeError, TypeError, ValueError) as error:
            raise DeviceError(f"TensorFlow failed: {error}") from error

    def close(self) -> None:
        """Nothing to do: TensorFlow lives as long as the process."""


class Ops:
    """The operations of `tf.raw_ops`, and gradients."""

    def __getattr__(self, operation: str) -> Any:
        return getattr(tf.raw_ops, operation)

    @staticmethod
    def gradients(ys: Sequence[Any], xs: Sequence[Any], seeds: Sequence[Any]) -> list[Any]:
        """For each of `xs` the sum over `ys` of seed · ∂y/∂x."""
        return list(tf.gradients(list(ys), list(xs), list(seeds)))


class PythonFunction(Function):
    """Runs a `tf.function` on one device."""

    def __init__(self, call: Any, device: str) -> None:
        self._call, self._device = call, f"/{device}:0" if device == "CPU" else f"/{device}"

    def __call__(self, *inputs: Array) -> list[Array]:
        try:
            with tf.device(self._device):
                return [output.numpy() for output in self._call(*map(tf.constant, inputs))]
        except tf.errors.OpError as error:
            raise DeviceError(f"TensorFlow failed: {error.message}") from error
