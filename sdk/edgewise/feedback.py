"""Which outputs of a recurrent model feed which inputs of its next call, told by names and shapes."""

import re
from collections.abc import Mapping, Sequence

from edgewise.errors import CardError, InvalidInput
from edgewise.tensors import TensorSpec

_TIMES = frozenset(
    {"in", "out", "input", "output", "new", "next", "n", "t", "prev", "previous", "past", "present", "old"}
    | {"cur", "current", "last", "init", "initial"}
)
"""Words by which the names of a state before and after a call differ."""


def guess_feedback(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], *, where: str
) -> dict[str, str]:
    """Output name to input name: those whose names are alike but for the time, else the only ones of one shape.

    At least one input stays the caller's. Raises CardError, listing what could feed what, when that is not one way.
    """
    pairs = _alike(inputs, outputs) or _of_one_shape(inputs, outputs)
    if pairs and len(pairs) < len(inputs):
        return pairs
    could = [
        f"'{output.name}' to '{given.name}'"
        for output in outputs
        for given in inputs
        if _can_feed(output, given)
    ]
    if not could:
        raise CardError(f"{where}: no output can feed an input: none has the dtype and the shape of one")
    raise CardError(
        f"{where}: nothing says which outputs feed inputs of the next call; could be {', '.join(could)}: "
        'say it, as in new_state(feedback={"output": "input"})'
    )


def check_feedback(
    feedback: Mapping[str, str], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> None:
    """Raise InvalidInput unless each output exists and can feed its input, and no input is fed twice."""
    given = {spec.name: spec for spec in inputs}
    made = {spec.name: spec for spec in outputs}
    for output, name in feedback.items():
        for what, got, specs in (("output", output, made), ("input", name, given)):
            if got not in specs:
                raise InvalidInput(f"feedback: got {what} '{got}', expected one of {', '.join(specs)}")
        if not _can_feed(made[output], given[name]):
            raise InvalidInput(
                f"feedback: output '{output}' is {made[output].dtype}{list(made[output].shape)}, "
                f"input '{name}' is {given[name].dtype}{list(given[name].shape)}"
            )
    if len(set(feedback.values())) < len(feedback):
        raise InvalidInput(f"feedback: got {dict(feedback)}, expected each input once")


def _alike(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> dict[str, str]:
    pairs = [
        (output.name, given.name)
        for output in outputs
        for given in inputs
        if _can_feed(output, given) and _are_alike(_stem(output.name), _stem(given.name))
    ]
    return _one_to_one(pairs)


def _of_one_shape(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> dict[str, str]:
    pairs = [
        (output.name, given.name)
        for output in outputs
        for given in inputs
        if _can_feed(output, given) and output.shape == given.shape
    ]
    return _one_to_one(pairs)


def _one_to_one(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The pairs as a mapping; empty when some name is in two of them."""
    found = dict(pairs)
    return found if len(pairs) == len(found) == len(set(found.values())) else {}


def _can_feed(output: TensorSpec, given: TensorSpec) -> bool:
    return (
        output.dtype == given.dtype
        and len(output.shape) == len(given.shape)
        and all(-1 in sizes or sizes[0] == sizes[1] for sizes in zip(output.shape, given.shape, strict=True))
    )


def _are_alike(output: str, given: str) -> bool:
    """hn is h after the call, as PyTorch's users name it."""
    return bool(given) and output in (given, f"{given}n")


def _stem(name: str) -> str:
    """A name without the words that tell before from after: stateN, state_out and new_state are all state."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name)
    stem = [word.lower() for word in words if word.lower() not in _TIMES]
    return " ".join(stem[:-1] if stem[1:] and stem[-1] == "0" else stem)
