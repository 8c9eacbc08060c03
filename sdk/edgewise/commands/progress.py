"""One line on a terminal's standard error that says what is going on; nothing where nobody watches."""

import sys
from types import TracebackType
from typing import Self

_WIDTH = 78


class ProgressLine:
    """A context manager that wipes its line when it ends, however it ends."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()

    def __call__(self, text: str, share: float) -> None:
        """Show what is going on and which share of it is done, 0 to 1."""
        self._write(f"{share:4.0%} {text}")

    def _write(self, text: str) -> None:
        if self._is_shown:
            sys.stderr.write(f"\r{text[:_WIDTH]:<{_WIDTH}}\r")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write("")
