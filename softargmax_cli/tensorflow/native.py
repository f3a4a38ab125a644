"""TensorFlow on the CPU through its C API: the same kernels and XLA, without `import tensorflow`.

A session here never opens a GPU: an exception of C++ on the way to one would end the process.
"""

from __future__ import annotations

import ctypes as C
import threading
import weakref
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from softargmax_cli.tensorflow.base import Array, Body, Function, Runtime, Tensor
from softargmax_cli.tensorflow.capi import DEALLOCATOR, PTR, Output, Status
from softargmax_cli.tensorflow.graph import CODES, DTYPES, Graph

# A serialised ConfigProto, field by field (tensorflow/core/protobuf/config.proto).
CONFIG = (
    b"\x0a\x07\x0a\x03GPU\x10\x00"  # device_count {"GPU": 0}
    b"\x10\x01"  # intra_op_parallelism_threads: 1
    b"\x28" + b"\xff" * 9 + b"\x01"  # inter_op_parallelism_threads: -1, the caller's thread
    b"\x52\x05\x52\x03\x98\x01\x01"  # graph_options {rewrite_options {disable_meta_optimizer: true}}
)


class NativeRuntime(Runtime):
    """One session; functions are added to its graph as they are asked for.

    Blocks are computed in the thread that asks, one thread each: the caller runs several at once,
    which keeps all cores busy without two pools of threads getting in each other's way.
    """

    name = "native"
    device = "CPU"

    def __init__(self, tf: C.CDLL) -> None:
        super().__init__()
        self.version = tf.TF_Version().decode()
        self._session = Session(tf)

    def _make(self, body: Body, inputs: Sequence[Tensor], *, compiled: bool) -> Function:
        graph = self._session.graph
        holes = [graph.placeholder(tensor) for tensor in inputs]
        outputs = graph.call_compiled(body, inputs, holes) if compiled else list(body(graph, *holes))
        return NativeFunction(self._session, holes, outputs)


class Session:
    """A graph and the session that runs it, open for as long as somebody holds this."""

    def __init__(self, tf: C.CDLL) -> None:
        self.tf, self.graph = tf, Graph(tf)
        options = tf.TF_NewSessionOptions()
        try:
            with Status(tf) as status:
                tf.TF_SetConfig(options, CONFIG, len(CONFIG), status)
            with Status(tf) as status:
                self.handle: int = tf.TF_NewSession(self.graph.handle, options, status)
        finally:
            tf.TF_DeleteSessionOptions(options)
        weakref.finalize(self, _end, tf, self.handle).atexit = False


def _end(tf: C.CDLL, session: int) -> None:
    for end in (tf.TF_CloseSession, tf.TF_DeleteSession):
        with Status(tf) as status:
            end(session, status)


class NativeFunction(Function):
    """Feeds placeholders and fetches outputs of a session; inputs are lent, outputs copied out."""

    def __init__(self, session: Session, inputs: Sequence[Output], outputs: Sequence[Output]) -> None:
        self._session = session
        self._inputs = (Output * len(inputs))(*inputs)
        self._outputs = (Output * len(outputs))(*outputs)

    def __call__(self, *inputs: Array) -> list[Array]:
        tf = self._session.tf
        loan = Loan(len(inputs))
        lent = (PTR * len(inputs))(*(loan.lend(tf, array) for array in inputs))
        got = (PTR * len(self._outputs))()
        try:
            with Status(tf) as status:
                tf.TF_SessionRun(
                    *(self._session.handle, None, self._inputs, lent, len(lent)),
                    *(self._outputs, got, len(got), None, 0, None, status),
                )
            return [_copy(tf, tensor) for tensor in filter(None, got)]
        finally:
            for tensor in (*lent, *filter(None, got)):
                tf.TF_DeleteTensor(tensor)
            loan.wait()


def _copy(tf: C.CDLL, tensor: int) -> Array:
    shape = [tf.TF_Dim(tensor, k) for k in range(tf.TF_NumDims(tensor))]
    array: Array = np.empty(shape, DTYPES[tf.TF_TensorType(tensor)])
    C.memmove(array.ctypes.data, tf.TF_TensorData(tensor), array.nbytes)
    return array


class Loan:
    """Arrays whose memory TensorFlow uses, without a copy where it is 64-byte aligned, until it gives it back."""

    _open: ClassVar[dict[int, Loan]] = {}

    def __init__(self, count: int) -> None:
        self._out, self._returned = count, threading.Event()
        self._kept: list[Array] = []
        Loan._open[id(self)] = self
        if not count:
            self._returned.set()

    def lend(self, tf: C.CDLL, array: Array) -> int:
        """Make a TF_Tensor over the memory of `array`, which must be C-contiguous."""
        self._kept.append(array)
        dims = (C.c_int64 * array.ndim)(*array.shape)
        tensor: int = tf.TF_NewTensor(
            CODES[array.dtype], dims, array.ndim, array.ctypes.data, array.nbytes, _give_back, id(self)
        )
        return tensor

    def wait(self) -> None:
        """Return when TensorFlow has let go of every array."""
        self._returned.wait()
        del Loan._open[id(self)]


def _returned(data: int, size: int, loan: int) -> None:
    lender = Loan._open[loan]
    lender._out -= 1  # safe: the interpreter's lock is held in a callback
    if lender._out == 0:
        lender._returned.set()


_give_back = DEALLOCATOR(_returned)
