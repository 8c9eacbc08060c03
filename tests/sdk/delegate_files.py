"""A delegate of our own, compiled, and a network with operators for it."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request

SOURCE = Path(__file__).parent / "delegates" / "neg_delegate.c"
SHIFT = np.array([[1, -2, 0.5, 0]], np.float32)
SCALE = np.array([[2, 3, 0.5, 1]], np.float32)


def compiled(folder: Path, source: Path = SOURCE) -> Path:
    """A shared library. Skips the test on 32 bits, and where there is no C compiler."""
    if sys.maxsize < 2**32:
        pytest.skip("32-bit ABIs pass structures by value otherwise than the source assumes")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    library = folder / f"lib{source.stem}.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", library, source], check=True)
    return library


def expected(x: np.ndarray) -> np.ndarray:
    """What the network computes."""
    return -(-(x + SHIFT) * SCALE - SHIFT)


def write_negating_onnx(path: Path) -> Path:
    """Add, Neg, Mul, Sub, Neg over float32 [1, 4]."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    nodes = [
        helper.make_node("Add", ["x", "shift"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"]),
        helper.make_node("Mul", ["b", "scale"], ["c"]),
        helper.make_node("Sub", ["c", "shift"], ["d"]),
        helper.make_node("Neg", ["d"], ["y"]),
    ]
    constants = [numpy_helper.from_array(SHIFT, "shift"), numpy_helper.from_array(SCALE, "scale")]
    graph = helper.make_graph(nodes, "negating", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def write_negating(folder: Path) -> Path:
    """The same as a .tflite file with golden cases."""
    source = write_negating_onnx(folder / "negating.onnx")
    path = folder / "negating.tflite"
    convert(Request(source=source, target="rpi4", precision="fp32", out=path))
    return path
