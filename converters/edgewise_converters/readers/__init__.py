"""From a file to the canonical graph: one file per source format."""

from edgewise_converters.readers.onnx_file import read_onnx
from edgewise_converters.readers.source import Source, SourceInput

__all__ = ["Source", "SourceInput", "read_onnx"]
