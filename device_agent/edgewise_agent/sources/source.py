"""What the agent asks of anything it watches."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class Source(Protocol):
    """An iterator over inputs: None means nothing right now, its end means nothing ever again."""

    def __iter__(self) -> Iterator[Path | None]:
        """Itself."""

    def __next__(self) -> Path | None:
        """The next input. Raises SourceError when there is nothing to read where the settings point."""
