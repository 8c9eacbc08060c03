"""Activations: what one builtin says, and what a few say together."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower.attributes import float_of, string_of
from edgewise_converters.lower.broadcasting import through
from edgewise_converters.lower.formula import Formula
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.tflite.graph import Tensor

_BUILTIN = {"Relu": "RELU", "Sigmoid": "LOGISTIC", "Tanh": "TANH", "HardSwish": "HARD_SWISH"}
_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875
"""ONNX's defaults (Klambauer et al. 2017, arXiv:1706.02515, section 2)."""
_PRELU_MAX_RANK = 4
_SATURATED = 20.0
"""Where tanh(softplus(x)) is 1 in float32."""
_ATANH_TERMS = (15, 13, 11, 9, 7, 5, 3, 1)


@lowers(*_BUILTIN)
def lower_builtin(low: Lowering, node: ir.Node) -> None:
    """One operand, one builtin; Relu of integers is a maximum."""

    def compute(f: Formula, x: Tensor) -> Tensor:
        return f(_BUILTIN[node.op_type], x) if x.is_float else f("MAXIMUM", x, 0)

    through(low, node, compute)


@lowers("LeakyRelu")
def lower_leaky_relu(low: Lowering, node: ir.Node) -> None:
    """LEAKY_RELU."""
    options = {"alpha": float_of(node, "alpha", 0.01)}
    through(low, node, lambda f, x: f("LEAKY_RELU", x, options=options))


@lowers("Gelu")
def lower_gelu(low: Lowering, node: ir.Node) -> None:
    """GELU, exact or approximated with tanh."""
    options = {"approximate": string_of(node, "approximate", "none") == "tanh"}
    through(low, node, lambda f, x: f("GELU", x, options=options))


def _exponential_unit(f: Formula, x: Tensor, *, alpha: float, gamma: float, inside: float) -> Tensor:
    """gamma * (relu(x) + alpha * (exp(min(x, 0) * inside) - 1)); TFLite's ELU knows exp(x) - 1 for x below 0."""
    if alpha == gamma == inside == 1:
        return f("ELU", x)
    below = f("MINIMUM", x, 0.0)
    bent = f("ELU", f("MUL", below, inside) if inside != 1 else below)
    above = f("RELU", x)
    if gamma != 1:
        above = f("MUL", above, gamma)
    return f("ADD", above, f("MUL", bent, alpha * gamma))


@lowers("Elu", "Selu", "Celu")
def lower_exponential_units(low: Lowering, node: ir.Node) -> None:
    """ELU alone where it says the same."""
    if node.op_type == "Elu":
        parts = {"alpha": float_of(node, "alpha", 1.0), "gamma": 1.0, "inside": 1.0}
    elif node.op_type == "Selu":
        gamma = float_of(node, "gamma", _SELU_GAMMA)
        parts = {"alpha": float_of(node, "alpha", _SELU_ALPHA), "gamma": gamma, "inside": 1.0}
    else:
        alpha = float_of(node, "alpha", 1.0)
        if alpha <= 0:
            raise low.refuse(node, f"its alpha is {alpha:g}, expected a positive one")
        parts = {"alpha": alpha, "gamma": 1.0, "inside": 1 / alpha}
    through(low, node, lambda f, x: _exponential_unit(f, x, **parts))


@lowers("PRelu")
def lower_prelu(low: Lowering, node: ir.Node) -> None:
    """PRELU; where its kernels do not take the slope's shape, relu(x) + slope * min(x, 0)."""
    slope, data = node.inputs[1], node.inputs[0]
    assert slope is not None and data is not None
    place = low.stored(data)
    rank = len(place.layout)
    alpha = low.read_broadcast(slope, rank, place.layout)

    def compute(f: Formula, x: Tensor) -> Tensor:
        if not x.is_float:
            return f.where(f("LESS", x, 0), f("MUL", x, alpha), x)
        if alpha.data is None or not 1 < rank <= _PRELU_MAX_RANK or alpha.shape[0] != 1:
            return f("ADD", f("RELU", x), f("MUL", f("MINIMUM", x, 0.0), alpha))
        # XNNPACK reads one slope per channel: a single one for all must be repeated.
        slopes = np.broadcast_to(alpha.data[0], (*alpha.shape[1:-1], x.shape[-1]))
        return f.low.emit("PRELU", [x, f.constant(slopes, np.float32)], x.shape, f"{f.name}/prelu")

    through(low, node, compute)


