"""Names of input files in what is told."""

from collections.abc import Iterable
from pathlib import Path

WITHHELD = "(name withheld)"


class Names:
    """What may be told of a file's name."""

    def __init__(self, *, names_leave: bool) -> None:
        self._names_leave = names_leave

    def of(self, path: Path) -> str:
        """A name for an event."""
        return path.name if self._names_leave else WITHHELD

    def without(self, text: str, paths: Iterable[Path]) -> str:
        """A message, such as an error's, without the names and folders of these files."""
        if self._names_leave:
            return text
        for path in paths:
            for spelling in sorted(
                {str(path), str(path.absolute()), path.name, path.stem}, key=len, reverse=True
            ):
                if len(spelling) > 1:
                    text = text.replace(spelling, WITHHELD)
        return text
