"""How many products a node computes."""

import numpy as np
import onnx_ir as ir

from edgewise_converters.onnx_out.weighted import Convolution, weighted_of


def products_of(node: ir.Node) -> int:
    """Multiplications of a layer with weights; of any other node one for each number it makes."""
    layer, shape = weighted_of(node), node.outputs[0].shape
    made = 0 if shape is None else int(np.prod([dim if isinstance(dim, int) else 1 for dim in shape]))
    if layer is None:
        return made
    if isinstance(layer, Convolution):
        return made * int(np.prod(layer.weights.shape[1:]))
    return made * layer.weights.shape[0]
