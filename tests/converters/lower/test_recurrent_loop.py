"""Long sequences: a loop with the state in and out of it, right at every call, in both runtimes."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case, check, kinds, lowered, model_of

from edgewise_converters.lower.recurrent_loop import steps_at_once

FEATURES, HIDDEN = 3, 5
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
ENDS = {"RNN": "y, yh", "GRU": "y, yh", "LSTM": "y, yh, yc"}
RNG = np.random.default_rng(17)
UNTIL_DB = 90.0
"""Products are summed in another order at every step, and steps feed each other."""


def small(*shape: int) -> np.ndarray:
    """Weights under which the state forgets: with large ones rounding would grow from step to step."""
    return (0.5 * RNG.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


def cell(
    op: str,
    steps: int,
    attributes: str = "",
    *,
    two: bool = False,
    more: str = "",
    ends: str = "",
    **values: object,
) -> Case:
    ways, gates = 1 + two, GATES[op]
    listed = f"hidden_size={HIDDEN}" + (',direction="bidirectional"' if two else "") + attributes
    given = {
        "x": (steps, 2, FEATURES),
        "w": small(ways, gates * HIDDEN, FEATURES),
        "r": small(ways, gates * HIDDEN, HIDDEN),
        "b": small(ways, 2 * gates * HIDDEN),
    }
    return case(
        f"{ends or ENDS[op]} = {op}<{listed}>(x, w, r, b{more})", **{**given, **values}, at_least_db=UNTIL_DB
    )


STATE = (1, 2, HIDDEN)
LOOPS = {
    **{f"{op} of 96 steps": cell(op, 96) for op in GATES},
    **{f"{op} both ways": cell(op, 96, two=True) for op in GATES},
    **{f"{op} backward": cell(op, 70, ',direction="reverse"') for op in GATES},
    **{f"{op} of several lengths": cell(op, 80, two=True, more=", n", n=np.array([80, 33], np.int32)) for op in GATES},
    **{
        f"{op} of computed lengths": cell(op, 80, two=True, more=", xn", xn=np.array([80, 7], np.int32))
        for op in GATES
    },
    "LSTM of a prime number of steps": cell("LSTM", 101),
    "LSTM from a state": cell("LSTM", 300, more=", , x2, x3", x2=STATE, x3=STATE),
    "GRU from a state": cell("GRU", 300, more=", , x2", x2=STATE),
    "GRU that resets the product": cell("GRU", 90, ",linear_before_reset=1"),
    "LSTM whose last state alone is read": cell("LSTM", 90, ends="_, y"),
    "LSTM with peepholes": cell("LSTM", 90, more=", , , , p", p=small(1, 3 * HIDDEN)),
}  # fmt: skip


@pytest.mark.parametrize("this", LOOPS.values(), ids=LOOPS)
def test_a_long_sequence_is_a_loop(this: Case) -> None:
    low = check(this)
    assert "WHILE" in kinds(low)
    assert len(low.graph.operators) < 30


def test_weights_too_large_for_each_step_make_a_loop() -> None:
    this = case(
        "y = RNN<hidden_size=2048>(x, w, r)", x=(20, 1, 2), w=small(1, 2048, 2), r=small(1, 2048, 2048)
    )
    assert "WHILE" in kinds(lowered(model_of(this)))


def test_a_loop_takes_as_many_steps_at_once_as_divide_the_sequence_and_fit_the_cache() -> None:
    assert steps_at_once(96, 1000) == 16
    assert steps_at_once(100, 1000) == 10
    assert steps_at_once(101, 1000) == 1
    assert steps_at_once(96, 1 << 20) == 2
    assert steps_at_once(96, 4 << 20) == 1
