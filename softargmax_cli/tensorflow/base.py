"""The interface of TensorFlow for the reduction, common to its runtimes.

A *body* is a function `(ops, *tensors) -> tensors` written in the vocabulary of `tf.raw_ops`:
operations by name with their keyword arguments, inputs in the order of the operation's definition.
NumPy arrays and scalars are constants, Python numbers and NumPy dtypes are attributes.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Body = Callable[..., Sequence[Any]]
Function = Callable[..., list[Array]]
"""A body prepared for fixed input shapes: takes arrays, to which it keeps no reference, and returns arrays.

With `into`, arrays of the outputs' shapes in any dtypes, it fills and returns these. Any thread may call it.
"""
Tensor = tuple[tuple[int, ...], np.dtype[Any]]
"""The static shape and the dtype of one input of a function."""
KEPT_FUNCTIONS = 32
"""The most functions that a runtime keeps for reuse."""


class Runtime(ABC):
    """TensorFlow, on one device. Its resources are released with the last reference to it and its functions."""

    name: str
    """"native" or "python"."""
    version: str
    """TensorFlow's own."""
    device: str
    """The device that computes: "CPU" or "GPU:0"."""

    def __init__(self) -> None:
        self._functions: dict[tuple[Hashable, bool], Function] = {}
        self._making = threading.Lock()

    def function(self, body: Body, inputs: Sequence[Tensor], *, compiled: bool, key: Hashable) -> Function:
        """Prepare `body`; if `compiled`, XLA makes one program of it, which costs a tenth of a second.

        Bodies with the same `key` are equal, and prepared once. Raises DeviceError when TensorFlow refuses.
        """
        with self._making:
            if (key, compiled) not in self._functions:
                if len(self._functions) >= KEPT_FUNCTIONS:
                    self._functions.clear()
                self._functions[key, compiled] = self._make(body, inputs, compiled=compiled)
            return self._functions[key, compiled]

    @abstractmethod
    def _make(self, body: Body, inputs: Sequence[Tensor], *, compiled: bool) -> Function:
        """Prepare one function; never two at a time."""


def filled(into: Sequence[Array], outputs: Sequence[Array]) -> list[Array]:
    """Copy outputs into arrays of their shapes; return these."""
    for array, output in zip(into, outputs, strict=True):
        array[...] = output
    return list(into)
