"""The seam to libraries that read cameras and videos."""

from typing import Protocol

from edgewise.tensors import Array


class Capture(Protocol):
    """An open camera, video file or network stream. Whoever opened it closes it."""

    def read(self) -> Array | None:
        """The next picture, uint8 (height, width, 3) in RGB order; None when there is none. Raises SourceError."""

    def close(self) -> None:
        """Give it back."""
