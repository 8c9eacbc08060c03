"""Video files, cameras and network streams as sources."""

import logging
import os
import re
import time
from collections.abc import Callable, Sequence

from edgewise.errors import InvalidInput, SourceError
from edgewise.streams.capture import Capture
from edgewise.streams.frame import Frame
from edgewise.streams.opencv import open_video
from edgewise.streams.picamera import open_picamera
from edgewise.streams.source import SourceBase

_log = logging.getLogger("edgewise.streams")

BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Waits before each attempt to reach a network stream again; the last one repeats."""


class VideoSource(SourceBase[Frame]):
    """A video file, a V4L2 device by its number, or a stream by its URL, read by OpenCV (not installed with edgewise).

    A file ends, and never drops frames; devices and URLs are live. A URL that was open once and breaks is opened
    again, for ever, after waits of ``back_off_s``; ``reconnects`` counts. ``close`` waits for a read that has begun:
    of a URL that hangs, five seconds at most. ``opener`` stands in for OpenCV in tests.
    """

    def __init__(
        self,
        what: str | os.PathLike[str] | int,
        *,
        back_off_s: Sequence[float] = BACK_OFF_S,
        opener: Callable[[str | int], Capture] = open_video,
    ) -> None:
        """Opens nothing yet. Raises InvalidInput without a wait in ``back_off_s``."""
        if not back_off_s:
            raise InvalidInput("back_off_s: got none, expected at least one wait in seconds")
        self._what = what if isinstance(what, int) else os.fspath(what)
        super().__init__(_without_password(str(self._what)))
        self._is_url = isinstance(self._what, str) and "://" in self._what
        self.is_live = self._is_url or isinstance(self._what, int)
        self.reconnects = 0
        """How often a broken URL was opened again."""
        self._back_off_s, self._opener = tuple(back_off_s), opener
        self._capture: Capture | None = None

    def _start(self) -> None:
        self.reconnects = 0
        self._capture = self._open()

    def _next(self, index: int) -> Frame | None:
        attempt = 0
        while not self._closing.is_set():
            image = None
            try:
                self._capture = self._capture or self._open()
                image = self._capture.read()
            except SourceError as error:
                if not self._is_url:
                    raise
                _log.warning("%s", _without_password(str(error)))
            if image is not None:
                self.reconnects += attempt > 0
                return Frame(image, index, time.monotonic(), self.name)
            if not self.is_live:
                return None
            if not self._is_url:
                raise SourceError(f"{self.name}: the camera gives no more pictures; is it still connected?")
            self._stop()
            wait_s = self._back_off_s[min(attempt, len(self._back_off_s) - 1)]
            _log.warning("%s: the stream broke; opening it again in %g s", self.name, wait_s)
            attempt += 1
            self._is_closed_within(wait_s)
        return None

    def _open(self) -> Capture:
        """Raises SourceError that does not show a password."""
        try:
            return self._opener(self._what)
        except SourceError as error:
            raise SourceError(_without_password(str(error))) from error.__cause__

    def _stop(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.close()


class PicameraSource(SourceBase[Frame]):
    """A Raspberry Pi camera module, read by picamera2 (not installed with edgewise); live.

    ``size_wh`` is in pixels. ``opener`` stands in for picamera2 in tests.
    """

    is_live = True

    def __init__(
        self,
        number: int = 0,
        *,
        size_wh: tuple[int, int] = (640, 480),
        opener: Callable[[int, tuple[int, int]], Capture] = open_picamera,
    ) -> None:
        super().__init__(f"picamera:{number}")
        self._number, self._size_wh, self._opener = number, size_wh, opener
        self._capture: Capture | None = None

    def _start(self) -> None:
        self._capture = self._opener(self._number, self._size_wh)

    def _next(self, index: int) -> Frame | None:
        image = self._capture.read() if self._capture else None
        if image is None:
            raise SourceError(f"{self.name}: the camera gives no more pictures; is it still connected?")
        return Frame(image, index, time.monotonic(), self.name)

    def _stop(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.close()


def _without_password(text: str) -> str:
    """A URL in a message without what stands between :// and @."""
    return re.sub(r"(://)[^/@\s]+@", r"\1...@", text)
