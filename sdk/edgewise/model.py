"""Load a model file, run it, predict with it, swap it for another, close it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from time import perf_counter
from types import TracebackType
from typing import Self

from edgewise.backends import Backend
from edgewise.child_process import ChildLimits
from edgewise.errors import CardError, InvalidInput
from edgewise.model_card import IMAGE_CLASSIFICATION, ImagePreprocess, ModelCard
from edgewise.model_file import ModelFile
from edgewise.opened import OpenedModel
from edgewise.opening import Opening, require_exchangeable
from edgewise.preprocess.image import ImageReader
from edgewise.preprocess.picture import ImageSource
from edgewise.recurrent_state import RecurrentState, run_with_state
from edgewise.self_test import SelfTest
from edgewise.tasks.classification import Classification, ScoreReader, Timings
from edgewise.tasks.image_input import image_reader_for
from edgewise.tensors import Array, TensorSpec


def load(
    path: str | os.PathLike[str],
    *,
    backend: str | None = None,
    threads: int | None = None,
    preprocess: ImagePreprocess | None = None,
    labels: Sequence[str] | None = None,
    sha256: str | None = None,
    probe: bool | ChildLimits = False,
) -> "Model":
    """Open a .tflite or .onnx file in the first runtime here that can run it. Close the model when done.

    ``backend`` asks for one runtime: litert, tflite-runtime or onnxruntime. ``threads`` is by default the
    number of cores, at most 4. ``preprocess`` and ``labels`` say about a foreign file what it does not say
    itself; they win over what it does say. ``sha256`` is the digest that the file must have, 64 hexadecimal
    digits. With ``probe`` the file is first run in a child process, on zeros and on its golden cases, within
    a minute and the memory that is free, or within the ChildLimits given; a file that crashes its runtime
    is then an error like others. It is no sandbox. Raises ModelFileError, also for another digest and in a
    probe for other answers than promised, ModelCrashed, CardError, BackendUnavailable, InvalidInput.
    """
    opening = Opening(backend, threads)
    opened = opening.open(path, sha256=sha256, probe=probe)
    return Model._of(opened, opening, preprocess, labels)


class Model:
    """One opened model file. Made by `load`; threads that share it take turns; a context manager."""

    def __init__(
        self,
        file: ModelFile,
        backend: Backend,
        *,
        preprocess: ImagePreprocess | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        self._hold(OpenedModel(file, backend), Opening(None, None), preprocess, labels)

    @classmethod
    def _of(
        cls,
        opened: OpenedModel,
        opening: Opening,
        preprocess: ImagePreprocess | None,
        labels: Sequence[str] | None,
    ) -> "Model":
        model = cls.__new__(cls)
        model._hold(opened, opening, preprocess, labels)
        return model

    def _hold(
        self,
        opened: OpenedModel,
        opening: Opening,
        preprocess: ImagePreprocess | None,
        labels: Sequence[str] | None,
    ) -> None:
        self._opened, self._opening = opened, opening
        self._preprocess = preprocess
        self._labels = None if labels is None else tuple(labels)
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
        return self.file.labels if self._labels is None else self._labels

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
        """The card's task; "" when the file does not say."""
        return self.file.task

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
        if old.classifier:  # whoever predicts must be able to go on
            self._open_classifier(new)
        with self._exchange:
            if self._opened.backend is None:
                raise InvalidInput(f"{self.path}: the model is closed; load the other one")
            self._opened = new

    def predict(self, image: ImageSource, *, top: int = 5) -> Classification:
        """What is in the picture: the ``top`` most likely categories.

        ``image`` is a path, an open binary file, a PIL image, or a uint8 array (height, width, 3) in RGB.
        Raises CardError when the file does not say enough, UnreadableImage, InvalidInput.
        """
        opened = self._opened  # a swap meanwhile changes nothing for this call
        reader, scores = opened.classifier or self._open_classifier(opened)
        started = perf_counter()
        tensor = reader.read(image)
        prepared = perf_counter()
        outputs = opened.run(tensor)
        invoked = perf_counter()
        categories = scores.read(outputs[opened.outputs[0].name], top)
        ended = perf_counter()
        spans = (prepared - started, invoked - prepared, ended - invoked)
        return Classification(categories, Timings(*(span * 1000 for span in spans)))

    def _open_classifier(self, opened: OpenedModel) -> tuple[ImageReader, ScoreReader]:
        file = opened.file
        if file.card and file.task != IMAGE_CLASSIFICATION and self._preprocess is None:
            raise CardError(
                f"{file.path}: its task is '{file.task}', predict() knows '{IMAGE_CLASSIFICATION}'; use run()"
            )
        reader = image_reader_for(file, opened.inputs, self._preprocess)
        activation = file.card.outputs[0].activation if file.card else ""
        labels = file.labels if self._labels is None else self._labels
        opened.classifier = reader, ScoreReader(opened.outputs[0], labels=labels, activation=activation)
        return opened.classifier

    def image_reader(self) -> ImageReader:
        """The pre-processing of `predict`, for those who call `run` themselves. Raises CardError."""
        opened = self._opened
        return (opened.classifier or self._open_classifier(opened))[0]

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
