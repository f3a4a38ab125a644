"""TensorFlow on the CPU through its C API: the same kernels and XLA, without `import tensorflow`.

A session here never opens a GPU: an exception of C++ on the way to one would end the process.
"""

from __future__ import annotations

import ctypes as C
import itertools
import weakref
from collections.abc import Sequence
from queue import SimpleQueue

import numpy as np

from softargmax_cli.tensorflow.base import Array, Body, Function, Runtime, Tensor
from softargmax_cli.tensorflow.capi import DEALLOCATOR, PTR, Output, checked
from softargmax_cli.tensorflow.graph import CODES, DTYPES, Graph

# A serialised ConfigProto, field by field (tensorflow/core/protobuf/config.proto).
CONFIG = (
    b"\x0a\x07\x0a\x03GPU\x10\x00"  # device_count {"GPU": 0}
    b"\x10\x01"  # intra_op_parallelism_threads: 1
    b"\x28" + b"\xff" * 9 + b"\x01"  # inter_op_parallelism_threads: -1, the caller's thread
    b"\x52\x05\x52\x03\x98\x01\x01"  # graph_options {rewrite_options {disable_meta_optimizer: true}}
)


class NativeRuntime(Runtime):
    """Each function has a graph and a session of its own, which takes a tenth of a millisecond.

    Blocks are computed in the thread that asks, one thread each: the caller runs several at once,
    which keeps all cores busy without two pools of threads getting in each other's way.
    """

    name = "native"
    device = "CPU"

    def __init__(self, tf: C.CDLL) -> None:
        super().__init__()
        self.version, self._tf = tf.TF_Version().decode(), tf
        Session(tf)  # the first of a process takes longer, and fails where others would

    def _make(self, body: Body, inputs: Sequence[Tensor], *, compiled: bool) -> Function:
        session = Session(self._tf)
        graph = session.graph
        holes = [graph.placeholder(tensor) for tensor in inputs]
        outputs = graph.call_compiled(body, inputs, holes) if compiled else list(body(graph, *holes))
        return NativeFunction(session, holes, outputs)


class Session:
    """A graph and the session that runs it, open for as long as somebody holds this."""

    def __init__(self, tf: C.CDLL) -> None:
        self.tf, self.graph = tf, Graph(tf)
        options = tf.TF_NewSessionOptions()
        try:
            checked(tf, lambda status: tf.TF_SetConfig(options, CONFIG, len(CONFIG), status))
            self.handle = checked(tf, lambda status: tf.TF_NewSession(self.graph.handle, options, status))
        finally:
            tf.TF_DeleteSessionOptions(options)
        weakref.finalize(self, _end, tf, self.handle).atexit = False


def _end(tf: C.CDLL, session: int) -> None:
    checked(tf, lambda status: tf.TF_CloseSession(session, status))
    checked(tf, lambda status: tf.TF_DeleteSession(session, status))


class NativeFunction(Function):
    """Feeds placeholders and fetches outputs of a session; inputs are lent, outputs copied out."""

    def __init__(self, session: Session, inputs: Sequence[Output], outputs: Sequence[Output]) -> None:
        self._session = session
        self._inputs = (Output * len(inputs))(*inputs)
        self._outputs = (Output * len(outputs))(*outputs)

    def __call__(self, *inputs: Array, into: Sequence[Array] | None = None) -> list[Array]:
        tf, returned = self._session.tf, SimpleQueue[int]()
        lent = (PTR * len(inputs))(*(_lend(tf, array, returned) for array in inputs))
        got = (PTR * len(self._outputs))()
        fed, fetched = (self._inputs, lent, len(lent)), (self._outputs, got, len(got))
        try:
            checked(
                tf,
                lambda status: tf.TF_SessionRun(self._session.handle, None, *fed, *fetched, None, 0, None, status),
            )
            outputs = [_view(tf, tensor) for tensor in filter(None, got)]
            if into is None:
                return [output.copy() for output in outputs]
            for array, output in zip(into, outputs, strict=True):
                array[...] = output
            return list(into)
        finally:
            for tensor in (*lent, *filter(None, got)):
                tf.TF_DeleteTensor(tensor)
            for _ in lent:
                returned.get()


def _view(tf: C.CDLL, tensor: int) -> Array:
    """Return an array over the memory of a tensor, which must outlive it."""
    shape = [tf.TF_Dim(tensor, k) for k in range(tf.TF_NumDims(tensor))]
    memory = (C.c_char * tf.TF_TensorByteSize(tensor)).from_address(tf.TF_TensorData(tensor) or 0)
    array: Array = np.ndarray(shape, DTYPES[tf.TF_TensorType(tensor)], memory)
    return array


_loans: dict[int, tuple[Array, SimpleQueue[int]]] = {}
"""Arrays whose memory TensorFlow uses, by number, and where it is told that one is given back."""
_numbers = itertools.count(1)


def _lend(tf: C.CDLL, array: Array, returned: SimpleQueue[int]) -> int:
    """Make a TF_Tensor over the memory of a C-contiguous array, without a copy where it is 64-byte aligned."""
    number = next(_numbers)
    _loans[number] = array, returned
    dims = (C.c_int64 * array.ndim)(*array.shape)
    tensor: int = tf.TF_NewTensor(
        CODES[array.dtype], dims, array.ndim, array.ctypes.data, array.nbytes, _give_back, number
    )
    return tensor


def _returned(data: int, size: int, number: int) -> None:
    _, returned = _loans.pop(number)
    returned.put(number)


_give_back = DEALLOCATOR(_returned)
