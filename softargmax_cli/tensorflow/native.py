"""TensorFlow on the CPU through its C API: the same kernels and XLA, without `import tensorflow`.

A session here never opens a GPU: an exception of C++ on the way to one would end the process.
"""

from __future__ import annotations

import ctypes as C
import itertools
import weakref
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np

from softargmax_cli.tensorflow.base import Array, Body, Function, Runtime, Tensor, filled
from softargmax_cli.tensorflow.capi import DEALLOCATOR, PTR, Output, checked

_CODES = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "int64": 9, "bool": 10}
_CODES |= {"uint16": 17, "float16": 19, "uint32": 22, "uint64": 23}  # TF_DataType of tensorflow/c/tf_datatype.h
CODES: dict[np.dtype[Any], int] = {np.dtype(name): code for name, code in _CODES.items()}
DTYPES = {code: dtype for dtype, code in CODES.items()}
TRUE = b"\x28\x01"
"""A serialised AttrValue{b: true} (tensorflow/core/framework/attr_value.proto)."""
# A serialised ConfigProto, field by field (tensorflow/core/protobuf/config.proto).
CONFIG = (
    b"\x0a\x07\x0a\x03GPU\x10\x00"  # device_count {"GPU": 0}
    b"\x10\x01"  # intra_op_parallelism_threads: 1
    b"\x28" + b"\xff" * 9 + b"\x01"  # inter_op_parallelism_threads: -1, the caller's thread
    b"\x52\x05\x52\x03\x98\x01\x01"  # graph_options {rewrite_options {disable_meta_optimizer: true}}
)


class NativeRuntime(Runtime):
    """Each function has a graph and a session of its own, which takes a tenth of a millisecond.

    A block is computed in the calling thread alone: the caller runs several threads at once, which keeps all cores
    busy without two competing pools of threads.
    """

    name = "native"
    device = "CPU"

    def __init__(self, tf: C.CDLL) -> None:
        super().__init__()
        self.version, self._tf = tf.TF_Version().decode(), tf
        NativeFunction(tf, lambda ops: [], [], compiled=False)  # the first session takes longer, and fails if any would

    def _make(self, body: Body, inputs: Sequence[Tensor], *, compiled: bool) -> Function:
        return NativeFunction(self._tf, body, inputs, compiled=compiled)


class NativeFunction:
    """A graph and the session that runs it: inputs are lent to its placeholders, its outputs copied."""

    def __init__(self, tf: C.CDLL, body: Body, inputs: Sequence[Tensor], *, compiled: bool) -> None:
        self._tf, graph = tf, Graph(tf)
        holes = graph.placeholders(inputs)
        outputs = graph.call_compiled(body, inputs, holes) if compiled else list(body(graph, *holes))
        self._inputs, self._outputs = _array(holes), _array(outputs)
        options = tf.TF_NewSessionOptions()
        try:
            checked(tf, lambda status: tf.TF_SetConfig(options, CONFIG, len(CONFIG), status))
            self._session = checked(tf, lambda status: tf.TF_NewSession(graph.handle, options, status))
        finally:
            tf.TF_DeleteSessionOptions(options)
        weakref.finalize(self, _end, tf, self._session).atexit = False

    def __call__(self, *inputs: Array, into: Sequence[Array] | None = None) -> list[Array]:
        tf, returned = self._tf, SimpleQueue[int]()
        lent = (PTR * len(inputs))(*(_lend(tf, array, returned) for array in inputs))
        got = (PTR * len(self._outputs))()
        fed, fetched = (self._inputs, lent, len(lent)), (self._outputs, got, len(got))
        try:
            checked(
                tf,
                lambda status: tf.TF_SessionRun(self._session, None, *fed, *fetched, None, 0, None, status),
            )
            outputs = [_view(tf, tensor) for tensor in filter(None, got)]
            return [output.copy() for output in outputs] if into is None else filled(into, outputs)
        finally:
            for tensor in (*lent, *filter(None, got)):
                tf.TF_DeleteTensor(tensor)
            for _ in lent:
                returned.get()


def _end(tf: C.CDLL, session: int) -> None:
    checked(tf, lambda status: tf.TF_CloseSession(session, status))
    checked(tf, lambda status: tf.TF_DeleteSession(session, status))


def _view(tf: C.CDLL, tensor: int) -> Array:
    """Return an array over the memory of a tensor, which must outlive it."""
    shape = [tf.TF_Dim(tensor, k) for k in range(tf.TF_NumDims(tensor))]
    memory = (C.c_char * tf.TF_TensorByteSize(tensor)).from_address(tf.TF_TensorData(tensor) or 0)
    array: Array = np.ndarray(shape, DTYPES[tf.TF_TensorType(tensor)], memory)
    return array


_loans: dict[int, SimpleQueue[int]] = {}
"""The queue that learns when TensorFlow gives an array's memory back, by the number of the loan."""
_numbers = itertools.count(1)


