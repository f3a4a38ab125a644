"""TensorFlow through its C API: the same kernels and XLA, without `import tensorflow`."""

from __future__ import annotations

import contextlib
import ctypes as C
import threading
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from softargmax_cli.tensorflow.base import Array, Body, Function, Runtime, Seen, Tensor, choose_device
from softargmax_cli.tensorflow.capi import DEALLOCATOR, PTR, Output, Status
from softargmax_cli.tensorflow.graph import CODES, DTYPES, Graph

# Serialised protocol buffers, field by field (tensorflow/core/protobuf/config.proto).
NO_GPU = b"\x0a\x07\x0a\x03GPU\x10\x00"  # ConfigProto{device_count {"GPU": 0}}
GROW_MEMORY = b"\x32\x02\x20\x01"  # ConfigProto{gpu_options {allow_growth: true}}
SOFT_PLACEMENT = b"\x38\x01"  # ConfigProto{allow_soft_placement: true}
ONE_THREAD_EACH = b"\x10\x01"  # ConfigProto{intra_op_parallelism_threads: 1}
AS_GIVEN = (
    b"\x52\x05\x52\x03\x98\x01\x01"  # ConfigProto{graph_options {rewrite_options {disable_meta_optimizer: true}}}
)
CALLERS_THREAD = b"\x28" + b"\xff" * 9 + b"\x01"  # ConfigProto{inter_op_parallelism_threads: -1}


class NativeRuntime(Runtime):
    """One graph and one session; functions are added to the graph as they are asked for.

    Blocks are computed in the thread that asks, one thread each: the caller runs several at once,
    which keeps all cores busy without two pools of threads getting in each other's way.
    """

    name = "native"

    def __init__(self, tf: C.CDLL, device: str) -> None:
        super().__init__()
        self._tf = tf
        self.version = tf.TF_Version().decode()
        config = (
            ONE_THREAD_EACH + CALLERS_THREAD + AS_GIVEN + SOFT_PLACEMENT + (NO_GPU if device == "cpu" else GROW_MEMORY)
        )
        self._graph = Graph(tf)
        with contextlib.ExitStack() as undo:
            undo.callback(self._graph.close)
            self._session = self._open_session(config)
            undo.callback(self._close_session)
            self.device = choose_device(device, self.devices(), self.version)
            undo.pop_all()
        self._graph.device = self.device

    def _open_session(self, config: bytes) -> int:
        tf = self._tf
        options = tf.TF_NewSessionOptions()
        try:
            with Status(tf) as status:
                tf.TF_SetConfig(options, config, len(config), status)
            with Status(tf) as status:
                session: int = tf.TF_NewSession(self._graph.handle, options, status)
        finally:
            tf.TF_DeleteSessionOptions(options)
        return session

    def devices(self) -> list[str]:
        """What TensorFlow sees, as "CPU:0", "GPU:0"."""
        return [device.name for device in self.seen()]

    def seen(self) -> list[Seen]:
        tf = self._tf
        with Status(tf) as status:
            listed = tf.TF_SessionListDevices(self._session, status)
        try:
            found = []
            for k in range(tf.TF_DeviceListCount(listed)):
                with Status(tf) as status:
                    name = tf.TF_DeviceListName(listed, k, status).decode().rpartition("device:")[2]
                with Status(tf) as status:
                    memory = tf.TF_DeviceListMemoryBytes(listed, k, status)
                found.append(Seen(name, memory if name.startswith("GPU:") else None))  # a CPU's says nothing
        finally:
            tf.TF_DeleteDeviceList(listed)
        return found

    def _make(self, body: Body, inputs: Sequence[Tensor], *, compiled: bool) -> Function:
        holes = [self._graph.placeholder(tensor) for tensor in inputs]
        outputs = self._graph.call_compiled(body, inputs, holes) if compiled else list(body(self._graph, *holes))
        return NativeFunction(self._tf, self._session, holes, outputs)

    def _close_session(self) -> None:
        for end in (self._tf.TF_CloseSession, self._tf.TF_DeleteSession):
            with Status(self._tf) as status:
                end(self._session, status)

    def close(self) -> None:
        self._close_session()
        self._graph.close()


class NativeFunction(Function):
    """Feeds placeholders and fetches outputs of a session; inputs are lent, outputs copied out."""

    def __init__(self, tf: C.CDLL, session: int, inputs: Sequence[Output], outputs: Sequence[Output]) -> None:
        self._tf, self._session = tf, session
        self._inputs = (Output * len(inputs))(*inputs)
        self._outputs = (Output * len(outputs))(*outputs)

    def __call__(self, *inputs: Array) -> list[Array]:
        tf = self._tf
        loan = Loan(len(inputs))
        lent = (PTR * len(inputs))(*(loan.lend(tf, array) for array in inputs))
        got = (PTR * len(self._outputs))()
        try:
            with Status(tf) as status:
                tf.TF_SessionRun(
                    *(self._session, None, self._inputs, lent, len(lent)),
                    *(self._outputs, got, len(got), None, 0, None, status),
                )
            return [self._copy(tensor) for tensor in filter(None, got)]
        finally:
            for tensor in (*lent, *filter(None, got)):
                tf.TF_DeleteTensor(tensor)
            loan.wait()

    def _copy(self, tensor: int) -> Array:
        tf = self._tf
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
        """A TF_Tensor over the memory of `array`, which must be C-contiguous."""
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
