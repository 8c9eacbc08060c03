"""The birth/death sequence number: one more with every CONNECT, 255 wraps to 0, kept over restarts.

It ties a death to its birth, so a number must never come twice in a row: it is on disk before it is used.
"""

import json
import logging
from pathlib import Path

from edgewise_agent.wire.durable_file import write_durably

BD_SEQ_MODULUS = 256

log = logging.getLogger("edgewise.agent.broker")


class BdSeq:
    """The counter in one small file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = _read(path)

    def next(self) -> int:
        """For the next CONNECT. A disk that refuses is logged: within this process the numbers go on."""
        self._last = (self._last + 1) % BD_SEQ_MODULUS
        try:
            write_durably(self._path, json.dumps({"bd_seq": self._last}).encode())
        except OSError as error:
            log.warning("%s: %s; after a restart a bdSeq may come again", self._path, error.strerror)
        return self._last


def _read(path: Path) -> int:
    """The number last used; -1 without a file."""
    try:
        found = json.loads(path.read_bytes())["bd_seq"]
        if type(found) is int and 0 <= found < BD_SEQ_MODULUS:
            return found
        raise ValueError(f"bd_seq is {found!r}")
    except FileNotFoundError:
        return -1
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: not readable (%s); bdSeq begins at 0 again", path, error)
        return -1
