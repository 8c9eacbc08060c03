"""A model's inputs and outputs: what the runtime reports, what the card adds, what a caller may give."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from edgewise.errors import InvalidInput, ModelFileError
from edgewise.model_card import TensorCard
from edgewise.tensors import Array, TensorSpec


def with_card(
    specs: tuple[TensorSpec, ...], cards: tuple[TensorCard, ...], what: str
) -> tuple[TensorSpec, ...]:
    """The runtime's tensors with the card's layouts; without a card, inputs get those their shapes suggest.

    Raises ModelFileError when the card speaks of other tensors than the model has.
    """
    if not cards:
        is_input = what == "input"
        return tuple(replace(spec, layout=_layout_of(spec.shape)) if is_input else spec for spec in specs)
    by_name = {card.name: card for card in cards}
    if by_name.keys() != {spec.name for spec in specs}:
        raise ModelFileError(
            f"{what}s: the model has {sorted(spec.name for spec in specs)}, its card says {sorted(by_name)}"
        )
    for spec in specs:
        card = by_name[spec.name]
        if not spec.accepts(card.shape) and card.shape != spec.shape:
            raise ModelFileError(
                f"{what} '{spec.name}': the model has {spec.shape}, its card says {card.shape}"
            )
    return tuple(replace(spec, layout=by_name[spec.name].layout) for spec in specs)


def _layout_of(shape: tuple[int, ...]) -> str:
    """Four dimensions with one or three channels at an end are an image."""
    if len(shape) != 4:
        return ""
    if shape[3] in (1, 3):
        return "nhwc"
    return "nchw" if shape[1] in (1, 3) else ""


def in_order(inputs: Mapping[str, Array] | Array, specs: Sequence[TensorSpec]) -> list[Array]:
    """A caller's inputs in the model's order. Raises InvalidInput for missing and unknown names."""
    if not isinstance(inputs, Mapping):
        if len(specs) != 1:
            names = ", ".join(f"'{spec.name}'" for spec in specs)
            raise InvalidInput(f"inputs: got one array, expected a dictionary with {names}")
        return [np.asarray(inputs)]
    missing = [spec.name for spec in specs if spec.name not in inputs]
    if missing or len(inputs) != len(specs):
        names = ", ".join(f"'{spec.name}'" for spec in specs)
        got = ", ".join(f"'{name}'" for name in inputs) or "nothing"
        raise InvalidInput(f"inputs: got {got}, expected {names}")
    return [np.asarray(inputs[spec.name]) for spec in specs]


def to_dtype(array: Array, spec: TensorSpec) -> Array:
    """An array as the dtype of an input: floats to floats or quantized, integers to wider integers.

    Raises InvalidInput for anything else: pixels in a float input are more often a mistake than a wish.
    """
    dtype = np.dtype(spec.dtype)
    if array.dtype.kind == "f" and dtype.kind == "f":
        return array.astype(dtype)
    if array.dtype.kind == "f" and spec.quantization:
        return spec.quantization.quantize(array, spec.dtype)
    if array.dtype.kind in "iu" and dtype.kind in "iu" and np.can_cast(array.dtype, dtype, "safe"):
        return array.astype(dtype)
    raise InvalidInput(f"input '{spec.name}': got {array.dtype}, expected {spec.dtype}")
