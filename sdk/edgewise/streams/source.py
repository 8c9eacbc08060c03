"""The seam between what pictures and sound come from and who reads them."""

from abc import ABC, abstractmethod
from threading import Event, Lock
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from edgewise.errors import SourceError
from edgewise.streams.clock import Clock, MonotonicClock
from edgewise.streams.frame import Block, Frame, SensorBlock

ItemT_co = TypeVar("ItemT_co", bound=Frame | Block | SensorBlock, covariant=True)


class Source(Protocol[ItemT_co]):
    """Frames or blocks, one after the other. Whoever opens it closes it."""

    @property
    def name(self) -> str:
        """What to call it in a message."""

    @property
    def is_live(self) -> bool:
        """Whether it goes on whether or not somebody reads, so that a slow reader drops frames."""

    def open(self) -> None:
        """Get ready to read, from the beginning. Raises SourceError. Opening an open source does nothing."""

    def read(self) -> ItemT_co | None:
        """Wait for the next one; None at the end, and when another thread closes the source meanwhile.

        Raises SourceError when it has gone away.
        """

    def close(self) -> None:
        """Give back what it holds; a `read` that waits in another thread ends. Closing twice does nothing."""


class Iterated(ABC, Generic[ItemT_co]):
    """A source as a context manager and an iterator, for whoever has open, read and close."""

    @abstractmethod
    def open(self) -> None:
        """See `Source.open`."""

    @abstractmethod
    def read(self) -> ItemT_co | None:
        """See `Source.read`."""

    @abstractmethod
    def close(self) -> None:
        """See `Source.close`."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ItemT_co:
        item = self.read()
        if item is None:
            raise StopIteration
        return item


class SourceBase(Iterated[ItemT_co]):
    """What our sources share: numbering, and closing from another thread while one reads."""

    is_live = False

    def __init__(self, name: str, clock: Clock | None = None) -> None:
        self.name = name
        self._clock = clock or MonotonicClock()
        self._closing = Event()
        """Set by `close`; whoever waits inside `_next` waits for this by `_is_closed_within`."""
        self._turn = Lock()
        self._is_open = False
        self._was_opened = False
        self._count = 0

    def open(self) -> None:
        """See `Source.open`."""
        with self._turn:
            if not self._is_open:
                self._closing.clear()
                self._count = 0
                self._start()
                self._is_open = self._was_opened = True

    def read(self) -> ItemT_co | None:
        """See `Source.read`."""
        with self._turn:
            if not self._was_opened:
                raise SourceError(f"{self.name}: read before it was opened; use `with source:` or open()")
            if not self._is_open or self._closing.is_set():
                return None
            item = self._next(self._count)
            if item is not None:
                self._count += 1
            return item

    def close(self) -> None:
        """See `Source.close`."""
        self._closing.set()
        with self._turn:
            if self._is_open:
                self._is_open = False
                self._stop()

    def _is_closed_within(self, seconds: float) -> bool:
        """Wait, at most so long. True when it is being closed."""
        return self._clock.is_set_within(self._closing, seconds)

    @abstractmethod
    def _start(self) -> None:
        """Open what it reads from. Raises SourceError."""

    @abstractmethod
    def _next(self, index: int) -> ItemT_co | None:
        """The next one, None at the end or once `_closing` is set."""

    def _stop(self) -> None:
        """Close what it reads from."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"
