"""What a recurrent model remembers from call to call, as an object that the app holds."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import numpy as np

from edgewise.errors import InvalidInput
from edgewise.feedback import check_feedback
from edgewise.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from edgewise.opened import OpenedModel


class RecurrentState:
    """The state inputs of one stream of calls. Made by `Model.new_state`; for one thread at a time.

    It belongs to no single model: whatever has the same state inputs, as after a compatible swap, can go on with it.
    """

    def __init__(
        self,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        feedback: Mapping[str, str],
        *,
        batch: int = 1,
    ) -> None:
        """Zeros; ``feedback`` is output name to input name. Raises InvalidInput when it does not fit."""
        if batch < 1:
            raise InvalidInput(f"batch: got {batch}, expected at least 1")
        check_feedback(feedback, inputs, outputs)
        given, made = _by_name(inputs), _by_name(outputs)
        self._feeds = tuple((made[output], given[name]) for output, name in feedback.items())
        self._batch = batch
        self._arrays: dict[str, Array] = {}
        self._fitting: tuple[TensorSpec, ...] = ()
        """The inputs of the model that was last found to fit."""
        self.reset()

    @property
    def arrays(self) -> dict[str, Array]:
        """A copy of what the next call is given, by the names of the inputs."""
        return {name: array.copy() for name, array in self._arrays.items()}

    @property
    def feedback(self) -> dict[str, str]:
        """Output name to the name of the input of the next call that it feeds."""
        return {made.name: given.name for made, given in self._feeds}

    def reset(self) -> None:
        """Back to zeros, for the next recording."""
        self._arrays = {given.name: _zeros(given, self._batch) for _, given in self._feeds}

    def copy(self) -> Self:
        """Another state that remembers the same and goes its own way."""
        other = type(self).__new__(type(self))
        other._feeds, other._batch = self._feeds, self._batch
        other._arrays, other._fitting = dict(self._arrays), self._fitting
        return other

    def with_inputs(self, opened: "OpenedModel", inputs: Mapping[str, Array] | Array) -> dict[str, Array]:
        """The caller's inputs and those of the state. Raises InvalidInput when they are not this model's."""
        if opened.inputs is not self._fitting:
            self._check(opened)
        if isinstance(inputs, Mapping):
            taken = ", ".join(f"'{name}'" for name in inputs if name in self._arrays)
            if taken:
                raise InvalidInput(f"inputs: got {taken}, which the state gives; leave it out")
            return {**inputs, **self._arrays}
        free = [spec.name for spec in opened.inputs if spec.name not in self._arrays]
        if len(free) != 1:
            names = ", ".join(f"'{name}'" for name in free)
            raise InvalidInput(f"inputs: got one array, expected a dictionary with {names}")
        return {free[0]: inputs, **self._arrays}

    def _check(self, opened: "OpenedModel") -> None:
        given, made = _by_name(opened.inputs), _by_name(opened.outputs)
        for output, fed in self._feeds:
            if given.get(fed.name) != fed or made.get(output.name) != output:
                raise InvalidInput(
                    f"state: it was made for a model whose output '{output.name}' feeds input '{fed.name}', "
                    f"and {opened.file.path} has other ones; make a new_state()"
                )
        self._fitting = opened.inputs

    def keep(self, outputs: dict[str, Array], *, copied: bool) -> dict[str, Array]:
        """Take over what feeds the next call; the outputs that are left."""
        self._arrays = {
            given.name: _fed(outputs.pop(made.name), made, given, copied) for made, given in self._feeds
        }
        return outputs

    def __repr__(self) -> str:
        feeds = ", ".join(f"{made.name} -> {given.name}" for made, given in self._feeds)
        return f"<RecurrentState {feeds}>"


def run_with_state(
    opened: "OpenedModel", inputs: Mapping[str, Array] | Array, state: RecurrentState, *, views: bool
) -> dict[str, Array]:
    """One call that goes on from ``state``; see `Model.run`."""
    outputs = opened.run(state.with_inputs(opened, inputs), views)
    return state.keep(outputs, copied=views)


def _by_name(specs: tuple[TensorSpec, ...]) -> dict[str, TensorSpec]:
    return {spec.name: spec for spec in specs}


def _zeros(spec: TensorSpec, batch: int) -> Array:
    """What stands for zero in this tensor, at a size where the caller chooses it."""
    shape = [batch if size < 0 else size for size in spec.shape]
    zero = spec.quantization.zero_point if spec.quantization else 0
    return np.full(shape, zero, spec.dtype)


def _fed(array: Array, made: TensorSpec, given: TensorSpec, copied: bool) -> Array:
    """An output as the input of the next call: integers of another scale are converted."""
    if made.quantization != given.quantization and made.quantization and given.quantization:
        return given.quantization.quantize(made.quantization.dequantize(array), given.dtype)
    return array.copy() if copied else array
