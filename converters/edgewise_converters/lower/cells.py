"""One step of an RNN, GRU or LSTM (ONNX operator specifications, "Equations"), and the activations they may have."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.formula import Formula
from edgewise_converters.tflite.graph import Tensor


def _elu(f: Formula, x: Tensor, alpha: float, beta: float) -> Tensor:
    negative = f("SUB", f("EXP", f("MINIMUM", x, 0.0)), 1.0)
    return f.where(f("GREATER", x, 0.0), x, f("MUL", negative, alpha))


def _softplus(f: Formula, x: Tensor, alpha: float, beta: float) -> Tensor:
    """log(1 + exp(x)) without overflow."""
    return f("ADD", f("RELU", x), f("LOG", f("ADD", f("EXP", f("NEG", f("ABS", x))), 1.0)))


_ACTIVATIONS: dict[str, Callable[[Formula, Tensor, float, float], Tensor]] = {
    "sigmoid": lambda f, x, a, b: f("LOGISTIC", x),
    "tanh": lambda f, x, a, b: f("TANH", x),
    "relu": lambda f, x, a, b: f("RELU", x),
    "affine": lambda f, x, a, b: f("ADD", f("MUL", x, a), b),
    "leakyrelu": lambda f, x, a, b: f("LEAKY_RELU", x, options={"alpha": a}),
    "thresholdedrelu": lambda f, x, a, b: f.where(f("GREATER", x, a), x, 0.0),
    "scaledtanh": lambda f, x, a, b: f("MUL", f("TANH", f("MUL", x, b)), a),
    "hardsigmoid": lambda f, x, a, b: f("MINIMUM", f("MAXIMUM", f("ADD", f("MUL", x, a), b), 0.0), 1.0),
    "elu": _elu,
    "softsign": lambda f, x, a, b: f("DIV", x, f("ADD", f("ABS", x), 1.0)),
    "softplus": _softplus,
}
_DEFAULTS = {"affine": (1.0, 0.0), "leakyrelu": (0.01, 0.0), "thresholdedrelu": (1.0, 0.0), "scaledtanh": (1.0, 1.0),
             "hardsigmoid": (0.2, 0.5), "elu": (1.0, 0.0)}  # fmt: skip
"""alpha and beta where none are given (onnx/defs/rnn/defs.cc refers to the operators of the same names)."""


def activations_of(node: ir.Node) -> tuple[list[str], list[float], list[float]]:
    """Names in lower case, alpha and beta of each gate of each direction, in order.

    alpha and beta are lists of what the activations that take one are given, in the order of these.
    """
    directions = 2 if "direction" in node.attributes and _text(node, "direction") == "bidirectional" else 1
    names = list(CELLS[node.op_type].activations) * directions
    if "activations" in node.attributes:
        names = [name.lower() for name in node.attributes["activations"].as_strings()]
    alphas, betas = _floats(node, "activation_alpha"), _floats(node, "activation_beta")
    first = [_next(alphas, _DEFAULTS[n][0]) if n in _DEFAULTS else 0.0 for n in names]
    second = [
        _next(betas, _DEFAULTS[n][1]) if n in ("affine", "scaledtanh", "hardsigmoid") else 0.0 for n in names
    ]
    return names, first, second


def _text(node: ir.Node, name: str) -> str:
    return node.attributes[name].as_string()


def _floats(node: ir.Node, name: str) -> list[float]:
    return list(node.attributes[name].as_floats()) if name in node.attributes else []


def _next(given: list[float], default: float) -> float:
    return given.pop(0) if given else default


@dataclass(frozen=True)
class Weights:
    """Constants of one direction, gates below each other."""

    inputs: Array
    """[gates * hidden, features]"""
    recurrence: Array
    """[gates * hidden, hidden]"""
    input_bias: Array
    recurrence_bias: Array
    """[gates * hidden]"""
    peepholes: Array | None
    hidden: int


class Cell(ABC):
    """What all three have in common; a subclass says its equations in ``step``."""

    activations: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        f: Formula,
        weights: Weights,
        names: Sequence[str],
        alphas: Sequence[float],
        betas: Sequence[float],
        *,
        clip: float,
        variant: bool,
    ) -> None:
        self.f = f
        self.weights = weights
        self.clip = clip
        self.variant = variant
        """linear_before_reset of a GRU, input_forget of an LSTM."""
        self._activations = list(zip(names, alphas, betas, strict=True))
        self._parts: dict[str, Tensor] = {}
        self._recurrence = self._matrix(weights.recurrence)
        self._recurrence_bias = f.constant(self._separate_bias(), np.float32)

    def inputs(self, flat: Tensor) -> Tensor:
        """The part of every gate that depends on the input alone, for all steps: [rows, gates * hidden]."""
        bias: Array = self.weights.input_bias + self.weights.recurrence_bias - self._separate_bias()
        return self._dense(flat, self._matrix(self.weights.inputs), self.f.constant(bias, np.float32))

    @abstractmethod
    def step(self, product: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The states after a step."""

    def activate(self, index: int, gate: Tensor) -> Tensor:
        """The ``index``-th activation of what was clipped."""
        if self.clip > 0:
            gate = self.f("MINIMUM", self.f("MAXIMUM", gate, -self.clip), self.clip)
        name, alpha, beta = self._activations[index]
        return _ACTIVATIONS[name](self.f, gate, alpha, beta)

    def recurrent(self, state: Tensor) -> Tensor:
        """The part of every gate that depends on the state: [batch, gates * hidden]."""
        if state.data is not None:
            known = state.data @ self.weights.recurrence.T + self._separate_bias()
            return self.f.constant(known, np.float32)
        return self._dense(state, self._recurrence, self._recurrence_bias)

    def gates(self, tensor: Tensor) -> list[Tensor]:
        """[batch, gates * hidden] cut into gates."""
        count, low = tensor.shape[1] // self.weights.hidden, self.f.low
        if count == 1:
            return [tensor]
        if tensor.data is not None:
            return [self.f.constant(part, np.float32) for part in np.split(tensor.data, count, axis=1)]
        axis = self.f.constant(1, np.int32)
        shapes = [(tensor.shape[0], self.weights.hidden)] * count
        return low.emit_many(
            "SPLIT", [axis, tensor], shapes, f"{self.f.name}/gate", options={"numSplits": count}
        )

    def _separate_bias(self) -> Array:
        """The part of the recurrence's bias that may not be added to the input's."""
        return np.zeros(len(self.weights.recurrence), np.float32)

    def _matrix(self, array: Array) -> Tensor:
        return self.f.constant(array, np.float32)

    def _dense(self, data: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
        shape = (data.shape[0], weights.shape[0])
        return self.f.low.emit("FULLY_CONNECTED", [data, weights, bias], shape, f"{self.f.name}/dense")


class RnnCell(Cell):
    """H = f(X W + H R + b)."""

    activations = ("tanh",)

    def step(self, product: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (self.activate(0, self.f("ADD", product, self.recurrent(states[0]))),)


class GruCell(Cell):
    """Gates z, r, h; the reset acts on the state, or (linear_before_reset) on its product."""

    activations = ("sigmoid", "tanh")

    def _separate_bias(self) -> Array:
        bias: Array = np.zeros(len(self.weights.recurrence), np.float32)
        if self.variant:
            bias[2 * self.weights.hidden :] = self.weights.recurrence_bias[2 * self.weights.hidden :]
        return bias

    def step(self, product: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        f, (state,) = self.f, states
        update, reset, candidate = self.gates(product)
        from_state = self.recurrent(state) if self.variant else self._of_gates(state)
        parts = self.gates(from_state)
        update = self.activate(0, f("ADD", update, parts[0]))
        reset = self.activate(0, f("ADD", reset, parts[1]))
        chosen = f("MUL", reset, parts[2]) if self.variant else self._of_candidate(f("MUL", reset, state))
        candidate = self.activate(1, f("ADD", candidate, chosen))
        # (1 - z) h + z H
        return (f("ADD", candidate, f("MUL", update, f("SUB", state, candidate))),)

    def _of_gates(self, state: Tensor) -> Tensor:
        rows = 2 * self.weights.hidden
        if state.data is not None:
            return self.f.constant(state.data @ self.weights.recurrence[:rows].T, np.float32)
        return self._dense(state, self._part("gates", slice(0, rows)), self._zeros(rows))

    def _of_candidate(self, state: Tensor) -> Tensor:
        rows = self.weights.hidden
        return self._dense(state, self._part("candidate", slice(2 * rows, 3 * rows)), self._zeros(rows))

    def _part(self, name: str, rows: slice) -> Tensor:
        """A part of the recurrence, made once."""
        if name not in self._parts:
            self._parts[name] = self._matrix(self.weights.recurrence[rows])
        return self._parts[name]

    def _zeros(self, count: int) -> Tensor:
        return self.f.constant(np.zeros(count), np.float32)


class LstmCell(Cell):
    """Gates i, o, f, c; the state is the hidden and the cell's."""

    activations = ("sigmoid", "tanh", "tanh")

    def step(self, product: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        f, (hidden, cell) = self.f, states
        enter, leave, forget, candidate = self.gates(f("ADD", product, self.recurrent(hidden)))
        peeped = None if self.weights.peepholes is None else np.split(self.weights.peepholes, 3)
        if peeped is not None:
            enter = f("ADD", enter, f("MUL", cell, f.constant(peeped[0], np.float32)))
            forget = f("ADD", forget, f("MUL", cell, f.constant(peeped[2], np.float32)))
        enter = self.activate(0, enter)
        kept = f("SUB", f.constant(1.0, np.float32), enter) if self.variant else self.activate(0, forget)
        new = f("ADD", f("MUL", kept, cell), f("MUL", enter, self.activate(1, candidate)))
        if peeped is not None:
            leave = f("ADD", leave, f("MUL", new, f.constant(peeped[1], np.float32)))
        leave = self.activate(0, leave)
        name, alpha, beta = self._activations[2]
        return f("MUL", leave, _ACTIVATIONS[name](f, new, alpha, beta)), new


CELLS: dict[str, type[Cell]] = {"RNN": RnnCell, "GRU": GruCell, "LSTM": LstmCell}
