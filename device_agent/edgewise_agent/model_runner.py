"""The model the agent runs, through the SDK."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import edgewise
from edgewise_messages import ModelInfo


@dataclass(frozen=True)
class Prediction:
    """The first answer to one input, and what it cost."""

    label: str
    score: float
    latency_ms: float
    """From the file to the answer."""
    invoke_ms: float | None = None
    """In the runtime alone, where the SDK tells."""


class Runner(Protocol):
    """What the loop asks of a model."""

    def predict(self, path: Path) -> Prediction:
        """Raises edgewise.EdgewiseError or OSError for an input that cannot be read or run."""

    def info(self) -> ModelInfo:
        """Which model this is."""

    def close(self) -> None:
        """Let go of it."""


class ModelRunner:
    """A Runner on a model file."""

    def __init__(self, path: Path) -> None:
        """Load the model. Raises edgewise.EdgewiseError."""
        self._model = edgewise.load(path)
        self._sha256 = edgewise.read_model(path).sha256()

    def predict(self, path: Path) -> Prediction:
        """Read the image, run the model."""
        began_ns = time.monotonic_ns()
        top = self._model.predict(path).top
        latency_ms = (time.monotonic_ns() - began_ns) / 1e6
        return Prediction(label=top.label or str(top.index), score=top.score, latency_ms=latency_ms)

    def info(self) -> ModelInfo:
        """Name, digest and what the card says."""
        card = self._model.card
        return ModelInfo(
            name=self._model.name,
            sha256=self._sha256,
            task=card.task if card else "",
            precision=card.precision if card else "",
            target=card.target if card else "",
            backend=self._model.backend_name,
        )

    def close(self) -> None:
        """Let go of the runtime."""
        self._model.close()
