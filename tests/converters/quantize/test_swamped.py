"""Masked attention keeps its scores in integers, tables are stored in bytes, ordinary sums stay in integers."""

from dataclasses import replace

import numpy as np
import pytest
from converters.onnx_cases import Case, case
from converters.search.search_parts import PLAIN, candidates

from edgewise_converters.quantize import StaticOptions, Width
from edgewise_converters.quantize.swamped import swamped
from edgewise_converters.quantize.ways import widths_of
from edgewise_converters.search import Candidates

TOKENS, FEATURES = 12, 16
LOWEST = float(np.finfo(np.float32).min)
GOOD_DB = {Width.INT8: 25.0, Width.INT16: 40.0}
"""int8 weights of normal values keep about 46 dB a layer, of which two in a row leave 43; int8 activations less."""


def weights(seed: int, *shape: int) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape) / np.sqrt(shape[0]), np.float32)


def attention(low: float) -> Case:
    """Every other token is masked out by adding ``low`` to its scores, as exporters spell it."""
    square = (FEATURES, FEATURES)
    return case(
        "q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv) t = Transpose<perm=[0,2,1]>(k) s = MatMul(q, t) "
        "h = ReduceMean<axes=[2],keepdims=0>(x) o = Greater(h, half) m0 = Where(o, low, nil) "
        "m = Unsqueeze(m0, one) a = Add(s, m) p = Softmax(a) y = MatMul(p, v)",
        x=(1, TOKENS, FEATURES), wq=weights(1, *square), wk=weights(2, *square), wv=weights(3, *square),
        low=np.float32(low), nil=np.float32(0), half=np.float32(0.1), one=np.array([1]),
    )  # fmt: skip


def protected(ways: Candidates, width: Width) -> StaticOptions:
    options = replace(PLAIN, width=width)
    return replace(options, widths_of=swamped(ways.graph, ways.shared.calibration))


@pytest.mark.parametrize("width", [Width.INT8, Width.INT16])
@pytest.mark.parametrize("low", [LOWEST, -np.inf, -10_000.0], ids=["lowest", "infinity", "ten thousand"])
def test_masked_scores_survive_integers(low: float, width: Width) -> None:
    ways = candidates(attention(low))
    kept = ways.ask(protected(ways, width), "with the sum in float32").score_db
    lost = ways.ask(replace(PLAIN, width=width), "without").score_db
    assert kept > GOOD_DB[width] and lost < kept - 3


def test_sums_of_like_operands_and_padded_maxima_stay_in_integers() -> None:
    this = case(
        "a = Conv<pads=[1,1,1,1]>(x, w) b = Relu(a) c = Conv<pads=[1,1,1,1]>(b, v) d = Add(b, c) "
        "e = MaxPool<kernel_shape=[3,3],pads=[1,1,1,1],strides=[2,2]>(d) y = Conv(e, u)",
        x=(1, 8, 12, 12), w=(8, 8, 3, 3), v=(8, 8, 3, 3), u=(4, 8, 1, 1),
    )  # fmt: skip
    ways = candidates(this)
    assert swamped(ways.graph, ways.shared.calibration) == {}
    widths = widths_of(ways.graph, PLAIN)
    assert all(widths[id(o)] is Width.INT8 for o in ways.graph.operators if o.kind in ("ADD", "MAX_POOL_2D"))


def test_tables_and_other_weights_in_float32_layers_are_stored_in_bytes() -> None:
    table = weights(7, 200, FEATURES)
    this = case(
        "i = Gather(table, x) s = MatMul(i, w) t = Tanh(s) y = MatMul(t, v)",
        x=np.arange(TOKENS).reshape(1, TOKENS), table=table, w=weights(8, FEATURES, 32), v=weights(9, 32, 8),
    )  # fmt: skip
    ways = candidates(this)
    stored = [t for t in ways.build(PLAIN).tensors() if t.data is not None and t.data.size == table.size]
    assert [t.dtype.name for t in stored] == ["int8"]
    assert ways.ask(PLAIN, "int8").score_db > 25
