"""Log lines on stderr: one line each, and not the same one all day."""

import logging
import sys
import time

AGAIN_AFTER_S = 30.0


class RateLimit(logging.Filter):
    """Lets a warning or error pass once per AGAIN_AFTER_S and says how many of its kind it held back."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}
        self._held: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Records of one kind share their logger and the text before its values are filled in."""
        if record.levelno < logging.WARNING:
            return True
        kind = (record.name, str(record.msg))
        now = time.monotonic()
        if now - self._last.get(kind, -AGAIN_AFTER_S) < AGAIN_AFTER_S:
            self._held[kind] = self._held.get(kind, 0) + 1
            return False
        self._last[kind] = now
        held = self._held.pop(kind, 0)
        if held:
            record.msg, record.args = f"{record.getMessage()} ({held} more like this)", None
        return True


class OneLine(logging.Formatter):
    """Time in UTC, level, part of the agent, text; a line break inside the text is shown as ``\\n``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(part)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """UTC, whatever the board's time zone is."""
        return time.strftime(datefmt or "%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))

    def format(self, record: logging.LogRecord) -> str:
        """The finished line."""
        record.part = record.name.rpartition(".")[2]
        text = super().format(record)
        return text if record.exc_info else text.replace("\r", "\\r").replace("\n", "\\n")


def log_to_stderr(*, verbose: bool) -> None:
    """Send the agent's log to stderr. Called by the command, never on import."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    handler.addFilter(RateLimit())
    logger = logging.getLogger("edgewise.agent")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
