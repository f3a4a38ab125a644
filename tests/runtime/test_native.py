"""The C API, driven through what every runtime promises; and what only this one can get wrong."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from softargmax_cli.errors import DeviceError
from softargmax_cli.tensorflow.base import Body, Function, Runtime, Tensor
from softargmax_cli.tensorflow.native import CODES, NativeRuntime, _loans

Array = npt.NDArray[Any]
F4, I4 = np.dtype("f4"), np.dtype("i4")


def doubled(ops: Any, x: Any) -> Sequence[Any]:
    return [ops.AddV2(x=x, y=x)]


def divided(ops: Any, x: Any, y: Any) -> Sequence[Any]:
    return [ops.FloorDiv(x=x, y=y)]


def prepared(runtime: Runtime, body: Body, inputs: Sequence[Tensor], *, compiled: bool) -> Function:
    """Prepare a function that no other call shares."""
    return runtime.function(body, inputs, compiled=compiled, key=object())


class TestFunctions:
    @pytest.mark.parametrize("dtype", list(CODES), ids=str)
    def test_every_dtype_goes_through(self, native_runtime: Runtime, dtype: np.dtype[Any]) -> None:
        x = np.array([[0, 1, 1], [1, 0, 0]]).astype(dtype)
        pack = prepared(
            native_runtime, lambda ops, x, y: [ops.Pack(values=[x, y], axis=0)], [(x.shape, dtype)] * 2, compiled=False
        )
        (got,) = pack(x, x[::-1].copy())
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, np.stack([x, x[::-1]]))

    def test_constants_attributes_lists_and_several_results(self, runtime: Runtime) -> None:
        def body(ops: Any, x: Any, scale: Any) -> Sequence[Any]:
            lower, upper = ops.Unpack(value=x, num=2, axis=0)
            shifted = ops.AddV2(x=lower, y=np.array([[10.0, 20.0, 30.0]], "f4"))
            both = ops.Pack(values=[shifted, ops.Mul(x=upper, y=scale)], axis=0)
            return [ops.Max(input=both, axis=np.array([2], I4), keep_dims=False), ops.Cast(x=scale, DstT=I4)]

        x = np.arange(12, dtype="f4").reshape(2, 2, 3)
        most, number = prepared(runtime, body, [(x.shape, F4), ((), F4)], compiled=False)(x, np.array(2, "f4"))
        assert most.tolist() == [[32.0, 35.0], [16.0, 22.0]]
        assert (number.shape, number.tolist()) == ((), 2)

    @pytest.mark.parametrize("offset", [0, 4])
    def test_memory_of_any_alignment(self, runtime: Runtime, offset: int) -> None:
        function = prepared(runtime, doubled, [((1000,), F4)], compiled=False)
        room = np.zeros(4000 + 128, np.uint8)
        start = -room.ctypes.data % 64 + offset
        x = room[start : start + 4000].view("f4")
        x[:] = np.arange(1000)
        for _ in range(3):
            (got,) = function(x)
            np.testing.assert_array_equal(got, 2 * np.arange(1000))
            x += 0  # still ours to write
        np.testing.assert_array_equal(x, np.arange(1000))

    def test_several_threads_make_and_run_functions(self, native_runtime: Runtime) -> None:
        def holds(n: int) -> bool:
            function = prepared(native_runtime, doubled, [((n,), F4)], compiled=n % 8 == 0)
            return all((function(np.full(n, k, "f4"))[0] == 2 * k).all() for k in range(10))

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(holds, range(1, 24), timeout=100))

    def test_results_are_the_callers(self, runtime: Runtime) -> None:
        same = prepared(runtime, lambda ops, x: [ops.Identity(input=x)], [((4,), F4)], compiled=False)
        x = np.arange(4, dtype="f4")
        (first,) = same(x)
        x[:] = 9
        (second,) = same(x)
        assert first.tolist() == [0, 1, 2, 3]
        assert second.tolist() == [9] * 4

    @pytest.mark.parametrize("shape", [(0,), (3, 0, 2)])
    def test_nothing_goes_through_too(self, runtime: Runtime, shape: tuple[int, ...]) -> None:
        (got,) = prepared(runtime, doubled, [(shape, F4)], compiled=False)(np.zeros(shape, "f4"))
        assert got.shape == shape


@pytest.mark.gpu
@pytest.mark.slow
def test_a_gpu_computes(gpu_runtime: Runtime) -> None:
    assert gpu_runtime.device == "GPU:0"
    for compiled in (False, True):
        function = prepared(gpu_runtime, doubled, [((3,), F4)], compiled=compiled)
        assert function(np.arange(3, dtype="f4"))[0].tolist() == [0, 2, 4]


class TestFailures:
    """Whatever TensorFlow refuses is a DeviceError, and the next function works."""

    @pytest.fixture(autouse=True)
    def still_sound(self, native_runtime: Runtime) -> Any:
        yield
        function = prepared(native_runtime, doubled, [((3,), F4)], compiled=False)
        assert function(np.arange(3, dtype="f4"))[0].tolist() == [0, 2, 4]
        assert _loans == {}

    def test_an_operation_that_does_not_exist_or_fit(self, native_runtime: Runtime) -> None:
        with pytest.raises(DeviceError, match=r"TensorFlow failed: .*NoSuchOperation"):
            prepared(native_runtime, lambda ops, x: [ops.NoSuchOperation(x=x)], [((3,), F4)], compiled=False)
        for body in (
            lambda ops, x: [ops.Sub(x=x, y=np.zeros(4, "f4"))],
            lambda ops, x: [ops.Sub(x=x, y=np.zeros(3, "f8"))],
            lambda ops, x: [ops.Sub(x=x)],
            lambda ops, x: [ops.Pack(values=[x, np.zeros(2, "f4")], axis=0)],
        ):
            with pytest.raises((DeviceError, TypeError)):
                prepared(native_runtime, body, [((3,), F4)], compiled=True)

    @pytest.mark.parametrize("name", ["native", pytest.param("python", marks=pytest.mark.slow)])
    def test_an_operation_that_fails(self, name: str, request: pytest.FixtureRequest) -> None:
        runtime: Runtime = request.getfixturevalue(f"{name}_runtime")
        function = prepared(runtime, divided, [((3,), I4), ((3,), I4)], compiled=False)
        x = np.array([7, 8, 9], I4)
        for _ in range(3):
            with pytest.raises(DeviceError, match=r"TensorFlow failed: .*division by zero"):
                function(x, np.array([1, 0, 3], I4))
            assert function(x, np.array([1, 2, 3], I4))[0].tolist() == [7, 4, 3]

    @pytest.mark.parametrize("name", ["native", pytest.param("python", marks=pytest.mark.slow)])
    def test_an_operation_that_xla_cannot_compile(self, name: str, request: pytest.FixtureRequest) -> None:
        runtime: Runtime = request.getfixturevalue(f"{name}_runtime")
        x = np.array([3, 1, 2], F4)

        def body(ops: Any, x: Any) -> Sequence[Any]:
            return [ops.NthElement(input=x, n=np.array(1, I4), reverse=False)]

        assert prepared(runtime, body, [((3,), F4)], compiled=False)(x)[0] == 2
        with pytest.raises(DeviceError, match="TensorFlow failed: "):
            prepared(runtime, body, [((3,), F4)], compiled=True)(x)

    @pytest.mark.parametrize("compiled", [False, True])
    def test_a_function_outlives_its_runtime(self, library: ctypes.CDLL, compiled: bool) -> None:
        function = prepared(NativeRuntime(library), doubled, [((3,), F4)], compiled=compiled)
        gc.collect()
        assert function(np.arange(3, dtype="f4"))[0].tolist() == [0, 2, 4]


def resident() -> int:
    """Bytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to read the memory of this process from")
