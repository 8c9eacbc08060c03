"""What a long conversion tells while it works; the command line draws it, a script may ignore it."""

from typing import Protocol


class Progress(Protocol):
    """One stage at a time."""

    def stage(self, what: str, total: int | None = None) -> None:
        """A stage begins, of ``total`` ticks if that is known."""
        ...

    def tick(self) -> None:
        """One step of the stage is done."""
        ...

    def notice(self, text: str) -> None:
        """Something was assumed or decided that the user should know."""
        ...


class Silent:
    """Keeps the notices and draws nothing."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def stage(self, what: str, total: int | None = None) -> None:
        """Ignored."""

    def tick(self) -> None:
        """Ignored."""

    def notice(self, text: str) -> None:
        """Kept."""
        self.notices.append(text)
