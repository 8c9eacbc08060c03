"""The TensorFlow Lite Interpreter as a Backend: ai-edge-litert and tflite-runtime offer the same class."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.backends.base import check_inputs, first_line, numpy_name
from edgewise.backends.interpreter_nodes import delegated_nodes, details_of, placed_operators
from edgewise.backends.quiet import without_chatter
from edgewise.errors import BackendUnavailable, DelegateUnavailable, InvalidInput
from edgewise.placement import PlacedOperator
from edgewise.tensors import Array, Quantization, TensorSpec

_ASSIGNING = ("ASSIGN_VARIABLE", "HASHTABLE_IMPORT")


class InterpreterBackend:
    """One model in one Interpreter."""

    def __init__(
        self,
        interpreter_class: Any,
        name: str,
        source: Path | bytes,
        threads: int | None,
        delegate: tuple[str, Any] | None = None,
    ) -> None:
        """``delegate`` is a name, and what the runtime's load_delegate gave."""
        self.name = name
        self._delegate = delegate[0] if delegate else ""
        self._taken: frozenset[int] = frozenset()
        where: dict[str, Any] = (
            {"model_content": source} if isinstance(source, bytes) else {"model_path": str(source)}
        )
        if delegate:
            where["experimental_delegates"] = [delegate[1]]
        with without_chatter():
            try:
                self._interpreter = interpreter_class(num_threads=threads, **where)
                if delegate:
                    self._taken = delegated_nodes(self._interpreter)
                is_allocated = self._allocate()
            except (RuntimeError, ValueError) as error:
                if delegate:
                    raise DelegateUnavailable(
                        f"{name} cannot run the file with it: {first_line(error)}"
                    ) from error
                raise BackendUnavailable(f"{name} cannot run it: {first_line(error)}") from error
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        self._inputs = tuple(map(spec_of, inputs))
        self._outputs = tuple(map(spec_of, outputs))
        self._allocated = [
            (tuple(map(int, detail["shape"])), np.dtype(detail["dtype"])) for detail in inputs if is_allocated
        ]
        self._input_indices = [int(detail["index"]) for detail in inputs]
        self._output_indices = [int(detail["index"]) for detail in outputs]
        self._views: list[Callable[[], Array]] = [
            self._interpreter.tensor(index) for index in self._output_indices
        ]

    def _allocate(self) -> bool:
        """Some files with inputs of open size can allocate only once the size is known."""
        try:
            self._interpreter.allocate_tensors()
        except RuntimeError:
            details = self._interpreter.get_input_details()
            if not any((detail["shape_signature"] < 0).any() for detail in details):
                raise
            return False
        return True

    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` wants, in order."""
        return self._inputs

    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` gives, in order."""
        return self._outputs

    def run(self, inputs: Sequence[Array], *, views: bool = False) -> list[Array]:
        """One inference; see Backend.run."""
        interpreter = self._interpreter
        fits = [(array.shape, array.dtype) for array in inputs] == self._allocated
        if not fits:
            check_inputs(self._inputs, inputs)
        try:
            if not fits:
                self._resize(inputs)
            for index, array in zip(self._input_indices, inputs, strict=True):
                interpreter.set_tensor(index, array)
            interpreter.invoke()
            try:
                if views:
                    return [view() for view in self._views]
                return [interpreter.get_tensor(index) for index in self._output_indices]
            except ValueError:
                details = interpreter.get_output_details()
                if all(0 not in detail["shape"] for detail in details):
                    raise
                return self._answers_some_empty(details)
        except (RuntimeError, ValueError) as error:
            raise InvalidInput(_explain(self.name, error)) from error

    def _answers_some_empty(self, details: list[dict[str, Any]]) -> list[Array]:
        """The runtimes have no array for an output of open length that holds nothing."""
        return [
            np.zeros(detail["shape"], detail["dtype"])
            if 0 in detail["shape"]
            else self._interpreter.get_tensor(detail["index"])
            for detail in details
        ]

    def _resize(self, inputs: Sequence[Array]) -> None:
        self._allocated = []
        for index, array in zip(self._input_indices, inputs, strict=True):
            self._interpreter.resize_tensor_input(index, array.shape)
        with without_chatter():
            self._interpreter.allocate_tensors()
        self._allocated = [(array.shape, array.dtype) for array in inputs]

    def operators(self, inputs: Sequence[Array]) -> tuple[PlacedOperator, ...]:
        """See Backend.operators; an interpreter tells without a run, once its sizes are known."""
        return placed_operators(self._interpreter, self._taken, self._delegate)

    @property
    def delegate_parts(self) -> int:
        """How many parts of the file the delegate has taken over."""
        return len(self._taken)

    def can_forget(self) -> bool:
        """Resource variables stay as they are; the interpreter resets variable tensors only."""
        return all(detail["op_name"] not in _ASSIGNING for detail in details_of(self._interpreter))

    def forget(self) -> None:
        """Reset the file's variable tensors."""
        self._interpreter.reset_all_variables()

    def close(self) -> None:
        """Give the interpreter's memory back, once no view of an output is left."""
        self._views = []
        self._interpreter = None


def spec_of(detail: dict[str, Any]) -> TensorSpec:
    """A tensor as an interpreter describes it."""
    signature = detail["shape_signature"]
    shape = signature if len(signature) == len(detail["shape"]) else detail["shape"]
    parameters = detail["quantization_parameters"]
    quantization = None
    if len(parameters["scales"]):
        quantization = Quantization(
            tuple(map(float, parameters["scales"])),
            tuple(map(int, parameters["zero_points"])),
            int(parameters["quantized_dimension"]),
        )
    return TensorSpec(
        name=detail["name"],
        shape=tuple(map(int, shape)),
        dtype=numpy_name(detail["dtype"]),
        quantization=quantization,
    )


def _explain(name: str, error: Exception) -> str:
    if "reference to internal data" in str(error):
        return "outputs of an earlier run with views=True are still in use: copy what you keep, drop the rest"
    return f"{name}: {first_line(error)}"
