"""A TFLite graph in memory, and its way to a flatbuffer."""

from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.writer import serialize

__all__ = ["Graph", "Operator", "Tensor", "serialize"]
