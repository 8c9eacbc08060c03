"""A picture as a direction: pictures alike have embeddings of high cosine."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgewise.errors import CardError, InvalidInput
from edgewise.preprocess.geometry import View
from edgewise.tasks.base import Setup, real_outputs
from edgewise.tasks.timings import Stopwatch, Timings
from edgewise.tensors import Array, FloatArray

_SHOWN = 4


@dataclass(frozen=True, eq=False)
class Embedding:
    """The embedding of one picture."""

    vector: FloatArray
    """float32 [d], of length 1 (L2)."""
    timings: Timings

    @property
    def latency_ms(self) -> float:
        """From the picture to the answer."""
        return self.timings.total_ms

    def cosine(self, other: "Embedding") -> float:
        """How alike, -1 to 1. Raises InvalidInput for an embedding of another size."""
        if self.vector.shape != other.vector.shape:
            raise InvalidInput(
                f"cosine: got {len(other.vector)} numbers, expected {len(self.vector)}; embeddings of two models "
                "cannot be compared"
            )
        return float(np.clip(self.vector @ other.vector, -1, 1))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"vector": self.vector.tolist(), "timings": asdict(self.timings)}

    def lines(self) -> list[str]:
        """One line for a person."""
        first = ", ".join(f"{value:.4f}" for value in self.vector[:_SHOWN])
        more = ", ..." if len(self.vector) > _SHOWN else ""
        return [f"{len(self.vector)} numbers: {first}{more}"]

    def __str__(self) -> str:
        return f"{self.lines()[0]} ({self.latency_ms:.1f} ms)"

    def __repr__(self) -> str:
        return f"<Embedding {self}>"


def unit(vector: Array, what: str) -> FloatArray:
    """A vector [d] divided by its L2 norm, float32. Raises InvalidInput for one without a direction."""
    flat = np.asarray(vector, np.float64)
    if flat.ndim != 1 or flat.size == 0:
        raise InvalidInput(f"{what}: got shape {flat.shape}, expected one row of numbers")
    norm = float(np.linalg.norm(flat))
    if not np.isfinite(norm) or norm == 0:
        raise InvalidInput(f"{what}: got a vector of length {norm}, expected one with a direction")
    return (flat / norm).astype(np.float32)


class Embedder:
    """The task of turning a picture into a vector: the only output, flattened. Raises CardError for several."""

    def __init__(self, setup: Setup) -> None:
        if len(setup.outputs) != 1:
            raise CardError(
                f"image-embedding: got {len(setup.outputs)} outputs, expected one; use run() and pick one"
            )
        self._outputs = setup.outputs

    def answer(
        self, outputs: Mapping[str, Array], view: View, *, top: int | None, watch: Stopwatch
    ) -> Embedding:
        """See `Task.answer`; ``top`` says nothing here."""
        (real,) = real_outputs(outputs, self._outputs)
        vector = unit(real.ravel(), f"output '{self._outputs[0].name}'")
        return Embedding(vector, watch.timings())
