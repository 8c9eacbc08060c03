"""Every activation of a .tflite file while it runs, as real numbers."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgewise.backends.tflite_interpreter import InterpreterBackend
from edgewise.tensors import Array
from edgewise_converters.tflite.graph import Tensor
from edgewise_converters.tflite.structure import structure_of


class Activations:
    """One file opened so that nothing it computes is thrown away. Close it when done."""

    def __init__(self, network: bytes) -> None:
        """Raises BackendUnavailable for what LiteRT cannot load."""
        self.graph, indices = structure_of(network)
        self._open: list[Interpreter] = []
        self._backend = InterpreterBackend(partial(self._interpreter), "litert", network, 1)
        self.inputs = self._backend.inputs()
        self.outputs = self._backend.outputs()
        computed = [t for t in self.graph.tensors() if not t.is_constant and t.dtype.kind in "fiu"]
        self._watched = [(tensor, indices[id(tensor)]) for tensor in computed]

    def _interpreter(self, **where: object) -> Interpreter:
        kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._open.append(
            Interpreter(
                experimental_op_resolver_type=kernels, experimental_preserve_all_tensors=True, **where
            )
        )
        return self._open[-1]

    def run(self, inputs: Mapping[str, Array]) -> Iterator[tuple[Tensor, Array]]:
        """Every activation of one inference; ``inputs`` are real numbers in the file's layout."""
        feed = []
        for spec in self.inputs:
            array = inputs[spec.name]
            if spec.quantization is not None and spec.dtype != "float32":
                array = spec.quantization.quantize(array, spec.dtype)
            feed.append(np.asarray(array, spec.dtype, order="C"))
        self._backend.run(feed)
        for tensor, index in self._watched:
            try:
                array = self._open[-1].get_tensor(index)
            except ValueError:
                continue  # folded away when the file was loaded
            quantized = tensor.quantization if tensor.dtype.kind in "iu" else None
            yield tensor, quantized.dequantize(array) if quantized else array

    def close(self) -> None:
        """Give the memory back."""
        self._open.clear()
        self._backend.close()
