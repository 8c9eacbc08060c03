"""Equal weights become one tensor, so that they are rounded once and stay equal.

Float files store equal buffers once; rounded each for its own layer they would differ and be stored each.
"""

import hashlib

import numpy as np

from edgewise_converters.quantize.rules import has_weights
from edgewise_converters.tflite.graph import Graph, Tensor


def share_weights(graph: Graph) -> None:
    """Have layers with the same numbers and shape of weights refer to the same tensor. Exact."""
    known: dict[tuple[tuple[int, ...], bytes], Tensor] = {}
    for operator in graph.operators:
        weights = operator.inputs[1] if has_weights(operator) else None
        if weights is None or weights.data is None:
            continue
        data = np.ascontiguousarray(weights.data).reshape(-1).view(np.uint8).data
        key = weights.shape, hashlib.blake2b(data, digest_size=16).digest()
        operator.inputs[1] = known.setdefault(key, weights)
