"""Attention and rotary embeddings in both runtimes against onnxruntime."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case, check, kinds

Q, K, V = (2, 6, 4, 8), (2, 3, 5, 8), (2, 3, 5, 7)
NEVER = np.float32(-np.inf)


def heads(body: str, **values: object) -> Case:
    return case(body, x=Q, x2=K, x3=V, opset=23, **values)  # type: ignore[arg-type]  # keywords by name, checked when called


MASK = np.random.default_rng(3).random((4, 5)) > 0.3
ATTENTIONS = {
    "grouped heads": heads("y = Attention(x, x2, x3)"),
    "causal": heads("y = Attention<is_causal=1>(x, x2, x3)"),
    "scaled and capped": heads("y = Attention<scale=0.3,softcap=2.0>(x, x2, x3)"),
    "mask of numbers": heads("y = Attention(x, x2, x3, x4)", x4=(2, 1, 4, 5)),
    "constant mask": heads("y = Attention(x, x2, x3, m)", m=MASK),
    "computed mask of truths": heads("y = Attention(x, x2, x3, x4)", x4=MASK),
    "row in which nothing is seen": heads(
        "y = Attention(x, x2, x3, x4)", x4=np.where(np.arange(4)[:, None] == 2, NEVER, MASK.astype(np.float32))
    ),
    "constant row in which nothing is seen": heads(
        "y = Attention(x, x2, x3, m)", m=np.where(np.arange(4)[:, None] == 2, False, MASK)
    ),
    "three axes": case("y = Attention<q_num_heads=6,kv_num_heads=3>(x, x2, x3)",
                       x=(2, 4, 48), x2=(2, 5, 24), x3=(2, 5, 21), opset=23),
    "with what came before": heads(
        "y, y2, y3 = Attention<is_causal=1>(x, x2, x3, , x5, x6)", x5=(2, 3, 9, 8), x6=(2, 3, 9, 7)
    ),
    "probabilities": heads("y, , , y2 = Attention<qk_matmul_output_mode=3>(x, x2, x3)"),
}  # fmt: skip
ANGLES = {"x2": (2, 5, 4), "x3": (2, 5, 4)}
ROTATIONS = {
    "four axes": case("y = RotaryEmbedding(x, x2, x3)", x=(2, 3, 5, 8), opset=23, **ANGLES),
    "interleaved": case("y = RotaryEmbedding<interleaved=1>(x, x2, x3)", x=(2, 3, 5, 8), opset=23, **ANGLES),
    "three axes": case("y = RotaryEmbedding<num_heads=3>(x, x2, x3)", x=(2, 5, 24), opset=23, **ANGLES),
    "part of the size, by position": case(
        "y = RotaryEmbedding<rotary_embedding_dim=4,num_heads=3>(x, c, s, x4)",
        x=(2, 5, 24), c=(50, 2), s=(50, 2), x4=np.arange(10, dtype=np.int64).reshape(2, 5), opset=23,
    ),
}  # fmt: skip

TOKENS = {"x": (2, 4, 32), "x2": (2, 4, 16), "x3": (2, 4, 16)}
RECURRENCES = {
    "gated delta with a state": case(
        "y, y2 = LinearAttention<q_num_heads=4,kv_num_heads=2>(x, x2, x3, x4, x5, x6)",
        **TOKENS, x4=(2, 2, 8, 8), x5=(2, 4, 16), x6=(2, 4, 2), opset=27,
    ),
    "linear": case('y, y2 = LinearAttention<q_num_heads=4,kv_num_heads=2,update_rule="linear">(x, x2, x3)',
                   **TOKENS, opset=27),
    "convolution with a state": case('y, y2 = CausalConvWithState<activation="silu">(x, w, b, x2)',
                                     x=(2, 4, 8), w=(4, 1, 4), b=(4,), x2=(2, 4, 3), opset=27),
    "convolution without": case("y, y2 = CausalConvWithState(x, w)", x=(2, 4, 2), w=(4, 1, 5), opset=27),
}  # fmt: skip


@pytest.mark.parametrize("this", RECURRENCES.values(), ids=RECURRENCES)
def test_state_goes_in_and_out_as_in_onnxruntime(this: Case) -> None:
    check(this)


@pytest.mark.parametrize("this", ATTENTIONS.values(), ids=ATTENTIONS)
def test_attention_answers_as_onnxruntime(this: Case) -> None:
    check(this)


@pytest.mark.parametrize("this", ROTATIONS.values(), ids=ROTATIONS)
def test_rotary_embedding_answers_as_onnxruntime(this: Case) -> None:
    check(this)


def test_heads_that_share_a_key_are_not_copied() -> None:
    assert kinds(check(ATTENTIONS["grouped heads"])) == [
        "MUL", "RESHAPE", "BATCH_MATMUL", "RESHAPE", "SOFTMAX", "RESHAPE", "BATCH_MATMUL", "RESHAPE",
    ]  # fmt: skip
