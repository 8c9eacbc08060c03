"""From a file to the canonical graph: one file per source format."""

from edgewise_converters.readers.onnx_file import Source, read_onnx

__all__ = ["Source", "read_onnx"]
