"""What flows through the float graph: it runs in onnxruntime on samples, and what will be rounded is looked at."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.onnx_out.opset import serialized
from edgewise_converters.onnx_out.patches import PatchObserver
from edgewise_converters.onnx_out.weighted import weighted_of
from edgewise_converters.onnx_session import Reference
from edgewise_converters.quantize.calibrate import Statistics
from edgewise_converters.quantize.moments import Moments
from edgewise_converters.samples import Feed

_KEPT_VALUES = 1 << 16
"""Values kept of each tensor over all samples, to choose ranges by; extremes are exact."""


@dataclass(frozen=True)
class Observed:
    """What was seen on the samples."""

    samples: int
    values: dict[str, Statistics]
    """By name of value."""
    moments: dict[str, Moments]
    """By name of a layer's output."""


def observe(
    model: ir.Model,
    names: Iterable[str],
    feeds: Iterable[Feed],
    *,
    count: int,
    tick: Callable[[], None],
    values: bool = True,
) -> Observed:
    """Run the model on ``count`` feeds and look at ``names``, and at the patches under every layer's weights.

    Without ``values`` only the patches are gathered.
    """
    layers = {str(n.outputs[0].name): layer for n in model.graph if (layer := weighted_of(n)) is not None}
    observers = {name: PatchObserver(layer, count) for name, layer in layers.items()}
    readers: dict[str, list[PatchObserver]] = {}
    for name, layer in layers.items():
        readers.setdefault(str(layer.data.name), []).append(observers[name])
    running = {name: _Running() for name in names} if values else {}
    session = _session(model, set(running) | set(readers))
    rng = np.random.default_rng(0)
    kept = max(64, _KEPT_VALUES // max(count, 1))
    done = 0
    for feed in feeds:
        arrays = {**session.run(feed), **feed}
        for name, statistics in running.items():
            statistics.add(arrays[name], kept, rng)
        for name, patches in readers.items():
            for observer in patches:
                observer.add(arrays[name], rng)
        done += 1
        tick()
    moments = {name: observer.result() for name, observer in observers.items()}
    return Observed(done, {name: r.result() for name, r in running.items()}, moments)


def _session(model: ir.Model, wanted: set[str]) -> Reference:
    """The model with everything that is looked at among its outputs."""
    probe = model.clone()
    taken = {str(value.name) for value in [*probe.graph.inputs, *probe.graph.outputs]}
    for node in probe.graph:
        probe.graph.outputs.extend(
            value for value in node.outputs if value.name in wanted and value.name not in taken
        )
    return Reference(serialized(probe))


@dataclass
class _Running:
    minimum: float = np.inf
    maximum: float = -np.inf
    values: list[Array] = field(default_factory=list)

    def add(self, array: Array, kept: int, rng: np.random.Generator) -> None:
        flat = array.reshape(-1)
        if not flat.size:
            return
        self.minimum = min(self.minimum, float(flat.min()))
        self.maximum = max(self.maximum, float(flat.max()))
        picked = flat if flat.size <= kept else flat[rng.integers(0, flat.size, kept)]
        self.values.append(np.array(picked, np.float32))

    def result(self) -> Statistics:
        values = np.concatenate(self.values) if self.values else np.zeros(1, np.float32)
        low, high = (self.minimum, self.maximum) if self.values else (0.0, 0.0)
        return Statistics(low, high, values, np.zeros(0))
