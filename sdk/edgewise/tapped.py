"""A look at what goes into a network and comes out of it, while somebody else predicts."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from edgewise.tensors import Array

if TYPE_CHECKING:
    from edgewise.opened import OpenedModel

Tap: TypeAlias = Callable[[Mapping[str, Array] | Array, Mapping[str, Array]], None]
"""Called with the inputs of one run, as `Model.run` takes them, and its outputs by name. It must not change them."""


class _Tapped:
    """An OpenedModel in everything but `run`, which also tells the tap."""

    def __init__(self, opened: "OpenedModel", tap: Tap) -> None:
        self._opened, self._tap = opened, tap

    def run(self, inputs: Mapping[str, Array] | Array, views: bool = False) -> dict[str, Array]:
        """See `OpenedModel.run`."""
        outputs = self._opened.run(inputs, views)
        self._tap(inputs, outputs)
        return outputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)


def tapped(opened: "OpenedModel", tap: Tap) -> "OpenedModel":
    """The same model, whose runs the tap sees."""
    return cast("OpenedModel", _Tapped(opened, tap))
