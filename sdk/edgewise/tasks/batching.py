"""Several pictures through the network in one call, where the file allows it and it gives the same answers."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewise.errors import CardError, InvalidInput
from edgewise.preprocess.image import Prepared
from edgewise.tasks.reading import ImageReading, Reading
from edgewise.tasks.timings import Stopwatch
from edgewise.tensors import Array

if TYPE_CHECKING:
    from edgewise.opened import OpenedModel

_MIN_RANK = 3
"""Of a batched output, unless it is one score for each class: [n, 7] may as well be n boxes of all pictures."""
_TOLERANCE = 1e-4
"""Of an output's largest value. A batch is summed in another order; float32 networks then differ by some 1e-6."""


def predict_in_batches(
    opened: "OpenedModel", reading: Reading, given: Iterable[Any], *, batch: int, top: int | None
) -> Iterator[Any]:
    """See `Model.predict_many`."""
    try:
        yield from _answers(opened, reading, given, batch, top)
    except CardError as error:
        raise opened.placed(error) from error


def _answers(
    opened: "OpenedModel", reading: Reading, given: Iterable[Any], batch: int, top: int | None
) -> Iterator[Any]:
    if batch == 1 or not isinstance(reading, ImageReading) or not may_batch(opened):
        for one in given:
            yield reading.predict(opened, one, top=top, rate_hz=None)
        return
    run = _Batches(opened)
    waiting = iter(given)
    while True:
        prepared, failure = _prepare(reading, islice(waiting, batch))
        if prepared:
            answers = run([one for one, _ in prepared])
            for (picture, preprocess_ms), (outputs, invoke_ms) in zip(prepared, answers, strict=True):
                watch = Stopwatch.after(preprocess_ms, invoke_ms)
                yield reading.task.answer(outputs, picture.view, top=top, watch=watch)
        if failure is not None:
            raise failure
        if len(prepared) < batch:
            return


def may_batch(opened: "OpenedModel") -> bool:
    """Whether the first dimension of input and outputs is open, and each picture can have its own row."""
    if len(opened.inputs) != 1 or opened.inputs[0].shape[:1] != (-1,):
        return False
    is_alone = len(opened.outputs) == 1 and min(opened.outputs[0].shape[1:], default=0) > 1
    return all(
        spec.shape[:1] == (-1,)
        and (len(spec.shape) >= _MIN_RANK or (is_alone and not _looks_like_boxes(spec.shape)))
        for spec in opened.outputs
    )


def _looks_like_boxes(shape: tuple[int, ...]) -> bool:
    """[n, 6] and [n, 7]: the boxes that remain after suppression in the file."""
    return shape[1:] in ((6,), (7,))


def _prepare(
    reading: ImageReading, given: Iterable[Any]
) -> tuple[list[tuple[Prepared, float]], Exception | None]:
    """Pictures as tensors, and what is wrong with the one after them: those before it are answered first."""
    prepared = []
    try:
        for one in given:
            began = perf_counter()
            tensor = reading.reader.prepare(one)
            prepared.append((tensor, (perf_counter() - began) * 1000))
    except Exception as error:  # whatever it is, it is raised at its turn
        return prepared, error
    return prepared, None


class _Batches:
    """Runs batches, once the first of them has given what one after another gives."""

    def __init__(self, opened: "OpenedModel") -> None:
        self._opened = opened
        self._is_trusted: bool | None = None

    def __call__(self, pictures: list[Prepared]) -> list[tuple[dict[str, Array], float]]:
        """For each picture its outputs, batch of one, and its share of the time in milliseconds."""
        if len(pictures) == 1 or self._is_trusted is False:
            return [self._alone(picture) for picture in pictures]
        began = perf_counter()
        rows = self._rows(pictures)
        each_ms = (perf_counter() - began) * 1000 / len(pictures)
        if rows is not None and self._is_trusted:
            return [(row, each_ms) for row in rows]
        alone = [self._alone(picture) for picture in pictures]
        if self._is_trusted is None:
            self._is_trusted = rows is not None and all(
                _agree(row, outputs) for row, (outputs, _) in zip(rows, alone, strict=True)
            )
        return alone

    def _alone(self, picture: Prepared) -> tuple[dict[str, Array], float]:
        began = perf_counter()
        outputs = self._opened.run(picture.tensor)
        return outputs, (perf_counter() - began) * 1000

    def _rows(self, pictures: list[Prepared]) -> list[dict[str, Array]] | None:
        """None where the network does not take a batch, or gives no row for each picture."""
        try:
            outputs = self._opened.run(np.concatenate([picture.tensor for picture in pictures]))
        except InvalidInput:
            if self._opened.backend is None:
                raise
            return None
        if any(array.shape[:1] != (len(pictures),) for array in outputs.values()):
            return None
        return [
            {name: array[place : place + 1] for name, array in outputs.items()}
            for place in range(len(pictures))
        ]


def _agree(first: Mapping[str, Array], second: Mapping[str, Array]) -> bool:
    """Whether two sets of outputs are the same but for rounding."""
    for name, array in first.items():
        other = second[name]
        if array.shape != other.shape:
            return False
        largest = float(np.abs(other.astype(np.float64)).max(initial=0.0))
        if not np.allclose(array, other, rtol=0, atol=_TOLERANCE * largest, equal_nan=True):
            return False
    return True