@pytest.mark.parametrize(("offset", "compiled"), [(0, False), (4, True)])
def test_calls_lose_no_memory(native_runtime: Runtime, offset: int, compiled: bool) -> None:
    function = prepared(native_runtime, doubled, [((2048,), F4)], compiled=compiled)
    room = np.zeros(8192 + 128, np.uint8)
    start = -room.ctypes.data % 64 + offset
    x = room[start : start + 8192].view("f4")
    held = []
    for turns in (2000, 8000):
        for _ in range(turns):
            function(x)
        gc.collect()
        held.append(resident())
    assert held[1] - held[0] < 6 << 20  # one tensor a call would be 64 MB


@pytest.mark.slow
def test_loading_leaves_pythons_own_libraries_alone() -> None:
    """TensorFlow bundles BoringSSL, whose symbols must not stand before OpenSSL's."""
    code = (
        "from softargmax_cli.tensorflow.capi import load\n"
        "from softargmax_cli.tensorflow.native import NativeRuntime\n"
        "NativeRuntime(load())\n"
        "import hashlib, ssl, sys\n"
        "ssl.create_default_context()\n"
        "assert 'tensorflow' not in sys.modules\n"
        "print(hashlib.sha256(b'abc').hexdigest()[:16])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "ba7816bf8f01cfea"


def test_outputs_are_written_where_they_are_wanted(runtime: Runtime) -> None:
    """In any dtype, beside others."""
    function = prepared(
        runtime, lambda ops, x: [ops.Neg(x=x), ops.Square(x=x)], [((3,), np.dtype("f4"))], compiled=False
    )
    whole, x = np.zeros((2, 5)), np.array([1, 2, 3], "f4")
    into = [whole[0, 1:4], whole[1, :3]]
    assert function(x, into=into)[0] is into[0]
    np.testing.assert_array_equal(whole, [[0, -1, -2, -3, 0], [1, 4, 9, 0, 0]])
