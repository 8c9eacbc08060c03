"""Which signal the process before died of: the C handler of faulthandler writes it down while that happens.

Nothing is written before. A process that was killed (kill -9, or by the kernel for want of memory) leaves no note.
"""

import faulthandler
import logging
import os
from pathlib import Path

FILE_NAME = "crash.txt"
_LIMIT_BYTES = 1 << 16
_BEGINNING = "Fatal Python error: "

log = logging.getLogger("edgewise.agent.protection")


class CrashNote:
    """Of the whole process."""

    def __init__(self, folder: Path) -> None:
        """Reads what the process before left, and begins anew. A disk that refuses leaves the note out."""
        self.signal = ""
        """Such as "Segmentation fault"; empty when it died of none."""
        self._descriptor = -1
        try:
            self._descriptor = os.open(folder / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            text = os.pread(self._descriptor, _LIMIT_BYTES, 0).decode(errors="replace")
            if text:
                os.ftruncate(self._descriptor, 0)
        except OSError as error:
            log.warning("%s: no note of crashes: %s", folder / FILE_NAME, error.strerror or error)
            return
        if text.startswith(_BEGINNING):
            self.signal = text.splitlines()[0].removeprefix(_BEGINNING).strip()
            log.error("the process before died: %s", text.rstrip())
        faulthandler.enable(file=self._descriptor, all_threads=False)

    def close(self) -> None:
        """No note from here on."""
        if self._descriptor >= 0:
            faulthandler.disable()
            os.close(self._descriptor)
            self._descriptor = -1
