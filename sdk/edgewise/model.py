"""Load a model file, run it, predict with it, close it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Self

import numpy as np

from edgewise.backends import Backend, open_backend
from edgewise.errors import CardError, EdgewiseError, InvalidInput
from edgewise.golden import kept
from edgewise.model_card import IMAGE_CLASSIFICATION, ImagePreprocess, ModelCard
from edgewise.model_file import ModelFile, read_model
from edgewise.preprocess.image import ImageReader
from edgewise.preprocess.picture import ImageSource
from edgewise.self_test import CaseResult, SelfTest, agreement_db
from edgewise.signature import in_order, to_dtype, with_card
from edgewise.tasks.classification import Classification, ScoreReader, Timings
from edgewise.tasks.image_input import image_reader_for
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
) -> "Model":
    """Open a .tflite or .onnx file in the first runtime here that can run it. Close the model when done.

    ``backend`` asks for one runtime: litert, tflite-runtime or onnxruntime. ``threads`` is by default the
    number of cores, at most 4. ``preprocess`` and ``labels`` say about a foreign file what it does not say
    itself; they win over what it does say. Raises ModelFileError, CardError, BackendUnavailable.
    """
    if threads is not None and threads < 1:
        raise InvalidInput(f"threads: got {threads}, expected at least 1")
    file = read_model(path)
    opened = open_backend(file.path, file.format, name=backend, threads=threads or default_threads())
    try:
        return Model(file, opened, preprocess=preprocess, labels=labels)
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
        self._classifier: tuple[ImageReader, ScoreReader] | None = None

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
        return self.card.task if self.card else ""

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

    def predict(self, image: ImageSource, *, top: int = 5) -> Classification:
        """What is in the picture: the ``top`` most likely categories.

        ``image`` is a path, an open binary file, a PIL image, or a uint8 array (height, width, 3) in RGB.
        Raises CardError when the file does not say enough, UnreadableImage, InvalidInput.
        """
        reader, scores = self._classifier or self._open_classifier()
        started = perf_counter()
        tensor = reader.read(image)
        prepared = perf_counter()
        outputs = self.run(tensor)
        invoked = perf_counter()
        categories = scores.read(outputs[self._output_names[0]], top)
        ended = perf_counter()
        spans = (prepared - started, invoked - prepared, ended - invoked)
        return Classification(categories, Timings(*(span * 1000 for span in spans)))

    def _open_classifier(self) -> tuple[ImageReader, ScoreReader]:
        if self.card and self.task != IMAGE_CLASSIFICATION and self._preprocess is None:
            raise CardError(
                f"{self.path}: its task is '{self.task}', predict() knows '{IMAGE_CLASSIFICATION}'; use run()"
            )
        reader = image_reader_for(self.file, self.inputs, self._preprocess)
        activation = self.card.outputs[0].activation if self.card else ""
        scores = ScoreReader(self.outputs[0], labels=self.labels, activation=activation)
        self._classifier = reader, scores
        return self._classifier

    def image_reader(self) -> ImageReader:
        """The pre-processing of `predict`, for those who call `run` themselves. Raises CardError."""
        return (self._classifier or self._open_classifier())[0]

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