@lowers("HardSigmoid")
def lower_hard_sigmoid(low: Lowering, node: ir.Node) -> None:
    """max(0, min(1, alpha * x + beta)); with alpha 1/6 and beta 1/2 as relu6(x + 3) / 6, which fuses."""
    alpha, beta = float_of(node, "alpha", 0.2), float_of(node, "beta", 0.5)

    def gate(f: Formula, x: Tensor) -> Tensor:
        # relu6(6 * alpha * x + 6 * beta) / 6, since TFLite fuses RELU6 into the ADD before it
        if abs(alpha * 6 - 1) > 1e-5:
            x = f("MUL", x, 6 * alpha)
        return f("MUL", f("RELU6", f("ADD", x, round(6 * beta, 6))), 1 / 6)

    through(low, node, gate)


def _softplus(f: Formula, x: Tensor) -> Tensor:
    """max(x, 0) + log(1 + exp(-|x|)), which does not overflow.

    LOG loses what is added to 1, and more: with s = z / (z + 2), log(1 + z) = 2 atanh(s) = 2 (s + s^3/3 + s^5/5 + ...)
    (Abramowitz and Stegun 4.1.27), for z up to 1 and so s up to 1/3 to the last bits with these terms.
    """
    small = f("EXP", f("NEG", f("ABS", x)))
    s = f("DIV", small, f("ADD", small, 2.0))
    square = f("MUL", s, s)
    series = f("ADD", f("MUL", square, 1 / _ATANH_TERMS[0]), 1 / _ATANH_TERMS[1])
    for term in _ATANH_TERMS[2:]:
        series = f("ADD", f("MUL", series, square), 1 / term)
    return f("ADD", f("RELU", x), f("MUL", series, f("MUL", s, 2.0)))


def _mish(f: Formula, x: Tensor) -> Tensor:
    """x * tanh(softplus(x)) without the logarithm: with n = e^x and p = n * (n + 2) it is x * p / (p + 2)."""
    n = f("EXP", f("MINIMUM", x, _SATURATED))
    p = f("MUL", n, f("ADD", n, 2.0))
    return f("MUL", x, f("DIV", p, f("ADD", p, 2.0)))


def _swish(f: Formula, x: Tensor, alpha: float) -> Tensor:
    return f("MUL", x, f("LOGISTIC", x if alpha == 1 else f("MUL", x, alpha)))


def _shrink(f: Formula, x: Tensor, bias: float, lambd: float) -> Tensor:
    """x + bias below -lambd, x - bias above lambd, else 0. Of integers too: these bounds are compared in float."""
    real = f.cast(x, np.float32)
    below, above = f("LESS", real, -lambd), f("GREATER", real, lambd)
    moved = f.where(below, f("ADD", real, bias), f.where(above, f("SUB", real, bias), 0.0))
    return f.cast(moved, x.dtype)


_FORMULAS: dict[str, Callable[[ir.Node, Formula, Tensor], Tensor]] = {
    "Softplus": lambda _, f, x: _softplus(f, x),
    "Softsign": lambda _, f, x: f("DIV", x, f("ADD", f("ABS", x), 1.0)),
    "Mish": lambda _, f, x: _mish(f, x),
    "Swish": lambda node, f, x: _swish(f, x, float_of(node, "alpha", 1.0)),
    "Shrink": lambda node, f, x: _shrink(f, x, float_of(node, "bias", 0.0), float_of(node, "lambd", 0.5)),
    "ThresholdedRelu": lambda node, f, x: f.where(f("GREATER", x, float_of(node, "alpha", 1.0)), x, 0.0),
}


@lowers(*_FORMULAS)
def lower_formula(low: Lowering, node: ir.Node) -> None:
    """Spelled out."""
    formula = _FORMULAS[node.op_type]
    # x * sigmoid(x) is what int8 networks are full of; the others have exponents and quotients inside.
    through(low, node, lambda f, x: formula(node, f, x), in_float=node.op_type != "Swish")
