"""What a model says of one frame, or of one block of sound or measurements."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from edgewise.errors import CardError, InvalidInput, ShapeMismatch
from edgewise.recurrent_state import RecurrentState
from edgewise.streams.frame import BLOCK_SAMPLES, Block, Frame, SensorBlock
from edgewise.streams.windows import Windows, windows_for
from edgewise.tapped import Tap
from edgewise.tensors import Array, FloatArray, TensorSpec

if TYPE_CHECKING:
    from edgewise.model import Model


class Answers(Protocol):
    """What a stream asks about each frame."""

    @property
    def block_samples(self) -> int:
        """How many samples of sound it wants at once."""

    def answers(self, item: Frame | Block | SensorBlock) -> Iterator[Any]:
        """None, one or several for a frame. Raises UnreadableImage for a picture to be skipped."""


class Answering:
    """One stream's use of a model: pictures and windows are predicted, other blocks are run, with a state where the
    model has one."""

    def __init__(self, model: "Model", top: int | None, *, tap: Tap | None = None) -> None:
        """``tap`` as `Model.predict` takes it."""
        self._model, self._top, self._tap = model, top, tap
        self._state = _state_of(model)
        self._windows: Windows | None = None

    @property
    def block_samples(self) -> int:
        """How many samples the model takes at once, where its input says it."""
        specs = self._free_inputs()
        sizes = [size for size in specs[0].shape if size != 1] if len(specs) == 1 else []
        return sizes[0] if len(sizes) == 1 and sizes[0] > 0 else BLOCK_SAMPLES

    def answers(self, item: Frame | Block | SensorBlock) -> Iterator[Any]:
        """One for a picture; for sound and measurements one for each window that it completes, or its outputs.

        Raises UnreadableImage for a picture to be skipped, and what `Model.predict` and `Model.run` raise.
        """
        if isinstance(item, Frame):
            yield self._model.predict(item.image, top=self._top, tap=self._tap)
        elif (windows := self._windows_for(item)) is not None:
            for window in windows.push(item):
                yield self._model.predict(window, top=self._top, tap=self._tap)
        else:
            yield self._run(item)

    @property
    def remembers(self) -> bool:
        """Whether an answer depends on the blocks before, by a state."""
        return self._state is not None and self._windows is None

    def windows(self) -> Windows | None:
        """A copy of what is held of the stream; None where nothing is cut."""
        return self._windows.copy() if self._windows is not None else None

    def go_on_from(self, windows: Windows | None, item: Frame | Block | SensorBlock) -> bool:
        """Cut the stream from here on as another one's ``windows`` do, which become this one's.

        ``item`` is one of the stream. False where the two models cut differently: then it begins with what comes.
        """
        if isinstance(item, Frame):
            return True
        self._windows = mine = windows_for(self._model, item)
        if mine is None or windows is None:
            return mine is None and windows is None
        return mine.go_on_from(windows)

    def _windows_for(self, item: Block | SensorBlock) -> Windows | None:
        if self._windows is None:
            self._windows = windows_for(self._model, item)
        return self._windows

    def _run(self, item: Block | SensorBlock) -> dict[str, Array]:
        specs = self._free_inputs()
        if len(specs) != 1:
            names = ", ".join(f"'{spec.name}'" for spec in specs)
            raise InvalidInput(
                f"{item.source}: the model has inputs {names}, expected one for samples; read the source in a loop "
                "of your own and call run()"
            )
        samples = _shaped(item.samples, specs[0], item.source)
        return self._model.run({specs[0].name: samples}, state=self._state)

    def _free_inputs(self) -> list[TensorSpec]:
        """Those that no state feeds."""
        held = self._state.arrays if self._state else {}
        return [spec for spec in self._model.inputs if spec.name not in held]


def _state_of(model: "Model") -> RecurrentState | None:
    """None for a model that remembers nothing, or of which nobody says how."""
    try:
        return model.new_state()
    except (CardError, InvalidInput):
        return None


def _shaped(samples: FloatArray, spec: TensorSpec, where: str) -> FloatArray:
    """The samples in the shape of the input, whose open dimensions are 1, the last of them what is left."""
    shape = list(spec.shape)
    for place in [place for place, size in enumerate(shape) if size < 0][:-1]:
        shape[place] = 1
    try:
        return samples.reshape(shape)
    except ValueError as error:
        raise ShapeMismatch(
            f"{where}: got blocks of {samples.size} samples, input '{spec.name}' expects {tuple(spec.shape)}; "
            "open the source with block_samples= what fits"
        ) from error
