"""How many windows a pooling or a transposed convolution has, as onnxruntime counts them.

ONNX's shape inference counts others here and there. Needs: the shape of their input. Leaves: no dilated pooling and no
transposed convolution with auto_pad=SAME, no pooling with VALID, and no ceil_mode that adds nothing. Exact against
onnxruntime (core/providers/cpu/nn/pool_attributes.h and conv_transpose_attributes.h), which pads a pooling for its
kernel without the dilation, and leaves out a last window that would begin behind the input.
"""

from dataclasses import dataclass

import onnx_ir as ir

from edgewise_converters.errors import UnsupportedOperator

_CORRECTED = "edgewise.corrected"
_POOLINGS = frozenset({"MaxPool", "AveragePool", "LpPool"})


@dataclass(frozen=True)
class _Axis:
    """The window of a pooling along one axis."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int

    def count(self, *, ceil: bool) -> int:
        """How many windows there are."""
        room = self.size + self.before + self.after - self.dilation * (self.kernel - 1) - 1
        floor = room // self.stride + 1
        begins = floor * self.stride  # where one more would begin
        return floor + 1 if ceil and room % self.stride and begins < self.size + self.before else floor


def apply(model: ir.Model) -> bool:
    """Spell out once; returns whether a shape that was inferred turned out wrong: it is forgotten then."""
    wrong = False
    for node in model.graph:
        if node.op_type == "ConvTranspose" and _spell_out_transposed(node):
            _forget_from(model.graph, node)
            wrong = True
        axes = _axes(node)
        if axes:
            wrong |= _correct(model.graph, node, axes)
    return wrong


def _correct(graph: ir.Graph, node: ir.Node, axes: list[_Axis]) -> bool:
    """Spell out a pooling, and give its output the shape it has; whether another was known."""
    ceil = _spell_out(node, axes)
    shape = node.outputs[0].shape
    counts = [axis.count(ceil=ceil) for axis in axes]
    if shape is None or list(shape)[2:] == counts:
        return False
    if node.meta.get(_CORRECTED):
        raise UnsupportedOperator(
            node.op_type,
            str(node.name or node.outputs[0].name),
            f"onnxruntime gives its output the space {counts}, ONNX's rules say {list(shape)[2:]}; expected pads "
            "instead of ceil_mode",
        )
    node.meta[_CORRECTED] = True
    _forget_from(graph, node)
    # Inference keeps a shape that is there, where it would say otherwise for several axes at once.
    for output in node.outputs:
        output.shape = ir.Shape([*list(shape)[:2], *counts])
    return True


def _axes(node: ir.Node) -> list[_Axis]:
    """The windows of a pooling whose input has a known shape; nothing for other nodes."""
    data = node.inputs[0] if node.op_type in _POOLINGS and node.domain == "" else None
    shape = data.shape if data is not None else None
    if shape is None or not all(isinstance(dim, int) for dim in shape):
        return []
    space = [int(str(dim)) for dim in shape][2:]
    kernel = _ints(node, "kernel_shape", [])
    strides, dilations = (_ints(node, name, [1] * len(space)) for name in ("strides", "dilations"))
    pads = _ints(node, "pads", [0] * (2 * len(space)))
    if not len(kernel) == len(strides) == len(dilations) == len(pads) // 2 == len(space):
        return []
    mode = _auto_pad(node)
    axes = []
    for i, (size, length, stride, dilation) in enumerate(zip(space, kernel, strides, dilations, strict=True)):
        before, after = (pads[i], pads[i + len(space)]) if mode == "NOTSET" else (0, 0)
        if mode.startswith("SAME"):
            total = (-(-size // stride) - 1) * stride + length - size
            if total < -1:
                raise UnsupportedOperator(
                    node.op_type,
                    str(node.name or node.outputs[0].name),
                    f"auto_pad={mode} with a stride of {stride}, longer than its window of {length}, pads less than "
                    "nothing, which runtimes read in several ways; expected pads",
                )
            total = max(total, 0)
            before = total - total // 2 if mode == "SAME_LOWER" else total // 2
            after = total - before
        axes.append(_Axis(size, length, stride, dilation, before, after))
    return axes


def _spell_out_transposed(node: ir.Node) -> bool:
    """Give a transposed convolution the pads that auto_pad=SAME means; whether it had any."""
    mode = _auto_pad(node)
    shapes = [None if value is None else value.shape for value in node.inputs[:2]]
    if not mode.startswith("SAME") or "output_shape" in node.attributes or any(s is None for s in shapes):
        return False
    space, kernel = ([dim for dim in shape or () if isinstance(dim, int)][2:] for shape in shapes)
    ones = [1] * len(kernel)
    strides, dilations = (_ints(node, name, ones) for name in ("strides", "dilations"))
    extra = _ints(node, "output_padding", [0] * len(kernel))
    if not len(space) == len(kernel) == len(strides) == len(dilations) == len(extra) > 0:
        return False
    before, after = [], []
    for size, length, stride, dilation, more in zip(space, kernel, strides, dilations, extra, strict=True):
        full = (size - 1) * stride + (length - 1) * dilation + 1 + more
        total = max(full - size * stride, 0)
        before.append(total - total // 2 if mode == "SAME_LOWER" else total // 2)
        after.append(total - before[-1])
    node.attributes["auto_pad"] = ir.AttrString("auto_pad", "NOTSET")
    node.attributes["pads"] = ir.AttrInt64s("pads", before + after)
    return True


def _spell_out(node: ir.Node, axes: list[_Axis]) -> bool:
    """Change the attributes where they mean another thing than they say; whether ceil_mode adds windows."""
    dilated = any(axis.dilation != 1 for axis in axes)
    if _auto_pad(node) == "VALID" or (_auto_pad(node).startswith("SAME") and dilated):
        pads = [axis.before for axis in axes] + [axis.after for axis in axes]
        node.attributes["auto_pad"] = ir.AttrString("auto_pad", "NOTSET")
        node.attributes["pads"] = ir.AttrInt64s("pads", pads)
    asked = "ceil_mode" in node.attributes and node.attributes["ceil_mode"].as_int() == 1
    adds = asked and any(axis.count(ceil=True) != axis.count(ceil=False) for axis in axes)
    if asked and not adds:
        node.attributes["ceil_mode"] = ir.AttrInt64("ceil_mode", 0)
    return adds


def _forget_from(graph: ir.Graph, first: ir.Node) -> None:
    """Forget the shapes of what comes after a node, and its own."""
    behind = False
    for node in graph:
        behind = behind or node is first
        if behind:
            for output in node.outputs:
                output.shape = None


def _auto_pad(node: ir.Node) -> str:
    return node.attributes["auto_pad"].as_string() if "auto_pad" in node.attributes else "NOTSET"


def _ints(node: ir.Node, name: str, default: list[int]) -> list[int]:
    return list(node.attributes[name].as_ints()) if name in node.attributes else default
