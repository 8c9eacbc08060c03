"""Equal weights are one tensor and rounded once; what only looks equal is not."""

import numpy as np
from converters.onnx_cases import case, lowered, model_of

from edgewise_converters.quantize.rules import has_weights
from edgewise_converters.quantize.share_weights import share_weights

W = np.random.default_rng(3).standard_normal((4, 4, 1, 1)).astype(np.float32)
OTHER = W.copy()
OTHER[0, 0] += 1
BODY = (
    "a = Conv(x, w) b = Relu(a) c = Conv(b, v) d = Relu(c) e = Conv(d, u) f = Relu(e) y = Conv<group=2>(f, g)"
)


def test_equal_numbers_in_an_equal_shape_become_one_tensor() -> None:
    this = case(BODY, x=(1, 4, 5, 5), w=W, v=W.copy(), u=OTHER, g=W[:, :2].copy())
    graph = lowered(model_of(this)).graph.copy()
    before = [o.inputs[1] for o in graph.operators if has_weights(o)]
    share_weights(graph)
    after = [o.inputs[1] for o in graph.operators if has_weights(o)]
    assert after[0] is after[1] is before[0]
    assert after[2] is before[2]
    assert len({id(weights) for weights in after}) == len(after) - 1