def _lend(tf: C.CDLL, array: Array, returned: SimpleQueue[int]) -> int:
    """Make a TF_Tensor over the memory of a C-contiguous array, without a copy if it is 64-byte aligned."""
    number = next(_numbers)
    _loans[number] = returned
    layout = CODES[array.dtype], (C.c_int64 * array.ndim)(*array.shape), array.ndim
    tensor: int = tf.TF_NewTensor(*layout, array.ctypes.data, array.nbytes, _give_back, number)
    return tensor


def _returned(data: int, size: int, number: int) -> None:
    _loans.pop(number).put(number)


_give_back = DEALLOCATOR(_returned)


def _array(outputs: Sequence[Output]) -> C.Array[Output]:
    return (Output * len(outputs))(*outputs)


class Graph:
    """Adds operations by name with the keywords of `tf.raw_ops`: `graph.Max(input=x, axis=a, keep_dims=True)`."""

    def __init__(self, tf: C.CDLL) -> None:
        self._tf, self.handle, self._count = tf, tf.TF_NewGraph(), 0
        weakref.finalize(self, tf.TF_DeleteGraph, self.handle).atexit = False

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        if not operation[:1].isupper():
            raise AttributeError(operation)
        return lambda **keywords: self.add(operation, keywords)

    def add(self, operation: str, keywords: Mapping[str, Any]) -> Any:
        """Add one operation; return an Output, or a list if it has several results. Raises DeviceError.

        Keywords are inputs, lists of inputs, and attributes, such as a shape (a tuple), a list of types by their codes,
        or the name of a function (bytes).
        """
        tf = self._tf
        given = {
            key: self.constant(value) if isinstance(value, np.ndarray | np.generic) else value
            for key, value in keywords.items()
        }
        node = self._begun(operation)
        for key, value in given.items():
            name = key.encode()
            match value:
                case Output():
                    tf.TF_AddInput(node, value)
                case [Output(), *_]:
                    tf.TF_AddInputList(node, _array(value), len(value))
                case list():
                    tf.TF_SetAttrTypeList(node, name, (C.c_int * len(value))(*value), len(value))
                case tuple():
                    tf.TF_SetAttrShape(node, name, (C.c_int64 * len(value))(*value), len(value))
                case bytes():
                    tf.TF_SetAttrFuncName(node, name, value, len(value))
                case bool():
                    tf.TF_SetAttrBool(node, name, value)
                case int():
                    tf.TF_SetAttrInt(node, name, value)
                case _:
                    tf.TF_SetAttrType(node, name, CODES[np.dtype(value)])
        return self._finished(node)

    def placeholders(self, inputs: Sequence[Tensor]) -> list[Output]:
        """Add inputs that each run is given."""
        return [self.add("Placeholder", {"dtype": dtype, "shape": shape}) for shape, dtype in inputs]

    def constant(self, value: Array | np.generic) -> Output:
        """Add a constant."""
        tf, array, returned = self._tf, np.asarray(value, order="C"), SimpleQueue[int]()
        node, tensor = self._begun("Const"), _lend(tf, array, returned)
        try:
            tf.TF_SetAttrType(node, b"dtype", CODES[array.dtype])
            checked(tf, lambda status: tf.TF_SetAttrTensor(node, b"value", tensor, status))  # which copies it
        finally:
            tf.TF_DeleteTensor(tensor)
            returned.get()
        output: Output = self._finished(node)
        return output

    def call_compiled(self, body: Body, inputs: Sequence[Tensor], arguments: list[Output]) -> list[Output]:
        """Add a call of `body` as one function that XLA must compile."""
        tf, inner = self._tf, Graph(self._tf)
        holes = inner.placeholders(inputs)
        results = list(body(inner, *holes))
        name, flag = f"compiled_{self._count}".encode(), "_XlaMustCompile"
        ends = (len(holes), _array(holes), len(results), _array(results))
        function = checked(
            tf, lambda status: tf.TF_GraphToFunction(inner.handle, name, 0, -1, None, *ends, None, None, None, status)
        )
        try:
            true = function, flag.encode(), TRUE, len(TRUE)
            checked(tf, lambda status: tf.TF_FunctionSetAttrValueProto(*true, status))
            checked(tf, lambda status: tf.TF_GraphCopyFunction(self.handle, function, None, status))
        finally:
            tf.TF_DeleteFunction(function)
        made = [tf.TF_OperationOutputType(result) for result in results]
        outputs = self.add("PartitionedCall", {"args": arguments, "Tout": made, "f": name, flag: True})
        return outputs if isinstance(outputs, list) else [outputs]

    def _begun(self, operation: str) -> int:
        self._count += 1
        node: int = self._tf.TF_NewOperation(self.handle, operation.encode(), f"{operation}_{self._count}".encode())
        return node

    def _finished(self, node: int) -> Any:
        made = checked(self._tf, lambda status: self._tf.TF_FinishOperation(node, status))
        outputs = [Output(made, k) for k in range(self._tf.TF_OperationNumOutputs(made))]
        return outputs[0] if len(outputs) == 1 else outputs
