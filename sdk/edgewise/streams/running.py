"""A model over a source: each frame its answer, everything closed at the end."""

import logging
import time
from collections.abc import Generator
from dataclasses import dataclass
from threading import Event, Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from edgewise.errors import UnreadableImage
from edgewise.streams.answering import Answering, Answers
from edgewise.streams.choice import AnySource, What, open_source
from edgewise.streams.live import Live

if TYPE_CHECKING:
    from edgewise.model import Model

_log = logging.getLogger("edgewise.streams")


@dataclass(frozen=True, eq=False)
class StreamResult:
    """One frame and what the model says of it."""

    frame: Any
    """The Frame; a Block where the source is one of sound, a SensorBlock where it measures."""
    answer: Any
    """What `Model.predict` gives for a picture, or a window of sound or measurements, which a block may complete
    none or several of; for other models the outputs by name of each block, as `Model.run` gives them."""
    dropped: int
    """Frames so far that the model was too slow for."""
    skipped: int
    """Pictures so far that could not be read."""
    latency_ms: float
    """From when the frame was read to its answer, waiting for the model included."""


class Stream:
    """The results of one source, as an iterator. A loop over `Model.stream` closes it, however the loop ends.

    Whoever keeps it beyond the loop closes it, or uses it as a context manager. The model stays open.
    """

    def __init__(self, run: "_Run") -> None:
        self._run = run
        self._results = run.results()

    @property
    def dropped(self) -> int:
        """Frames so far that the model was too slow for."""
        return self._run.dropped

    @property
    def skipped(self) -> int:
        """Pictures so far that could not be read; the log says which and why."""
        return self._run.skipped

    def stop(self) -> None:
        """End it from another thread: whoever waits in `next` gets StopIteration. Waits for the source to close."""
        self._run.stop()

    def close(self) -> None:
        """Close the source and, in live mode, join its thread. Closing twice does nothing."""
        self._run.stop()
        self._results.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamResult:
        return next(self._results)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_stream(
    model: "Model", source: What | AnySource, *, live: bool | None = None, top: int | None = None
) -> Stream:
    """See `Model.stream`. Nothing is opened before the first result is asked for."""
    return stream_of(Answering(model, top), source, live=live)


def stream_of(answering: Answers, source: What | AnySource, *, live: bool | None = None) -> Stream:
    """What answers each frame, over a source."""
    chosen = open_source(source, block_samples=answering.block_samples)
    is_live = chosen.is_live if live is None else live
    return Stream(_Run(_lively(chosen) if is_live else chosen, answering))


def _lively(source: AnySource) -> AnySource:
    return source if isinstance(source, Live) else Live(source)


class _Run:
    """What a stream's generator works with. It does not know the Stream, which so goes as soon as the loop ends."""

    def __init__(self, source: AnySource, answering: Answers) -> None:
        self._source, self._answering = source, answering
        self._opening = Lock()
        self._is_stopped = Event()
        self.skipped = 0

    @property
    def dropped(self) -> int:
        """Sources that drop nothing do not count."""
        return int(getattr(self._source, "dropped", 0))

    def results(self) -> Generator[StreamResult, None, None]:
        """Open, read and answer, and close, whatever ends it."""
        try:
            with self._opening:
                if self._is_stopped.is_set():
                    return
                self._source.open()
            while not self._is_stopped.is_set() and (item := self._source.read()) is not None:
                try:
                    for answer in self._answering.answers(item):
                        latency_ms = (time.monotonic() - item.time_s) * 1000
                        yield StreamResult(item, answer, self.dropped, self.skipped, latency_ms)
                except UnreadableImage as error:
                    self.skipped += 1
                    _log.warning("skipped: %s", error)
        finally:
            self._source.close()

    def stop(self) -> None:
        """Let the generator end, whichever thread runs it."""
        self._is_stopped.set()
        with self._opening:
            self._source.close()
