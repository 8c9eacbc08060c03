"""Zero padding before a convolution becomes the convolution's own.

Needs: constant pads. Leaves: no Pad of spatial axes with zeros directly before a Conv that alone reads it. Exact.
"""

import onnx_ir as ir

from edgewise_converters.passes.graph_edit import constant, only_user, replace, scalar


def apply(model: ir.Model) -> bool:
    """Fuse every such Pad; returns whether anything was fused."""
    changed = False
    for node in list(model.graph):
        if node.graph is None or node.op_type != "Pad" or node.domain not in ("", "ai.onnx"):
            continue
        user = only_user(node.outputs[0])
        pads = _zero_pads(node)
        if user is None or user.op_type != "Conv" or pads is None or user.inputs[0] is not node.outputs[0]:
            continue
        rank = len(pads) // 2
        if any(pads[axis] or pads[axis + rank] for axis in (0, 1)) or min(pads) < 0 or _auto_padded(user):
            continue
        spatial = pads[2:rank] + pads[rank + 2 :]
        own = list(user.attributes["pads"].as_ints()) if "pads" in user.attributes else [0] * len(spatial)
        attributes = {key: attribute.value for key, attribute in user.attributes.items() if key != "auto_pad"}
        attributes["pads"] = [a + b for a, b in zip(own, spatial, strict=True)]
        replace(
            model.graph,
            [node, user],
            "Conv",
            [node.inputs[0], *user.inputs[1:]],
            user.outputs[0],
            **attributes,
        )
        changed = True
    return changed


def _auto_padded(node: ir.Node) -> bool:
    mode = node.attributes["auto_pad"].as_string() if "auto_pad" in node.attributes else "NOTSET"
    return mode not in ("NOTSET", "VALID")


def _zero_pads(node: ir.Node) -> list[int] | None:
    """[before of every axis, after of every axis] of a Pad with constant zero, else None."""
    if "mode" in node.attributes and node.attributes["mode"].as_string() != "constant":
        return None
    if "pads" in node.attributes:  # opset < 11
        fill = node.attributes["value"].as_float() if "value" in node.attributes else 0.0
        return list(node.attributes["pads"].as_ints()) if fill == 0 else None
    inputs = [*node.inputs, None, None, None]
    pads = constant(inputs[1])
    if pads is None or inputs[3] is not None or (inputs[2] is not None and scalar(inputs[2]) != 0):
        return None
    return [int(pad) for pad in pads.reshape(-1)]
