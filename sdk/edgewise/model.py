"""Load a model file, run it, predict with it, close it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from edgewise.backends import Backend, open_backend
from edgewise.detection_card import DetectionCard
from edgewise.errors import CardError, EdgewiseError, InvalidInput
from edgewise.golden import kept
from edgewise.model_card import OBJECT_DETECTION, ImagePreprocess, ModelCard
from edgewise.model_file import ModelFile, read_model
from edgewise.preprocess.image import ImageReader
from edgewise.preprocess.picture import ImageSource
from edgewise.self_test import CaseResult, SelfTest, agreement_db
from edgewise.signature import in_order, to_dtype, with_card
from edgewise.tasks.base import Options, Setup, Task
from edgewise.tasks.choice import check_task, guess_task, open_task, says_nothing
from edgewise.tasks.heads.base import Facts
from edgewise.tasks.image_input import image_reader_for
from edgewise.tasks.timings import Stopwatch
from edgewise.tensors import Array

MAX_THREADS = 4
"""More do not pay on any Raspberry Pi: four threads already give only about twice one."""


def load(
    path: str | os.PathLike[str],
    *,
    backend: str | None = None,
    threads: int | None = None,
    preprocess: ImagePreprocess | None = None,
    labels: Sequence[str] | None = None,
    task: str | None = None,
    head: str | DetectionCard | None = None,
    score_threshold: float | None = None,
    overlap_threshold: float | None = None,
    mask_resample: str = "nearest",
) -> "Model":
    """Open a .tflite or .onnx file in the first runtime here that can run it. Close the model when done.

    ``backend`` asks for one runtime: litert, tflite-runtime or onnxruntime. ``threads`` is by default the
    number of cores, at most 4. ``preprocess`` and ``labels`` say about a foreign file what it does not say
    itself; they win over what it does say, and so does the rest. ``task`` is image-classification,
    object-detection, image-segmentation or image-embedding. ``head`` says how a detector's outputs are
    decoded (see `DetectionCard`) and that it is one; the thresholds, 0 to 1, say which boxes count.
    ``mask_resample`` is how a segmentation reaches the picture's size: nearest, or bilinear from logits.
    Raises ModelFileError, CardError, BackendUnavailable.
    """
    wanted = OBJECT_DETECTION if task is None and head is not None else task
    options = Options(wanted, head, score_threshold, overlap_threshold, mask_resample)
    if threads is not None and threads < 1:
        raise InvalidInput(f"threads: got {threads}, expected at least 1")
    file = read_model(path)
    opened = open_backend(file.path, file.format, name=backend, threads=threads or default_threads())
    try:
        return Model(file, opened, preprocess=preprocess, labels=labels, options=options)
    except EdgewiseError:
        opened.close()
        raise


def default_threads() -> int:
    """How many threads a model gets when nobody says: the cores, at most 4."""
    return min(MAX_THREADS, os.cpu_count() or 1)


class Model:
    """One opened model file. Made by `load`; not for several threads at once; a context manager."""

    def __init__(
        self,
        file: ModelFile,
        backend: Backend,
        *,
        preprocess: ImagePreprocess | None = None,
        labels: Sequence[str] | None = None,
        options: Options | None = None,
    ) -> None:
        self.file = file
        self._backend = backend
        self._is_open = True
        self.inputs = with_card(backend.inputs(), file.card.inputs if file.card else (), "input")
        self.outputs = with_card(backend.outputs(), file.card.outputs if file.card else (), "output")
        self.labels = tuple(labels) if labels is not None else file.labels
        self._preprocess = preprocess
        self._output_names = [spec.name for spec in self.outputs]
        self._input_dtypes = [np.dtype(spec.dtype) for spec in self.inputs]
        self._options = options or Options()
        self._guessed_task = ""
        self._task: tuple[ImageReader, Task] | None = None
        if self._options.task is not None:
            check_task(self.path, self._options.task)

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
        return self._options.task or self._guessed_task or (self.card.task if self.card else "")

    @property
    def backend_name(self) -> str:
        """The runtime it is open in."""
        return self._backend.name

    def run(self, inputs: Mapping[str, Array] | Array, *, views: bool = False) -> dict[str, Array]:
        """One inference: arrays in, arrays out, by the names in `inputs` and `outputs`.

        A model with one input takes the bare array. Floats given to a quantized input are quantized;
        outputs stay as the runtime gives them, and `outputs[i].quantization.dequantize` makes them real.
        The outputs are yours. With ``views`` they may lie in the runtime's own memory: copy what you keep
        and let go of the rest before the next run, which raises InvalidInput otherwise.
        Raises ShapeMismatch and InvalidInput naming the input.
        """
        if not self._is_open:
            raise InvalidInput(f"{self.path}: the model is closed; load it again")
        prepared = [
            array if array.dtype == dtype else to_dtype(array, spec)
            for array, spec, dtype in zip(
                in_order(inputs, self.inputs), self.inputs, self._input_dtypes, strict=True
            )
        ]
        return dict(zip(self._output_names, self._backend.run(prepared, views=views), strict=True))

    def predict(self, image: ImageSource, *, top: int | None = None) -> Any:
        """What the picture shows: a Classification, Detections, a Segmentation or an Embedding, by the task.

        ``image`` is a path, an open binary file, a PIL image, or a uint8 array (height, width, 3) in RGB.
        ``top`` is how many answers are wanted at most: by default 5 categories, or 300 boxes.
        Raises CardError when the file does not say enough, UnreadableImage, InvalidInput.
        """
        if top is not None and top < 1:
            raise InvalidInput(f"top: got {top}, expected at least 1")
        reader, task = self._task or self._open_task()
        watch = Stopwatch()
        prepared = reader.prepare(image)
        watch.lap()
        outputs = self.run(prepared.tensor)
        watch.lap()
        try:
            return task.answer(outputs, prepared.view, top=top, watch=watch)
        except CardError as error:
            raise CardError(f"{self.path}: {error}") from error

    def _open_task(self) -> tuple[ImageReader, Task]:
        name, card = self.task, self.card
        is_told = self._preprocess is not None or card is None
        if not (says_nothing(name) and is_told and self._options.task is None):
            check_task(self.path, name)
        reader = image_reader_for(self.file, self.inputs, self._preprocess)
        size_wh = reader.spec.size_wh
        if says_nothing(name):
            shapes = tuple(spec.shape for spec in self.outputs)
            name = self._guessed_task = guess_task(shapes, Facts(size_wh, self.labels))
        activation = card.outputs[0].activation if card else ""
        detection = card.detection if card else None
        setup = Setup(self.path, size_wh, self.outputs, activation, self.labels, detection, self._options)
        self._task = reader, open_task(name, setup)
        return self._task

    def image_reader(self) -> ImageReader:
        """The pre-processing of `predict`, for those who call `run` themselves. Raises CardError."""
        return (self._task or self._open_task())[0]

    def self_test(self) -> SelfTest:
        """Run the golden cases in the file and compare. Raises CardError when it carries none."""
        cases = self.file.golden()
        if not cases or self.card is None or self.card.golden is None:
            raise CardError(f"{self.path}: it carries no golden cases to test itself with")
        results = []
        steps = self.card.golden.output_steps
        for index, case in enumerate(cases):
            outputs = self.run(case.inputs)
            for place, spec in enumerate(self.outputs):
                got = kept(outputs[spec.name], steps[place] if steps else 1)
                db = agreement_db(case.outputs[spec.name], got, spec.quantization)
                results.append(CaseResult(index, spec.name, db))
        return SelfTest(tuple(results), self.card.golden.tolerance_db, self.backend_name)

    def close(self) -> None:
        """Give the runtime's memory back. Closing twice does nothing."""
        if self._is_open:
            self._is_open = False
            self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        shapes = ", ".join(f"{spec.name} {spec.dtype}{list(spec.shape)}" for spec in self.inputs)
        return f"<Model {self.name!r} in {self.backend_name}: {shapes}>"
