"""TensorFlow's public C API (tensorflow/c/c_api.h), found in the installed wheel and bound by ctypes.

Loading it takes a tenth of the time of `import tensorflow`, and can go on in a thread.
"""

from __future__ import annotations

import ctypes as C
import functools
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from softargmax_cli.errors import DeviceError

PTR = C.c_void_p
LIBRARIES = (
    "libtensorflow_cc.so.2",
    "libtensorflow_cc.2.dylib",
    "python/_pywrap_tensorflow_common.dll",  # exports all that is needed here, by its import library
)
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of malloc.h


class Output(C.Structure):
    """TF_Output: one result of an operation."""

    _fields_ = (("operation", PTR), ("index", C.c_int))


OUTPUTS, INT64S, INTS, PTRS = C.POINTER(Output), C.POINTER(C.c_int64), C.POINTER(C.c_int), C.POINTER(PTR)
DEALLOCATOR = C.CFUNCTYPE(None, PTR, C.c_size_t, PTR)
TEXT, SIZE = C.c_char_p, C.c_size_t

# Function: (result, *arguments), as in c_api.h.
SIGNATURES = {
    "TF_Version": (TEXT,),
    "TF_NewStatus": (PTR,),
    "TF_DeleteStatus": (None, PTR),
    "TF_GetCode": (C.c_int, PTR),
    "TF_Message": (TEXT, PTR),
    "TF_NewGraph": (PTR,),
    "TF_DeleteGraph": (None, PTR),
    "TF_NewOperation": (PTR, PTR, TEXT, TEXT),
    "TF_FinishOperation": (PTR, PTR, PTR),
    "TF_OperationNumOutputs": (C.c_int, PTR),
    "TF_OperationOutputType": (C.c_int, Output),
    "TF_AddInput": (None, PTR, Output),
    "TF_AddInputList": (None, PTR, OUTPUTS, C.c_int),
    "TF_SetAttrType": (None, PTR, TEXT, C.c_int),
    "TF_SetAttrTypeList": (None, PTR, TEXT, INTS, C.c_int),
    "TF_SetAttrBool": (None, PTR, TEXT, C.c_ubyte),
    "TF_SetAttrInt": (None, PTR, TEXT, C.c_int64),
    "TF_SetAttrShape": (None, PTR, TEXT, INT64S, C.c_int),
    "TF_SetAttrTensor": (None, PTR, TEXT, PTR, PTR),
    "TF_SetAttrFuncName": (None, PTR, TEXT, TEXT, SIZE),
    "TF_GraphToFunction": (
        *(PTR, PTR, TEXT, C.c_ubyte, C.c_int, PTR),
        *(C.c_int, OUTPUTS, C.c_int, OUTPUTS, PTR, PTR, TEXT, PTR),
    ),
    "TF_DeleteFunction": (None, PTR),
    "TF_FunctionSetAttrValueProto": (None, PTR, TEXT, TEXT, SIZE, PTR),
    "TF_GraphCopyFunction": (None, PTR, PTR, PTR, PTR),
    "TF_NewTensor": (PTR, C.c_int, INT64S, C.c_int, PTR, SIZE, DEALLOCATOR, PTR),
    "TF_DeleteTensor": (None, PTR),
    "TF_TensorData": (PTR, PTR),
    "TF_TensorByteSize": (SIZE, PTR),
    "TF_TensorType": (C.c_int, PTR),
    "TF_NumDims": (C.c_int, PTR),
    "TF_Dim": (C.c_int64, PTR, C.c_int),
    "TF_NewSessionOptions": (PTR,),
    "TF_DeleteSessionOptions": (None, PTR),
    "TF_SetConfig": (None, PTR, TEXT, SIZE, PTR),
    "TF_NewSession": (PTR, PTR, PTR, PTR),
    "TF_CloseSession": (None, PTR, PTR),
    "TF_DeleteSession": (None, PTR, PTR),
    "TF_SessionRun": (None, PTR, PTR, OUTPUTS, PTRS, C.c_int, OUTPUTS, PTRS, C.c_int, PTR, C.c_int, PTR, PTR),
}


def checked(tf: C.CDLL, call: Callable[[int], Any]) -> Any:
    """Call a function of the C API that takes a TF_Status. Raises DeviceError if that reports an error."""
    status = tf.TF_NewStatus()
    try:
        result = call(status)
        if tf.TF_GetCode(status):
            raise DeviceError(f"TensorFlow failed: {tf.TF_Message(status).decode(errors='replace')}")
    finally:
        tf.TF_DeleteStatus(status)
    return result


@functools.cache
def load() -> C.CDLL:
    """Load the library and declare its functions. Raises OSError or AttributeError if any is missing."""
    spec = importlib.util.find_spec("tensorflow")  # finds it, does not import it
    if spec is None or spec.origin is None:
        raise OSError("TensorFlow is not installed")
    package = Path(spec.origin).parent
    path = next((package / name for name in LIBRARIES if (package / name).exists()), None)
    if path is None:
        raise OSError(f"this TensorFlow wheel has no C library for {sys.platform}")
    tf = C.CDLL(str(path), handle=None if sys.platform == "win32" else _open(path))
    for name, (result, *arguments) in SIGNATURES.items():
        function = getattr(tf, name)
        function.restype, function.argtypes = result, arguments
    return tf


def _open(path: Path) -> int:
    """Call dlopen as a foreign function, which lets other Python threads run meanwhile; CDLL itself would not.

    RTLD_LAZY: binding all of its symbols at once doubles the time. RTLD_LOCAL: with RTLD_GLOBAL its
    bundled BoringSSL would shadow the OpenSSL of Python's hashlib.
    """
    libc = C.CDLL(None)
    libc.dlopen.restype, libc.dlopen.argtypes = PTR, (TEXT, C.c_int)
    libc.dlerror.restype = TEXT
    if hasattr(libc, "mallopt"):  # glibc would return the memory of each block, and fault it in again
        libc.mallopt(M_TRIM_THRESHOLD, 256 << 20)
        libc.mallopt(M_TOP_PAD, 64 << 20)  # the heaps of threads are trimmed by this alone
        libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)
    handle: int | None = libc.dlopen(os.fsencode(path), os.RTLD_LAZY | os.RTLD_LOCAL)
    if handle is None:
        raise OSError((libc.dlerror() or b"dlopen failed").decode(errors="replace"))
    return handle
