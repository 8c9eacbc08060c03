"""A model's outputs as they are, real numbers by name, for models that no other task describes."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from edgewise.errors import CardError
from edgewise.tasks.timings import Stopwatch, Timings
from edgewise.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from edgewise.opened import OpenedModel


@dataclass(frozen=True, eq=False)
class Tensors:
    """The outputs of one call."""

    arrays: dict[str, Array]
    """By name; quantized ones as float32 numbers."""
    timings: Timings

    @property
    def latency_ms(self) -> float:
        """From the arrays to the answer."""
        return self.timings.total_ms

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def to_dict(self) -> dict[str, Any]:
        """For JSON; NaN and infinities are null."""
        outputs = {name: _for_json(array) for name, array in self.arrays.items()}
        return {"outputs": outputs, "timings": asdict(self.timings)}

    def lines(self) -> list[str]:
        """One line for a person about each output."""
        return [_describe(name, array) for name, array in self.arrays.items()]

    def __str__(self) -> str:
        return f"{'; '.join(self.lines())} ({self.latency_ms:.1f} ms)"

    def __repr__(self) -> str:
        return f"<Tensors {self}>"


class Runnable(Protocol):
    """A Model, or what it holds."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` gives, in order."""

    def run(self, inputs: Mapping[str, Array] | Array, /) -> dict[str, Array]:
        """See `Model.run`."""


@dataclass(frozen=True)
class TensorReading:
    """Arrays in, arrays out."""

    guessed_task: str = ""

    def predict(
        self,
        opened: "OpenedModel",
        given: Mapping[str, Array] | Array,
        *,
        top: int | None,
        rate_hz: int | None,
    ) -> Tensors:
        """``given`` is what `Model.run` takes."""
        if not isinstance(given, np.ndarray | Mapping):
            raise CardError(
                f"its task is 'tensors', predict() knows arrays for it, got {type(given).__name__}; give load() "
                "task= of what it answers, or arrays by name"
            )
        return tensors_of(opened, given)


def tensors_of(model: "Runnable", given: Mapping[str, Array] | Array) -> Tensors:
    """One call of any model, whatever its task."""
    watch = Stopwatch()
    watch.lap()
    outputs = model.run(given)
    watch.lap()
    for spec in model.outputs:
        if spec.quantization is not None:
            outputs[spec.name] = spec.quantization.dequantize(outputs[spec.name])
    return Tensors(outputs, watch.timings())


def _for_json(array: Array) -> dict[str, Any]:
    values = [
        None if isinstance(value, float) and not math.isfinite(value) else value
        for value in array.ravel().tolist()
    ]
    return {"shape": list(array.shape), "dtype": array.dtype.name, "values": values}


def _describe(name: str, array: Array) -> str:
    shape = " x ".join(map(str, array.shape)) or "scalar"
    if array.size == 0:
        return f"{name}  {array.dtype} {shape}"
    first = ", ".join(f"{value:.6g}" for value in array.ravel()[:4])
    more = ", ..." if array.size > 4 else ""
    low, high = float(array.min()), float(array.max())
    return f"{name}  {array.dtype} {shape}, {low:.6g} to {high:.6g}: {first}{more}"
