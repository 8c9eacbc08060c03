"""RNN, GRU and LSTM against onnxruntime, in both runtimes, twice in a row: no state stays between calls."""

import numpy as np
import onnx
import pytest
from converters.onnx_cases import (
    Case,
    ask_onnxruntime,
    case,
    check,
    feeds_of,
    kinds,
    lowered,
    model_of,
    network_of,
)

from edgewise.backends import open_backend
from edgewise_converters.errors import UnsupportedOperator
from edgewise_converters.verify import Layouts, run_case, to_stored

STEPS, BATCH, FEATURES, HIDDEN = 5, 2, 3, 4
X = (STEPS, BATCH, FEATURES)
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
ENDS = {"RNN": "y, yh", "GRU": "y, yh", "LSTM": "y, yh, yc"}
UNTIL_DB = 90.0
"""Products are summed in another order at every step, and steps feed each other."""


def cell(op: str, attributes: str = "", *, two: bool = False, more: str = "", **values: object) -> Case:
    """A cell with all its outputs; ``more`` are inputs after the bias."""
    ways, gates = 1 + two, GATES[op]
    listed = f"hidden_size={HIDDEN}" + (',direction="bidirectional"' if two else "") + attributes
    return case(
        f"{ENDS[op]} = {op}<{listed}>(x, w, r, b{more})",
        **{
            "x": X,
            "w": (ways, gates * HIDDEN, FEATURES),
            "r": (ways, gates * HIDDEN, HIDDEN),
            "b": (ways, 2 * gates * HIDDEN),
            **values,
        },
        at_least_db=UNTIL_DB,
    )


STATE, STATES = (1, BATCH, HIDDEN), (2, BATCH, HIDDEN)
LENGTHS = np.array([5, 2], np.int32)
CELLS = {
    **{f"{op} forward": cell(op) for op in GATES},
    **{f"{op} both ways": cell(op, two=True) for op in GATES},
    **{f"{op} backward": cell(op, ',direction="reverse"') for op in GATES},
    **{f"{op} from a state": cell(op, more=", , x2", x2=STATE) for op in ("RNN", "GRU")},
    **{f"{op} both ways from a state": cell(op, two=True, more=", , x2", x2=STATES) for op in ("RNN", "GRU")},
    **{f"{op} of several lengths": cell(op, two=True, more=", n", n=LENGTHS) for op in GATES},
    **{f"{op} clipped": cell(op, ",clip=0.4") for op in GATES},
    "LSTM from a state": cell("LSTM", more=", , x2, x3", x2=STATE, x3=STATE),
    "LSTM both ways from constants": cell("LSTM", two=True, more=", , h, c", h=STATES, c=STATES),
    "GRU from a constant": cell("GRU", more=", , h", h=STATE),
    "LSTM with peepholes": cell("LSTM", more=", , x2, x3, p", x2=STATE, x3=STATE, p=(1, 3 * HIDDEN)),
    "LSTM both ways with peepholes": cell("LSTM", two=True, more=", , , , p", p=(2, 3 * HIDDEN)),
    "LSTM with coupled gates": cell("LSTM", ",input_forget=1"),
    "GRU resets the product": cell("GRU", ",linear_before_reset=1"),
    "GRU resets the product both ways": cell("GRU", ",linear_before_reset=1", two=True),
    "lengths computed": cell("GRU", more=", xn", xn=np.array([3, 5], np.int32)),
    "one step": cell("LSTM", more=", , x2, x3", x=(1, 1, FEATURES), x2=(1, 1, HIDDEN), x3=(1, 1, HIDDEN)),
    **{
        f"RNN of {name}": cell("RNN", f',activations=["{name}"]{numbers}')
        for name, numbers in {
            "Relu": "", "Sigmoid": "", "LeakyRelu": ",activation_alpha=[0.2]", "Elu": ",activation_alpha=[0.7]",
            "ThresholdedRelu": ",activation_alpha=[0.3]", "Softsign": "", "Softplus": "",
            "HardSigmoid": ",activation_alpha=[0.3],activation_beta=[0.4]",
            "ScaledTanh": ",activation_alpha=[1.3],activation_beta=[0.6]",
            "Affine": ",activation_alpha=[0.6],activation_beta=[0.1]",
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("this", CELLS.values(), ids=CELLS)
def test_recurrent_cells_answer_as_onnxruntime(this: Case) -> None:
    check(this)


def test_steps_share_one_product_with_the_input() -> None:
    assert kinds(check(CELLS["LSTM forward"])).count("FULLY_CONNECTED") == STEPS  # the first state is zero


def test_a_cell_in_a_network_reads_what_convolutions_write() -> None:
    body = (
        "c = Conv<pads=[1,1,1,1]>(x, k) t = Transpose<perm=[3,0,1,2]>(c) f = Reshape(t, s) "
        f"y, yh, yc = LSTM<hidden_size={HIDDEN}>(f, w, r)"
    )
    values = {"w": (1, 4 * HIDDEN, 4), "r": (1, 4 * HIDDEN, HIDDEN)}
    check(case(body, x=(1, 2, 2, 6), k=(2, 2, 3, 3), s=np.array([6, 1, 4]), at_least_db=UNTIL_DB, **values))


def test_weights_that_are_computed_are_refused() -> None:
    this = case("y = RNN<hidden_size=4>(x, xw, r)", x=X, xw=(1, 4, 3), r=(1, 4, 4))
    with pytest.raises(UnsupportedOperator, match="weights are computed"):
        lowered(model_of(this))


def test_a_batch_that_comes_first_is_the_same_sequence() -> None:
    """onnxruntime has no layout=1: the answer is held against layout=0 of the same numbers."""
    steps_first = cell("LSTM", more=", , x2, x3", two=True, x2=STATES, x3=STATES)
    model = model_of(steps_first)
    feed = feeds_of(steps_first, 1)[0]
    expected = ask_onnxruntime(model, feed)
    node = model.graph.node[0]
    node.attribute.append(onnx.helper.make_attribute("layout", 1))
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        dims[0].dim_value, dims[1].dim_value = dims[1].dim_value, dims[0].dim_value
    low = lowered(model)
    network = network_of(low)
    backend = open_backend(network, "tflite", name="litert", threads=1)
    layouts = Layouts(low.input_layouts, low.output_layouts)
    turned = {name: np.ascontiguousarray(array.swapaxes(0, 1)) for name, array in feed.items()}
    answers = run_case(backend, to_stored(backend, turned, layouts), layouts)
    np.testing.assert_allclose(answers["y"], expected["y"].transpose(2, 0, 1, 3), rtol=1e-4, atol=1e-5)
    for name in ("yh", "yc"):
        np.testing.assert_allclose(answers[name], expected[name].swapaxes(0, 1), rtol=1e-4, atol=1e-5)
