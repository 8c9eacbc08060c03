"""ONNX as the output: the canonical graph at a precision, for onnxruntime on 64-bit ARM."""
