"""picamera2: the Raspberry Pi's camera modules."""

from typing import Any

import numpy as np

from edgewise.errors import SourceError
from edgewise.tensors import Array


def open_picamera(number: int, size_wh: tuple[int, int]) -> "PicameraCapture":
    """Start a camera module. Raises SourceError, also when picamera2 is not installed."""
    try:
        from picamera2 import Picamera2
    except ImportError as error:
        raise SourceError(
            "picamera: camera modules are read by picamera2, which is not installed here: apt install "
            "python3-picamera2, and make the environment with --system-site-packages"
        ) from error
    camera = None
    try:
        camera = Picamera2(number)
        # libcamera names the order in a word, so what it calls BGR888 lies in memory as R, G, B.
        camera.configure(camera.create_video_configuration(main={"size": size_wh, "format": "BGR888"}))
        camera.start()
    except (RuntimeError, IndexError, OSError, ValueError) as error:
        if camera is not None:
            camera.close()
        raise SourceError(
            f"picamera: camera {number} does not start: {error}; is it connected, and does another program "
            "use it? rpicam-hello --list-cameras lists them"
        ) from error
    return PicameraCapture(number, camera)


class PicameraCapture:
    """A Capture by Picamera2."""

    def __init__(self, number: int, camera: Any) -> None:
        self._number, self._camera = number, camera

    def read(self) -> Array | None:
        """See `Capture.read`."""
        try:
            return np.ascontiguousarray(self._camera.capture_array("main")[:, :, :3])
        except (RuntimeError, OSError) as error:
            raise SourceError(f"picamera: camera {self._number} gives no picture: {error}") from error

    def close(self) -> None:
        """See `Capture.close`."""
        self._camera.stop()
        self._camera.close()
