"""Trigonometric and hyperbolic functions and Erf, to float32 accuracy by formulas that cancel nowhere."""

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower.broadcasting import through
from edgewise_converters.lower.formula import Formula
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.tflite.graph import Tensor

_ERF_ONE = 3.92
"""From here on erf(x) is 1 in float32."""
_ERF_NUMERATOR = (
    1.128379146, 1.903948621e-1, 5.274699511e-2, 3.765070370e-3, 2.848624787e-4, 2.050070666e-6,
)  # fmt: skip
_ERF_DENOMINATOR = (1.0, 5.020657970e-1, 1.141041417e-1, 1.496812263e-2, 1.162388429e-3, 3.809048677e-5)
"""erf(x) / x as a quotient of polynomials in x**2 on [0, 3.92], fitted by reweighted least squares: 1.9e-8 off."""

_LOG_RIGHT = float(np.finfo(np.float32).max)
"""XNNPACK's LOG of infinity is 88.4."""
_ATANH_TERMS = (3, 5, 7, 9, 11, 13)
"""atanh(s) = s + s**3 / 3 + s**5 / 5 + ...; the first left out is below 1e-10 for s up to 0.2."""


def _one_minus_square(f: Formula, x: Tensor) -> Tensor:
    """sqrt(1 - x**2); NaN where |x| > 1."""
    return f("SQRT", f("MUL", f("SUB", 1.0, x), f("ADD", x, 1.0)))


def _atan2(f: Formula, y: Tensor | float, x: Tensor | float) -> Tensor:
    return f("ATAN2", y, x)


def _log_one_plus(f: Formula, u: Tensor) -> Tensor:
    """log(1 + u) of numbers from 0 on, accurate for small ones too.

    XNNPACK's LOG is off by 6e-8 near 1, which is everything there; 2 atanh(s) with s = u / (2 + u) is a series.
    """
    s = f("DIV", u, f("ADD", u, 2.0))
    square = f("MUL", s, s)
    series = f("MUL", square, 1 / _ATANH_TERMS[-1])
    for odd in _ATANH_TERMS[-2::-1]:
        series = f("MUL", f("ADD", series, 1 / odd), square)
    small = f("MUL", f("ADD", series, 1.0), f("ADD", s, s))
    large = f.where(f("GREATER", u, _LOG_RIGHT), u, f("LOG", f("ADD", u, 1.0)))
    return f.where(f("LESS", u, 0.5), small, large)


def _sinh(f: Formula, x: Tensor) -> Tensor:
    """With m = exp(-|x|) - 1, which ELU computes: -m * (m + 2) * exp(|x|) / 2, in halves that overflow late."""
    size = f("ABS", x)
    m = f("ELU", f("NEG", size))
    half = f("EXP", f("MUL", size, 0.5))
    product = f("MUL", f("MUL", f("MUL", m, f("ADD", m, 2.0)), -0.5), half)
    return f("MUL", f("MUL", product, half), f("SIGN", x))


def _cosh(f: Formula, x: Tensor) -> Tensor:
    """(exp(|x|) + exp(-|x|)) / 2, the first in halves that overflow late."""
    size = f("ABS", x)
    half = f("EXP", f("MUL", size, 0.5))
    return f(
        "ADD",
        f("MUL", f("MUL", half, 0.5), half),
        f("MUL", f("EXP", f("NEG", size)), 0.5),
    )


def _asinh(f: Formula, x: Tensor) -> Tensor:
    """log1p(|x| + x**2 / (1 + sqrt(1 + x**2))), the quotient reduced by |x| so that no square overflows."""
    size = f("ABS", x)
    inverse = f("DIV", 1.0, size)
    root = f("SQRT", f("ADD", f("MUL", inverse, inverse), 1.0))
    return f(
        "MUL",
        _log_one_plus(f, f("ADD", size, f("DIV", size, f("ADD", inverse, root)))),
        f("SIGN", x),
    )


def _acosh(f: Formula, x: Tensor) -> Tensor:
    """log1p(t + sqrt(t) * sqrt(x + 1)) with t = x - 1; NaN below 1."""
    t = f("SUB", x, 1.0)
    result = _log_one_plus(f, f("ADD", t, f("MUL", f("SQRT", t), f("SQRT", f("ADD", x, 1.0)))))
    return f.where(f("GREATER_EQUAL", x, 1.0), result, math.nan)


def _atanh(f: Formula, x: Tensor) -> Tensor:
    """log1p(2 |x| / (1 - |x|)) / 2, with the sign of x; NaN beyond 1."""
    size = f("ABS", x)
    quotient = f("DIV", f("MUL", size, 2.0), f("SUB", 1.0, size))
    result = f("MUL", f("MUL", _log_one_plus(f, quotient), 0.5), f("SIGN", x))
    return f.where(f("LESS_EQUAL", size, 1.0), result, math.nan)


def _erf(f: Formula, x: Tensor) -> Tensor:
    """x * P(x**2) / Q(x**2)."""
    held = f("MINIMUM", f("MAXIMUM", x, -_ERF_ONE), _ERF_ONE)
    square = f("MUL", held, held)

    def polynomial(coefficients: tuple[float, ...]) -> Tensor:
        value = f("MUL", square, coefficients[-1])
        for coefficient in coefficients[-2:0:-1]:
            value = f("MUL", f("ADD", value, coefficient), square)
        return f("ADD", value, coefficients[0])

    quotient = f("DIV", polynomial(_ERF_NUMERATOR), polynomial(_ERF_DENOMINATOR))
    return f("RELU_N1_TO_1", f("MUL", held, quotient))


_FORMULAS: dict[str, Callable[[Formula, Tensor], Tensor]] = {
    "Sin": lambda f, x: f("SIN", x),
    "Cos": lambda f, x: f("COS", x),
    "Tan": lambda f, x: f("DIV", f("SIN", x), f("COS", x)),
    "Asin": lambda f, x: _atan2(f, x, _one_minus_square(f, x)),
    "Acos": lambda f, x: _atan2(f, _one_minus_square(f, x), x),
    "Atan": lambda f, x: _atan2(f, x, f.constant(np.ones(x.shape), np.float32)),
    "Sinh": _sinh,
    "Cosh": _cosh,
    "Asinh": _asinh,
    "Acosh": _acosh,
    "Atanh": _atanh,
    "Erf": _erf,
}


@lowers(*_FORMULAS)
def lower_function(low: Lowering, node: ir.Node) -> None:
    """Spelled out."""
    through(low, node, _FORMULAS[node.op_type], in_float=True)
