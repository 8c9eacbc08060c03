"""OpenCV: video files, V4L2 devices, network streams."""

from typing import Any

import numpy as np

from edgewise.errors import SourceError
from edgewise.tensors import Array

TIMEOUT_MS = 5000
"""How long opening or reading a network stream may take before it counts as broken."""


def open_video(what: str | int) -> "OpencvCapture":
    """Open a file, a device number or a URL. Raises SourceError, also when OpenCV is not installed."""
    try:
        import cv2
    except ImportError as error:
        raise SourceError(
            f"{what}: videos and cameras are read by OpenCV, which is not installed here: "
            "pip install opencv-python-headless, or apt install python3-opencv"
        ) from error
    try:
        if isinstance(what, int):
            capture = cv2.VideoCapture(what)
        elif "://" in what:
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS]
            capture = cv2.VideoCapture(what, cv2.CAP_FFMPEG, limits)
        else:
            capture = cv2.VideoCapture(what)
        is_open = capture.isOpened()
    except cv2.error as error:
        raise SourceError(f"{what}: OpenCV cannot open it: {' '.join(str(error).split())}") from error
    if not is_open:
        capture.release()
        raise SourceError(f"{what}: OpenCV cannot open it; {_advice(what)}")
    return OpencvCapture(what, capture, cv2.error)


def _advice(what: str | int) -> str:
    if isinstance(what, int):
        return "v4l2-ctl --list-devices lists the cameras; for a camera module use 'picamera:'"
    if "://" in what:
        return "check the address, the password and that the camera is on"
    return "expected a video, such as .mp4"


class OpencvCapture:
    """A Capture by cv2.VideoCapture."""

    def __init__(self, what: str | int, capture: Any, its_error: type[Exception]) -> None:
        self._what, self._capture, self._its_error = what, capture, its_error

    def read(self) -> Array | None:
        """See `Capture.read`."""
        try:
            is_there, image_bgr = self._capture.read()
        except self._its_error as error:
            raise SourceError(
                f"{self._what}: OpenCV cannot read on: {' '.join(str(error).split())}"
            ) from error
        return np.ascontiguousarray(image_bgr[:, :, ::-1]) if is_there else None

    def close(self) -> None:
        """See `Capture.close`."""
        self._capture.release()
