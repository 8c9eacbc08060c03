"""A loaded model: run it, predict with it, swap it for another, close it."""

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from edgewise.backends import Backend
from edgewise.child_limits import ChildLimits
from edgewise.errors import CardError, InvalidInput
from edgewise.model_card import ModelCard
from edgewise.model_file import ModelFile
from edgewise.opened import OpenedModel
from edgewise.opening import Opening, require_exchangeable
from edgewise.placement import Placement
from edgewise.preprocess.image import ImageReader
from edgewise.recurrent_state import RecurrentState, run_with_state
from edgewise.self_test import SelfTest
from edgewise.series_card import SeriesPreprocess
from edgewise.tapped import Tap, tapped
from edgewise.tasks.base import Options
from edgewise.tasks.choice import check_task
from edgewise.tasks.reading import Asked, Preprocess, Reading, image_reader_of, open_reading, warm_up_reading
from edgewise.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from edgewise.streams.choice import AnySource, What
    from edgewise.streams.running import Stream, StreamResult


DEFAULT_BATCH = 4
"""Pictures at a time in `Model.predict_many`: a processor gains little from more."""


class Model:
    """One opened model file. Made by `load`; threads that share it take turns; a context manager."""

    def __init__(
        self,
        file: ModelFile,
        backend: Backend,
        *,
        preprocess: Preprocess | None = None,
        labels: Sequence[str] | None = None,
        options: Options | None = None,
    ) -> None:
        asked = Asked(preprocess, labels, options or Options())
        self._hold(OpenedModel(file, backend), Opening(), asked)

    @classmethod
    def _of(cls, opened: OpenedModel, opening: Opening, asked: Asked) -> "Model":
        model = cls.__new__(cls)
        model._hold(opened, opening, asked)
        return model

    def _hold(self, opened: OpenedModel, opening: Opening, asked: Asked) -> None:
        if asked.options.task is not None:
            check_task(opened.file.path, asked.options.task)
        self._opened, self._opening, self._asked = opened, opening, asked
        self._exchange = Lock()

    @property
    def file(self) -> ModelFile:
        """The model file and what it carries."""
        return self._opened.file

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` wants, in order."""
        return self._opened.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` gives, in order."""
        return self._opened.outputs

    @property
    def labels(self) -> tuple[str, ...]:
        """By output index: those given to `load`, else the file's."""
        return self._asked.labels_of(self.file)

    @property
    def path(self) -> Path:
        """The model file."""
        return self.file.path

    @property
    def card(self) -> ModelCard | None:
        """What the file carries; None for a foreign file."""
        return self.file.card

    @property
    def name(self) -> str:
        """The card's name for it, or the file's."""
        return self.card.name if self.card else self.path.stem

    @property
    def task(self) -> str:
        """The one given to `load`, else the card's, else what `predict` found the outputs to mean; or ""."""
        reading = self._opened.reading
        return self._asked.options.task or (reading.guessed_task if reading else "") or self.file.task

    @property
    def backend_name(self) -> str:
        """The runtime it is open in."""
        return self._opened.backend_name

    def run(
        self,
        inputs: Mapping[str, Array] | Array,
        *,
        views: bool = False,
        state: RecurrentState | None = None,
    ) -> dict[str, Array]:
        """One inference: arrays in, arrays out, by the names in `inputs` and `outputs`.

        A model with one input takes the bare array. Floats given to a quantized input are quantized;
        outputs stay as the runtime gives them, and `outputs[i].quantization.dequantize` makes them real.
        The outputs are yours. With ``views`` they may lie in the runtime's own memory: copy what you keep
        and let go of the rest before the next run, which raises InvalidInput otherwise; not for a model that
        threads share. With ``state`` the inputs that it holds are taken from it, and the outputs that feed
        them are put back into it instead of being returned. Raises ShapeMismatch and InvalidInput naming
        the input; the state is then as it was.
        """
        if state is None:
            return self._opened.run(inputs, views)
        return run_with_state(self._opened, inputs, state, views=views)

    def warm_up(self, runs: int = 1) -> None:
        """Run it before it matters: the first call allocates, reads weights from the disk and imports.

        It is fed its first golden case, else zeros (open sizes: 1), and a black picture where it takes pictures.
        States made by `new_state` stay as they are; what a model remembers inside the runtime begins anew. Raises
        InvalidInput where that is not possible.
        """
        opened = self._opened
        opened.warm_up(runs, lambda: self._predict_black(opened))

    def _predict_black(self, opened: OpenedModel) -> None:
        with suppress(CardError, InvalidInput):  # whoever only calls run() need not say what the outputs mean
            warm_up_reading(opened, self._reading_of(opened))

    def placement(self, inputs: Mapping[str, Array] | Array | None = None) -> Placement:
        """Which operators run where: in a delegate, in XNNPACK, in the runtime's own kernels.

        onnxruntime tells by running once more, with its profiler: ``inputs``, else the first golden case, else zeros.
        Raises BackendUnavailable when the runtime does not tell.
        """
        return self._opened.placement(inputs)

    def new_state(self, *, feedback: Mapping[str, str] | None = None, batch: int = 1) -> RecurrentState:
        """A state of zeros for a model whose outputs feed inputs of its next call, for `run`.

        ``feedback`` says which output feeds which input, such as ``{"stateN": "state"}``; without it the card
        says it, or names and shapes that fit each other in one way only. Dimensions that the caller chooses
        are ``batch``. Raises CardError when none of these tells, listing what could feed what, and
        InvalidInput for a feedback that does not fit.
        """
        opened = self._opened
        return RecurrentState(opened.inputs, opened.outputs, opened.feedback(feedback), batch=batch)

    def swap(
        self,
        path: str | os.PathLike[str],
        *,
        sha256: str | None = None,
        probe: bool | ChildLimits = True,
        compatible: bool = True,
    ) -> None:
        """Put another model file in this one's place, between two calls; threads may be running it meanwhile.

        A call that has begun ends on the old model, the next one uses the new one, and the old one's memory
        is given back when nobody is inside it. The file is probed as in `load`; without ``probe``, its golden
        cases are run here. It must have the same task and, unless ``compatible`` is False, inputs and outputs
        of the same names, shapes and dtypes. Raises what `load` raises; the old model then stays in its place.
        """
        old = self._opened
        new = self._opening.open(path, sha256=sha256, probe=probe)
        if not probe:
            new.require_proof()
        require_exchangeable(new, old, same_signature=compatible)
        if old.reading:  # whoever predicts must be able to go on
            self._reading_of(new)
        with self._exchange:
            if self._opened.backend is None:
                raise InvalidInput(f"{self.path}: the model is closed; load the other one")
            self._opened = new

    def predict(
        self, given: Any, *, top: int | None = None, rate_hz: int | None = None, tap: Tap | None = None
    ) -> Any:
        """What was given shows, by the task: a Classification, Detections, a Segmentation, an Embedding, Poses, an
        Anomaly or Tensors.

        Of a picture ``given`` is a path, an open binary file, a PIL image, or a uint8 array (height, width, 3) in
        RGB; of sound the path of a WAV file, or samples (time,) at ``rate_hz``; of a series an array
        [time, channels] as measured; of text a string; for the task tensors what `run` takes.
        ``top`` is how many answers are wanted at most: by default 5 categories, or 300 boxes. ``tap`` is called with
        what went into the network and what came out of it, before the answer is read, for whoever watches inputs.
        Raises CardError when the file does not say enough, UnreadableImage, InvalidInput.
        """
        if top is not None and top < 1:
            raise InvalidInput(f"top: got {top}, expected at least 1")
        opened = self._opened  # a swap meanwhile changes nothing for this call
        through = opened if tap is None else tapped(opened, tap)
        try:
            return self._reading_of(opened).predict(through, given, top=top, rate_hz=rate_hz)
        except CardError as error:
            raise opened.placed(error) from error

    def predict_many(
        self, given: Iterable[Any], *, batch: int = DEFAULT_BATCH, top: int | None = None
    ) -> Iterator[Any]:
        """`predict` of each, in order, as they are asked for: ``for answer in model.predict_many(paths)``.

        Pictures go through the network up to ``batch`` at a time, where the file leaves the first dimension of its
        input open and the answers of the first batch are those of one after another; no more of them are in memory.
        Everything else, and a model that does not allow it, is predicted one after another. Raises as `predict` does,
        at the picture's turn.
        """
        for name, value in (("batch", batch), ("top", top)):
            if value is not None and value < 1:
                raise InvalidInput(f"{name}: got {value}, expected at least 1")
        from edgewise.tasks.batching import predict_in_batches

        opened = self._opened
        return predict_in_batches(opened, self._reading_of(opened), given, batch=batch, top=top)

    def stream(
        self, source: "What | AnySource", *, live: bool | None = None, top: int | None = None
    ) -> "Stream":
        """An answer for each frame of a source: ``for result in model.stream("photos/")``, a StreamResult each.

        ``source`` is what `edgewise.streams.open_source` takes, or a source. With ``live`` only the newest frame is
        answered and the rest is counted as dropped; by default cameras are live, and files wait for the model.
        Pictures that cannot be read are skipped and counted. Blocks of sound and measurements are answered by
        windows where the task is one of sound or series; else through `run`, with a state of this stream's own
        where `new_state` makes one. The end of the loop closes the source, however it ends.
        Raises SourceError, InvalidInput, CardError.
        """
        from edgewise.streams.running import start_stream  # with threads and sources, which few need

        return start_stream(self, source, live=live, top=top)

    def astream(
        self, source: "What | AnySource", *, live: bool | None = None, top: int | None = None
    ) -> "AsyncIterator[StreamResult]":
        """`stream` for asyncio, ``async for result in model.astream(...)``: a thread waits and infers, not the loop."""
        from edgewise.streams.aio import results_of

        return results_of(self.stream(source, live=live, top=top))

    def _reading_of(self, opened: OpenedModel) -> Reading:
        """How what is given becomes its inputs and its outputs an answer; found out once."""
        if opened.reading is None:
            opened.reading = open_reading(opened, self._asked)
        return opened.reading

    def image_reader(self) -> ImageReader:
        """The pre-processing of `predict`, for those who call `run` themselves. Raises CardError, InvalidInput."""
        return image_reader_of(self._reading_of(self._opened))

    @property
    def series_preprocess(self) -> SeriesPreprocess | None:
        """How windows of a series are made: as given to `load`, else by the card; None where neither says it."""
        given = self._asked.preprocess
        if isinstance(given, SeriesPreprocess):
            return given
        return self.card.inputs[0].series if self.card else None

    @property
    def sound_window(self) -> tuple[int, int]:
        """How many samples, and at which rate, a window has of the task audio-classification. Raises CardError."""
        from edgewise.tasks.sound_reading import SoundReading

        reading = self._reading_of(self._opened)
        if not isinstance(reading, SoundReading):
            raise CardError(f"{self.path}: its task is {self.task!r}, expected 'audio-classification'")
        return reading.input.samples, reading.input.rate_hz

    def self_test(self) -> SelfTest:
        """Run the golden cases in the file and compare. Raises CardError when it carries none."""
        return self._opened.self_test()

    def close(self) -> None:
        """Give the runtime's memory back. Closing twice does nothing."""
        with self._exchange:
            self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        shapes = ", ".join(f"{spec.name} {spec.dtype}{list(spec.shape)}" for spec in self.inputs)
        return f"<Model {self.name!r} in {self.backend_name}: {shapes}>"
