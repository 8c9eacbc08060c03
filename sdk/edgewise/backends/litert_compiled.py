"""ai-edge-litert's CompiledModel, whose Python class lets XNNPACK keep its packed weights in a file.

The Interpreter's does not (ai-edge-litert 2.3). Sizes are fixed here, and outputs are copies.
"""

import platform
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.backends.base import check_inputs, first_line, import_runtime
from edgewise.backends.interpreter_nodes import placed_operators
from edgewise.backends.quiet import without_chatter
from edgewise.backends.tflite_interpreter import spec_of
from edgewise.backends.weight_cache import WeightCache
from edgewise.errors import BackendUnavailable, InvalidInput
from edgewise.placement import PlacedOperator
from edgewise.tensors import Array, TensorSpec


class _Compiled:
    """One model with a weight cache."""

    name = "litert"

    def __init__(self, source: Path, threads: int | None, folder: Path) -> None:
        self._source, self._threads = source, threads
        compiled = _compiled_model()
        if reason := why_not(_package(), Path("/proc/cpuinfo"), platform.machine()):
            raise BackendUnavailable(f"litert: weight_cache: {reason}")
        cache = WeightCache(folder, source, runtime=_build(), threads=threads)
        with without_chatter(drop_all=True):
            try:
                self._environment = _environment()
                self._model = compiled.CompiledModel.from_file(
                    str(source), environment=self._environment, options=_options(threads, cache.path)
                )
                self._in = self._model.create_input_buffers(0)
                self._out = self._model.create_output_buffers(0)
                self._set_specs()
                # The first write makes another environment, and says so.
                for place, spec in zip(self._in_places, self._inputs, strict=True):
                    self._in[place].write(np.zeros(spec.shape, spec.dtype))
            except BackendUnavailable:
                cache.drop()
                raise
            except (RuntimeError, ValueError) as error:
                cache.drop()
                raise BackendUnavailable(
                    f"litert: weight_cache: it cannot run the file: {first_line(error)}"
                ) from error
        try:
            cache.keep()
        except BackendUnavailable:
            self.close()
            raise

    def _set_specs(self) -> None:
        """In the order of the Interpreter, which knows quantizations too."""
        interpreter = _interpreter().Interpreter(str(self._source), num_threads=1)
        key = next(iter(self._model.get_signature_list()))
        signature = self._model.get_signature_by_index(0)
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        self._inputs, self._outputs = tuple(map(spec_of, inputs)), tuple(map(spec_of, outputs))
        if any(spec.is_dynamic for spec in (*self._inputs, *self._outputs)):
            raise BackendUnavailable(
                "litert: weight_cache: it needs inputs and outputs of fixed sizes; load the file without it, or "
                "convert it with its sizes fixed"
            )
        given = self._model.get_input_tensor_details(key)
        made = self._model.get_output_tensor_details(key)
        self._in_places = _places(inputs, [given[name]["index"] for name in signature["inputs"]])
        self._out_places = _places(outputs, [made[name]["index"] for name in signature["outputs"]])

    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` wants, in order."""
        return self._inputs

    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` gives, in order."""
        return self._outputs

    def run(self, inputs: Sequence[Array], *, views: bool = False) -> list[Array]:
        """One inference; outputs are always the caller's own."""
        check_inputs(self._inputs, inputs)
        try:
            for place, array in zip(self._in_places, inputs, strict=True):
                self._in[place].write(array)
            self._model.run_by_index(0, self._in, self._out)
            return [
                self._out[place].read(prod(spec.shape), np.dtype(spec.dtype)).reshape(spec.shape)
                for place, spec in zip(self._out_places, self._outputs, strict=True)
            ]
        except (RuntimeError, ValueError) as error:
            raise InvalidInput(f"{self.name}: {first_line(error)}") from error

    def operators(self, inputs: Sequence[Array]) -> tuple[PlacedOperator, ...]:
        """See Backend.operators: as the Interpreter would share them out, which uses the same XNNPACK."""
        with without_chatter():
            interpreter = _interpreter().Interpreter(str(self._source), num_threads=self._threads)
            interpreter.allocate_tensors()
        return placed_operators(interpreter, (), "")

    def close(self) -> None:
        """Give the memory back; the cache's file stays."""
        with without_chatter(drop_all=True):
            self._in = self._out = self._model = None
            self._environment = None


def _interpreter() -> Any:
    return import_runtime("litert", "ai_edge_litert.interpreter")


def _compiled_model() -> Any:
    """The module. Raises BackendUnavailable for a LiteRT whose CompiledModel has no weight cache."""
    _interpreter()  # says what is wrong where there is no LiteRT at all
    try:
        module = import_runtime("litert", "ai_edge_litert.compiled_model")
    except BackendUnavailable:  # before 2.1
        module = None
    if module is None or not hasattr(module.CpuOptions, "xnnpack_weight_cache_path"):
        raise BackendUnavailable("litert: weight_cache: this ai-edge-litert has none; install 2.3 or newer")
    return module


def _package() -> Path:
    return Path(_interpreter().__file__).parent


def _build() -> str:
    """Which LiteRT this is, by its libraries: asking for the package's version takes longer than to load a model."""
    libraries = sorted(_package().glob("lib*.so"))
    return repr([(one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in libraries])


def why_not(package: Path, cpuinfo: Path, machine: str) -> str:
    """Why CompiledModel cannot be used on this processor, or "".

    It loads what accelerators its package brings, whatever it is asked for, and the WebGPU library for 64-bit ARM (2.3)
    is built with LSE instructions: without them, as on Cortex-A53 and A72, it ends the process by SIGILL.
    """
    if machine != "aarch64" or not (package / "libLiteRtWebGpuAccelerator.so").exists():
        return ""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    features = [line.partition(":")[2].split() for line in lines if line.startswith("Features")]
    if features and all("atomics" in each for each in features):
        return ""
    return (
        "this processor lacks the LSE instructions (as Cortex-A53 and A72, Raspberry Pi 3 and 4), without which "
        "LiteRT's CompiledModel ends the process; load without it"
    )


def _environment() -> Any:
    """One that finds no accelerators: LiteRT looks for them in this folder."""
    folder = str(Path(__file__).parent)
    environment = import_runtime("litert", "ai_edge_litert.environment").Environment
    return environment.create(runtime_path=folder, compiler_plugin_path=folder, dispatch_library_path=folder)


def _options(threads: int | None, cache: Path) -> Any:
    module = _compiled_model()
    cpu = module.CpuOptions(num_threads=threads or 0, xnnpack_weight_cache_path=str(cache))
    return module.Options(hardware_accelerators=module.HardwareAccelerator.CPU, cpu_options=cpu)


def _places(details: Sequence[dict[str, Any]], indices: Sequence[int]) -> list[int]:
    """Of each tensor of the Interpreter its place in the signature. Raises BackendUnavailable."""
    wanted = [int(detail["index"]) for detail in details]
    if sorted(wanted) != sorted(indices):
        raise BackendUnavailable(
            "litert: weight_cache: the file's signature does not name all its inputs and outputs"
        )
    return [indices.index(index) for index in wanted]


def open_compiled(source: Path | bytes, *, threads: int | None, folder: Path) -> _Compiled:
    """Open a .tflite file with its weight cache in this folder. Raises BackendUnavailable, InvalidInput."""
    if isinstance(source, bytes):
        raise BackendUnavailable("litert: weight_cache: it is for files")
    return _Compiled(source, threads, folder)
