"""Always the newest frame: reading in a thread of its own, dropping what nobody had time for."""

import logging
from threading import Condition, Thread

from edgewise.errors import SourceError
from edgewise.streams.clock import SLICE_S
from edgewise.streams.source import ItemT_co, Iterated, Source

_log = logging.getLogger("edgewise.streams")


class Live(Iterated[ItemT_co]):
    """A source read by a thread of its own that keeps only the newest frame, so that a slow reader never lags.

    What is replaced before anybody read it is counted in ``dropped``, and logged when it is closed. It opens and
    closes the source it was given. What goes wrong in the thread is raised in the reader, behind the last frame.
    """

    is_live = True

    def __init__(self, source: Source[ItemT_co]) -> None:
        self.name = source.name
        self.dropped = 0
        """Frames since it was opened that nobody read."""
        self._source = source
        self._change = Condition()
        self._newest: ItemT_co | None = None
        self._error: Exception | None = None
        self._is_done = False
        self._was_opened = False
        self._thread: Thread | None = None

    def open(self) -> None:
        """Open the source and begin to read it. Raises SourceError."""
        if self._thread is not None:
            return
        self._source.open()
        self.dropped, self._newest, self._error, self._is_done = 0, None, None, False
        self._was_opened = True
        self._thread = Thread(target=self._keep_newest, name=f"edgewise live {self.name}", daemon=True)
        self._thread.start()

    def read(self) -> ItemT_co | None:
        """Wait for a frame that is newer than the last one; None at the end. Raises what the source raises."""
        with self._change:
            if not self._was_opened:
                raise SourceError(f"{self.name}: read before it was opened; use `with live:` or open()")
            while self._newest is None and not self._is_done:
                self._change.wait(SLICE_S)
            item, self._newest = self._newest, None
            if item is not None:
                return item
            error, self._error = self._error, None
            if error is not None:
                raise error
            return None

    def close(self) -> None:
        """Close the source and wait for the thread to end. Closing twice does nothing."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        with self._change:
            self._newest, self._is_done = None, True
            self._change.notify_all()
        self._source.close()
        thread.join()
        self._newest = self._error = None
        if self.dropped:
            _log.info("%s: %d frames dropped: the reader was slower than the source", self.name, self.dropped)

    def _keep_newest(self) -> None:
        """What the thread does."""
        try:
            while (item := self._source.read()) is not None:
                with self._change:
                    if self._is_done:
                        return
                    self.dropped += self._newest is not None
                    self._newest = item
                    self._change.notify_all()
        except Exception as error:  # whatever it is, the reader is told
            self._error = error
        finally:
            with self._change:
                self._is_done = True
                self._change.notify_all()

    def __repr__(self) -> str:
        return f"<Live {self.name}: {self.dropped} dropped>"
