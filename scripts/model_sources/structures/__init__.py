"""The structures that torch_export.py can build, by name; they run in PyTorch's own environment."""

from model_sources.structures import classifiers, dense, detectors, hearing, points, sequences, texts
from model_sources.structures.base import Structure

STRUCTURES: dict[str, Structure] = {
    **classifiers.STRUCTURES,
    **dense.STRUCTURES,
    **detectors.STRUCTURES,
    **hearing.STRUCTURES,
    **points.STRUCTURES,
    **sequences.STRUCTURES,
    **texts.STRUCTURES,
}

__all__ = ["STRUCTURES", "Structure"]
