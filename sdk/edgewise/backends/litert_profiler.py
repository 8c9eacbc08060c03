"""LiteRT's own profiler, which its Python package carries in libLiteRt.so and does not bind.

The C API is that of litert/c/*.h. What it hands over as structures is checked before it is believed, and callers
run this in a process of its own: a LiteRT that has changed them is refused, not misread.
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from edgewise.backends import litert
from edgewise.errors import BackendUnavailable
from edgewise.tensors import Array

_CPU = 1
"""kLiteRtHwAcceleratorCpu"""
_LOCK_FOR_WRITING = 1
_OPERATOR, _DELEGATE_OPERATOR = 2, 8
"""tflite::Profiler::EventType: OPERATOR_INVOKE_EVENT, DELEGATE_PROFILED_OPERATOR_INVOKE_EVENT."""
_MAX_RANK = 8
_TYPE_BYTES = 256
"""More than a LiteRtRankedTensorType takes: 72 in version 2.3."""
_UNTOUCHED = 0xA5


class _Event(ctypes.Structure):
    """ProfiledEventData of litert/c/litert_profiler_event.h; memory is three numbers before and three after."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_int64 * 6),
        ("index", ctypes.c_uint64),
        ("subgraph", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


class _RankedType(ctypes.Structure):
    """LiteRtRankedTensorType of litert/c/litert_model_types.h."""

    _fields_ = (
        ("element_type", ctypes.c_int),
        ("rank", ctypes.c_uint32),  # the lowest 7 bits; the next says whether there are strides
        ("sizes", ctypes.c_int32 * _MAX_RANK),
        ("strides", ctypes.c_uint32 * _MAX_RANK),
    )


@dataclass(frozen=True)
class LitertEvent:
    """One operator of one run."""

    name: str
    """The kind of a built-in operator, or XNNPACK's name of one of its own."""
    index: int
    """The operator's place in the file; for XNNPACK, its place in the part that XNNPACK took over."""
    subgraph: int
    is_delegate: bool
    elapsed_us: int


@dataclass(frozen=True)
class LitertRun:
    """One inference."""

    events: tuple[LitertEvent, ...]
    """In the order in which they ran."""
    call_ms: float
    """All of it, profiling included."""


class LitertProfiler:
    """A .tflite file compiled with profiling. Closing is the end of its process."""

    def __init__(self, path: Path, inputs: Mapping[str, Array], *, threads: int) -> None:
        """``inputs`` by the names of their tensors. Raises BackendUnavailable."""
        self._library = ctypes.CDLL(str(Path(litert.library().__file__).with_name("libLiteRt.so")))
        self._kept: list[object] = []
        self._inputs = inputs
        self._has_open_outputs = False
        self._environment, self._model, self._options, self._compiled = (ctypes.c_void_p() for _ in range(4))
        self._profiler, self._signature = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("CreateEnvironment", 0, None, ctypes.byref(self._environment))
        self._call("CreateModelFromFile", self._environment, str(path).encode(), ctypes.byref(self._model))
        self._call("CreateOptions", ctypes.byref(self._options))
        self._call("SetOptionsHardwareAccelerators", self._options, _CPU)
        self._add_option(b"runtime_options_string", b"enable_profiling = true\n")
        self._add_option(b"xnnpack", b"num_threads = %d\n" % threads)
        self._call(
            "CreateCompiledModel", self._environment, self._model, self._options, ctypes.byref(self._compiled)
        )
        self._call("CompiledModelGetProfiler", self._compiled, ctypes.byref(self._profiler))
        if not self._profiler.value:
            raise BackendUnavailable("litert: it was asked to profile and has no profiler")
        self._call("GetModelSignature", self._model, ctypes.c_size_t(0), ctypes.byref(self._signature))
        self._in = self._buffers("Input")
        self._out = self._buffers("Output")

    def run(self) -> LitertRun:
        """One inference. Raises BackendUnavailable."""
        self._call("ResetProfiler", self._profiler)
        self._call("StartProfiler", self._profiler)
        given, made = ctypes.c_size_t(len(self._in)), ctypes.c_size_t(len(self._out))
        began = perf_counter()
        self._call("RunCompiledModel", self._compiled, ctypes.c_size_t(0), given, self._in, made, self._out)
        call_ms = (perf_counter() - began) * 1000
        self._call("StopProfiler", self._profiler)
        return LitertRun(tuple(self._events()), call_ms)

    def _call(self, name: str, *arguments: Any) -> None:
        try:
            function = getattr(self._library, f"LiteRt{name}")
        except AttributeError as error:
            raise BackendUnavailable(
                f"litert: this version has no LiteRt{name}; its profiler is known from ai-edge-litert 2.3"
            ) from error
        function.restype = ctypes.c_int
        status = function(*arguments)
        if status:
            hint = ": its profiler runs files with outputs of fixed sizes" if self._has_open_outputs else ""
            raise BackendUnavailable(f"litert: LiteRt{name} failed with status {status}{hint}")

    def _add_option(self, kind: bytes, text: bytes) -> None:
        """Options are TOML in a buffer that stays ours."""
        content, option = ctypes.create_string_buffer(text), ctypes.c_void_p()
        keep = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
        self._kept += [content, keep]
        self._call("CreateOpaqueOptions", kind, content, keep, ctypes.byref(option))
        self._call("AddOpaqueOptions", self._options, option)

    def _buffers(self, side: str) -> Any:
        """A buffer for each input or output; inputs are filled."""
        count = ctypes.c_size_t()
        self._call(f"GetNumSignature{side}s", self._signature, ctypes.byref(count))
        tensors = [self._tensor(side, index) for index in range(count.value)]
        if side == "Input":
            for index, (name, kind) in enumerate(tensors):
                self._resize(index, name, kind)
        else:
            self._settle(tensors)
        buffers = (ctypes.c_void_p * count.value)()
        for index, (name, kind) in enumerate(tensors):
            requirements, buffer, place = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t(index)
            get = f"GetCompiledModel{side}BufferRequirements"
            self._call(get, self._compiled, ctypes.c_size_t(0), place, ctypes.byref(requirements))
            self._call(
                "CreateManagedTensorBufferFromRequirements",
                self._environment,
                ctypes.byref(kind),
                requirements,
                ctypes.byref(buffer),
            )
            buffers[index] = buffer.value
            if side == "Input":
                self._fill(buffer, name)
        return buffers

    def _tensor(self, side: str, index: int) -> tuple[str, _RankedType]:
        tensor, name = ctypes.c_void_p(), ctypes.c_char_p()
        get = f"GetSignature{side}TensorByIndex"
        self._call(get, self._signature, ctypes.c_size_t(index), ctypes.byref(tensor))
        self._call("GetTensorName", tensor, ctypes.byref(name))
        content = ctypes.create_string_buffer(_TYPE_BYTES)
        self._call("GetRankedTensorType", tensor, content)
        return (name.value or b"").decode(errors="replace"), _RankedType.from_buffer(content)

    def _resize(self, index: int, name: str, kind: _RankedType) -> None:
        """Give an input its size, after checking that the type is laid out as we think."""
        if name not in self._inputs:
            raise BackendUnavailable(
                f"litert: the profiler has an input '{name}', expected {list(self._inputs)}"
            )
        shape = self._inputs[name].shape
        sizes = list(kind.sizes[: len(shape)])
        fits = all(got in (size, -1) for got, size in zip(sizes, shape, strict=True))
        if kind.rank & 0x7F != len(shape) or not fits:
            raise BackendUnavailable(
                f"litert: the profiler sees input '{name}' as {sizes}, expected {list(shape)}"
            )
        if -1 in sizes:
            values = (ctypes.c_int * len(shape))(*shape)
            resize = "CompiledModelResizeInputTensor"
            place, rank = ctypes.c_size_t(index), ctypes.c_size_t(len(shape))
            self._call(resize, self._compiled, ctypes.c_size_t(0), place, values, rank)
            kind.sizes[: len(shape)] = shape

    def _settle(self, tensors: list[tuple[str, _RankedType]]) -> None:
        """Open sizes of outputs, once those of the inputs are known."""
        if not any(-1 in kind.sizes[: kind.rank & 0x7F] for _, kind in tensors):
            return
        self._has_open_outputs = True
        layout_bytes = ctypes.sizeof(_RankedType) - _RankedType.rank.offset
        content = ctypes.create_string_buffer(layout_bytes * len(tensors))
        get, count = "GetCompiledModelOutputTensorLayouts", ctypes.c_size_t(len(tensors))
        self._call(get, self._compiled, ctypes.c_size_t(0), count, content, ctypes.c_bool(True))
        for index, (_, kind) in enumerate(tensors):
            layout = content.raw[index * layout_bytes : (index + 1) * layout_bytes]
            ctypes.memmove(ctypes.addressof(kind) + _RankedType.rank.offset, layout, layout_bytes)

    def _fill(self, buffer: ctypes.c_void_p, name: str) -> None:
        array = np.ascontiguousarray(self._inputs[name])
        size, address = ctypes.c_size_t(), ctypes.c_void_p()
        self._call("GetTensorBufferPackedSize", buffer, ctypes.byref(size))
        if size.value != array.nbytes:
            raise BackendUnavailable(
                f"litert: input '{name}' takes {size.value} bytes, expected {array.nbytes}"
            )
        self._call("LockTensorBuffer", buffer, ctypes.byref(address), _LOCK_FOR_WRITING)
        ctypes.memmove(address, array.ctypes.data, array.nbytes)
        self._call("UnlockTensorBuffer", buffer)

    def _events(self) -> list[LitertEvent]:
        count = ctypes.c_int()
        self._call("GetNumProfilerEvents", self._profiler, ctypes.byref(count))
        size = ctypes.sizeof(_Event)
        room = ctypes.create_string_buffer(2 * size * (count.value + 1))
        ctypes.memset(room, _UNTOUCHED, len(room))
        self._call("GetProfilerEvents", self._profiler, count, room)
        written = len(room.raw.rstrip(bytes([_UNTOUCHED])))
        if not size * count.value - size < written <= size * count.value:
            raise BackendUnavailable(
                f"litert: {count.value} events of its profiler took {written} bytes, expected {size} each; "
                "this version lays them out in another way than ai-edge-litert 2.3"
            )
        events = (_Event * count.value).from_buffer(room)
        return [_event(event) for event in events if event.kind in (_OPERATOR, _DELEGATE_OPERATOR)]


def _event(event: Any) -> LitertEvent:
    return LitertEvent(
        (event.tag or b"").decode(errors="replace"),
        int(event.index),
        int(event.subgraph),
        event.kind == _DELEGATE_OPERATOR,
        int(event.elapsed_us),
    )
