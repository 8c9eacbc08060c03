"""What a runtime looks like from here, and the checks that all of them share."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

import numpy as np

from edgewise.errors import BackendUnavailable, InvalidInput, ShapeMismatch
from edgewise.placement import PlacedOperator
from edgewise.runtime_packages import why_missing
from edgewise.tensors import Array, TensorSpec


class Backend(Protocol):
    """One model, opened in one runtime. Not for several threads at once."""

    @property
    def name(self) -> str:
        """litert, tflite-runtime or onnxruntime."""
        ...

    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` wants, in order."""
        ...

    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` gives, in order."""
        ...

    def run(self, inputs: Sequence[Array], *, views: bool = False) -> list[Array]:
        """One inference.

        With ``views``, outputs may lie in the runtime's own memory: cheaper for large ones, and only to be
        used until the next run, which fails while they are still referred to. Raises InvalidInput.
        """
        ...

    def operators(self, inputs: Sequence[Array]) -> tuple[PlacedOperator, ...]:
        """The operators and where they run. A runtime that tells only by running runs these inputs.

        Raises BackendUnavailable when it does not tell.
        """
        ...

    def close(self) -> None:
        """Give the runtime's memory back; `run` must not be called again."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """A backend whose models may keep state inside the runtime from one run to the next."""

    def can_forget(self) -> bool:
        """Whether `forget` can undo what runs have left behind."""
        ...

    def forget(self) -> None:
        """Begin anew, as after opening."""
        ...


def check_inputs(specs: Sequence[TensorSpec], inputs: Sequence[Array]) -> None:
    """Raise InvalidInput unless these arrays are what the specs say."""
    if len(inputs) != len(specs):
        raise InvalidInput(f"inputs: got {len(inputs)} arrays, expected {len(specs)}")
    for spec, array in zip(specs, inputs, strict=True):
        if array.shape != spec.shape and not spec.accepts(array.shape):
            raise ShapeMismatch(f"input '{spec.name}': got {array.shape}, expected {spec.shape}")
        if array.dtype != spec.dtype:
            raise InvalidInput(f"input '{spec.name}': got {array.dtype}, expected {spec.dtype}")


def numpy_name(dtype: object) -> str:
    """The numpy name of a dtype that a runtime reports."""
    return np.dtype(dtype).name  # type: ignore[call-overload, no-any-return]  # numpy's overloads want literals


def first_line(error: BaseException) -> str:
    """An error of a foreign library in one line."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def import_runtime(name: str, module: str) -> Any:
    """A runtime's module, when it is first used: the adapters import where there is none.

    Raises BackendUnavailable, which says whether it is missing, and then how to get it, or broken.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module.partition(".")[0]:
            raise BackendUnavailable(f"{name}: {why_missing(name)}") from error
        raise BackendUnavailable(f"{name}: installed, and its import fails: {first_line(error)}") from error
    except Exception as error:  # a broken installation may raise anything
        raise BackendUnavailable(f"{name}: installed, and its import fails: {first_line(error)}") from error
