"""TensorFlow through `import tensorflow`: on GPUs and plug-in devices, and if its C library cannot be loaded."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from softargmax_cli.errors import DeviceError, NoSuchDeviceError, parameter
from softargmax_cli.tensorflow.base import Array, Body, Function, Runtime, Tensor, filled
from softargmax_cli.tensorflow.survey import surveyed


class PythonRuntime(Runtime):
    """Bodies become `tf.function`s over `tf.raw_ops`."""

    name = "python"

    def __init__(self, device: str, *, alone: bool = False) -> None:
        """Open `device`: "cpu", "gpu" or "gpu:N"; `alone`: nothing else uses TensorFlow in this process.

        Raises NoSuchDeviceError if TensorFlow does not see it, DeviceError if it cannot be opened.
        """
        super().__init__()
        self.version = str(tf.__version__)
        if alone:
            tf.get_logger().setLevel("ERROR")  # it warns of blocks of many shapes
            if device == "cpu":
                with contextlib.suppress(RuntimeError):  # it is at work already
                    tf.config.set_visible_devices([], "GPU")  # one that cannot be opened would stop the CPU, too
        self.device = "CPU" if device == "cpu" else self._open_gpu(device)

    def _open_gpu(self, asked: str) -> str:
        where = f"{parameter('device', asked)}: TensorFlow {self.version}"
        gpus, number = find_gpus(), int(asked.partition(":")[2] or 0)
        if not gpus:
            why, remedy = surveyed().no_gpu()
            raise NoSuchDeviceError(f"{where} sees no GPU here: {why}", remedy)
        if number >= len(gpus):
            names = ", ".join(f"GPU:{k}" for k in range(len(gpus)))
            raise NoSuchDeviceError(f"{where} sees only {names} here", f"use {parameter('device', 'gpu')}")
        for gpu in gpus:
            with contextlib.suppress(RuntimeError, ValueError):  # TensorFlow is at work already, as it was set up
                tf.config.experimental.set_memory_growth(gpu, True)
        try:
            tf.config.list_logical_devices("GPU")  # opens them
        except tf.errors.OpError as error:
            remedy = f"use {parameter('device', 'cpu')}; softargmax devices says more"
            raise DeviceError(f"{where} cannot open the GPU: {error.message}", remedy) from error
        return f"GPU:{number}"

    def _make(self, body: Body, inputs: Sequence[Tensor], *, compiled: bool) -> Function:
        call = tf.function(
            lambda *tensors: list(body(tf.raw_ops, *tensors)),
            input_signature=[tf.TensorSpec(shape, dtype) for shape, dtype in inputs],
            jit_compile=compiled,
            autograph=False,
        )
        try:
            concrete = call.get_concrete_function()
        except (AttributeError, TypeError, ValueError) as error:
            raise DeviceError(f"TensorFlow failed: {error}") from error
        device = "/CPU:0" if self.device == "CPU" else f"/{self.device}"

        def function(*inputs: Array, into: Sequence[Array] | None = None) -> list[Array]:
            try:
                with tf.device(device):
                    outputs = [output.numpy() for output in concrete(*map(tf.constant, inputs))]
            except tf.errors.OpError as error:
                raise DeviceError(f"TensorFlow failed: {error.message}") from error
            return outputs if into is None else filled(into, outputs)

        return function


def find_gpus() -> list[Any]:
    """List the GPUs that TensorFlow sees, as in `tf.config`.

    TensorFlow 2.21 looks for libcusolver without the path of the nvidia packages, and finds it if it is loaded.
    """
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec and spec.submodule_search_locations) or ():
        for library in Path(folder).glob("cusolver/lib/libcusolver.so.*"):
            with contextlib.suppress(OSError):  # TensorFlow says that it is missing
                ctypes.CDLL(str(library))
    return list(tf.config.list_physical_devices("GPU"))


def survey() -> dict[str, Any]:
    """Collect the facts of a `Survey`: the build, the devices, and the error if these cannot be opened."""
    build, devices, error = tf.sysconfig.get_build_info(), [], None
    find_gpus()
    for device in tf.config.list_physical_devices():
        description = tf.config.experimental.get_device_details(device).get("device_name")
        devices.append(", ".join(filter(None, [device.name.removeprefix("/physical_device:"), description])))
    try:
        tf.config.list_logical_devices()  # opens them
    except tf.errors.OpError as failure:
        error = failure.message
    cuda, cudnn = build.get("cuda_version"), build.get("cudnn_version")
    built_with = f"CUDA {cuda}, cuDNN {cudnn}" if cuda else "" if build.get("is_cuda_build") is False else None
    return {"version": str(tf.__version__), "built_with": built_with, "devices": devices, "error": error}
