"""Attributes of a node that some opsets pass as inputs."""

from typing import TypeVar, overload

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array

Default = TypeVar("Default")


def int_of(node: ir.Node, name: str, default: int) -> int:
    return node.attributes[name].as_int() if name in node.attributes else default


def float_of(node: ir.Node, name: str, default: float) -> float:
    return node.attributes[name].as_float() if name in node.attributes else default


def string_of(node: ir.Node, name: str, default: str) -> str:
    return node.attributes[name].as_string() if name in node.attributes else default


@overload
def ints_of(node: ir.Node, name: str) -> list[int] | None: ...
@overload
def ints_of(node: ir.Node, name: str, default: list[int]) -> list[int]: ...
def ints_of(node: ir.Node, name: str, default: list[int] | None = None) -> list[int] | None:
    return list(node.attributes[name].as_ints()) if name in node.attributes else default


def input_of(node: ir.Node, index: int) -> ir.Value | None:
    """The input at ``index``, or None where it is absent."""
    return node.inputs[index] if index < len(node.inputs) else None


def constant_input(node: ir.Node, index: int) -> Array | None:
    """The array of a constant input, or None where the input is absent or computed."""
    value = input_of(node, index)
    return None if value is None or value.const_value is None else np.asarray(value.const_value.numpy())


def ints_of_either(node: ir.Node, name: str, index: int) -> list[int] | None:
    """Integers given as an attribute (old opsets) or as a constant input (new ones); None where absent."""
    if name in node.attributes:
        return list(node.attributes[name].as_ints())
    array = constant_input(node, index)
    return None if array is None else [int(i) for i in array.reshape(-1)]


def normal_axes(axes: list[int], rank: int) -> list[int]:
    """Axes counted from the end made positive."""
    return [axis + rank if axis < 0 else axis for axis in axes]
