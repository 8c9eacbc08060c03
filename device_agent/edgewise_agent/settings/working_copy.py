"""The settings in force: the local file, or the copy of it in the state folder that was changed from afar.

The local file belongs to whoever looks after the device, and often lies where the agent may not write: the unit that
`edgewise agent install` writes has a read-only system. So changes from afar are made to a copy, which counts as long as
the local file is the one that it was made from. Who edits the local file has the last word.
"""

import hashlib
import logging
from contextlib import suppress
from pathlib import Path

from edgewise.atomic_file import write_bytes
from edgewise_agent.settings.config import Settings, load_settings

FOLDER = "settings"
"""Of the state folder."""

log = logging.getLogger("edgewise.agent.settings")


class WorkingCopy:
    """Where both lie. ``state_dir`` is what the local file says."""

    def __init__(self, local: Path, state_dir: Path) -> None:
        self.local = local
        self.file = state_dir / FOLDER / "agent.toml"
        """The copy, whether there is one or not."""
        self._made_from = self.file.with_name("agent.toml.local")

    @property
    def base(self) -> Path:
        """Where relative paths of both start."""
        return self.local.absolute().parent

    def in_force(self) -> Path:
        """The copy where it can be read and was made from the local file as it is now; else the local file."""
        try:
            counts = self.file.is_file() and self._made_from.read_text() == _digest(self.local)
        except (OSError, ValueError):
            return self.local
        return self.file if counts else self.local

    def make(self) -> None:
        """Copy the local file where there is no copy of it as it is now. Raises OSError."""
        if self.in_force() == self.file:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            self.file.unlink()  # before the word that it counts
        write_bytes(self._made_from, [_digest(self.local).encode()])
        write_bytes(self.file, [self.local.read_bytes()])

    @property
    def is_outdated(self) -> bool:
        """Whether there is a copy that does not count: the local file was edited since, or it cannot be read."""
        return self.file.exists() and self.in_force() != self.file

    def drop(self, reason: str) -> None:
        """Keep the copy for whoever looks for it, as ``agent.toml.dropped``, and go back to the local file."""
        self.file.replace(self.file.with_name("agent.toml.dropped"))
        log.warning("settings changed from afar are dropped: %s", reason)


def load_in_force(config: Path) -> Settings:
    """The settings that an agent with this local file runs with. Raises InvalidSettings."""
    settings = load_settings(config)
    copy = WorkingCopy(config, settings.device.state_dir)
    path = copy.in_force()
    return settings if path == config else load_settings(path, base=copy.base)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
