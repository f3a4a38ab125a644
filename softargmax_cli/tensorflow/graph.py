"""A TensorFlow graph built through the C API, in the vocabulary of `tf.raw_ops`."""

from __future__ import annotations

import ctypes as C
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from softargmax_cli.tensorflow.base import Array, Body, Tensor
from softargmax_cli.tensorflow.capi import Output, checked

# TF_DataType of tensorflow/c/tf_datatype.h.
CODES: dict[np.dtype[Any], int] = {
    np.dtype(name): code
    for name, code in {
        "float32": 1,
        "float64": 2,
        "int32": 3,
        "uint8": 4,
        "int16": 5,
        "int8": 6,
        "int64": 9,
        "bool": 10,
        "uint16": 17,
        "float16": 19,
        "uint32": 22,
        "uint64": 23,
    }.items()
}
DTYPES = {code: dtype for dtype, code in CODES.items()}

TRUE = b"\x28\x01"
"""A serialised AttrValue{b: true} (tensorflow/core/framework/attr_value.proto)."""


class Graph:
    """Adds operations by name with the keywords of `tf.raw_ops`: `graph.Max(input=x, axis=a, keep_dims=True)`."""

    def __init__(self, tf: C.CDLL) -> None:
        self._tf = tf
        self.handle = tf.TF_NewGraph()
        weakref.finalize(self, tf.TF_DeleteGraph, self.handle).atexit = False
        self._count = 0

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        if not operation[:1].isupper():
            raise AttributeError(operation)
        return lambda **keywords: self.add(operation, keywords)

    def placeholder(self, tensor: Tensor) -> Output:
        """Add a value that is fed."""
        shape, dtype = tensor
        dims = (C.c_int64 * len(shape))(*shape)
        hole: Output = self.add(
            "Placeholder", {"dtype": dtype}, lambda node: self._tf.TF_SetAttrShape(node, b"shape", dims, len(dims))
        )
        return hole

    def add(self, operation: str, keywords: dict[str, Any], more: Callable[[int], None] | None = None) -> Any:
        """Add one operation; an Output, or a list where it has several results. Raises DeviceError."""
        tf = self._tf
        given = {key: self._constant(v) if isinstance(v, np.ndarray | np.generic) else v for key, v in keywords.items()}
        self._count += 1
        node = tf.TF_NewOperation(self.handle, operation.encode(), f"{operation}_{self._count}".encode())
        for key, value in given.items():
            if isinstance(value, Output):
                tf.TF_AddInput(node, value)
            elif isinstance(value, list):
                tf.TF_AddInputList(node, (Output * len(value))(*value), len(value))
            elif isinstance(value, bool):
                tf.TF_SetAttrBool(node, key.encode(), value)
            elif isinstance(value, int):
                tf.TF_SetAttrInt(node, key.encode(), value)
            else:
                tf.TF_SetAttrType(node, key.encode(), CODES[np.dtype(value)])
        if more is not None:
            more(node)
        made = checked(tf, lambda status: tf.TF_FinishOperation(node, status))
        outputs = [Output(made, k) for k in range(tf.TF_OperationNumOutputs(made))]
        return outputs[0] if len(outputs) == 1 else outputs

    def _constant(self, value: Array | np.generic) -> Output:
        tf, array = self._tf, np.ascontiguousarray(value).reshape(np.shape(value))
        dims = (C.c_int64 * array.ndim)(*array.shape)
        tensor = tf.TF_AllocateTensor(CODES[array.dtype], dims, array.ndim, array.nbytes)
        C.memmove(tf.TF_TensorData(tensor), array.ctypes.data, array.nbytes)

        def fill(node: int) -> None:
            checked(tf, lambda status: tf.TF_SetAttrTensor(node, b"value", tensor, status))

        try:
            output: Output = self.add("Const", {"dtype": array.dtype}, fill)
        finally:
            tf.TF_DeleteTensor(tensor)
        return output

    def call_compiled(self, body: Body, inputs: Sequence[Tensor], arguments: Sequence[Output]) -> list[Output]:
        """Add a call of `body` as one function that XLA must compile."""
        tf = self._tf
        inner = Graph(tf)
        holes = [inner.placeholder(tensor) for tensor in inputs]
        results = list(body(inner, *holes))
        types = [tf.TF_OperationOutputType(result) for result in results]
        self._count += 1
        name = f"compiled_{self._count}".encode()
        ends = (len(holes), (Output * len(holes))(*holes), len(results), (Output * len(results))(*results))
        function = checked(
            tf, lambda status: tf.TF_GraphToFunction(inner.handle, name, 0, -1, None, *ends, None, None, None, status)
        )
        flag = b"_XlaMustCompile"
        try:
            checked(tf, lambda status: tf.TF_FunctionSetAttrValueProto(function, flag, TRUE, len(TRUE), status))
            checked(tf, lambda status: tf.TF_GraphCopyFunction(self.handle, function, None, status))
        finally:
            tf.TF_DeleteFunction(function)

        def describe(node: int) -> None:
            tf.TF_AddInputList(node, (Output * len(arguments))(*arguments), len(arguments))
            given = (C.c_int * len(inputs))(*(CODES[dtype] for _, dtype in inputs))
            tf.TF_SetAttrTypeList(node, b"Tin", given, len(given))
            made = (C.c_int * len(results))(*types)
            tf.TF_SetAttrTypeList(node, b"Tout", made, len(made))
            tf.TF_SetAttrFuncName(node, b"f", name, len(name))
            tf.TF_SetAttrBool(node, flag, True)

        outputs = self.add("PartitionedCall", {}, describe)
        return outputs if isinstance(outputs, list) else [outputs]
