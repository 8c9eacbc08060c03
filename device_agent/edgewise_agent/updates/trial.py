"""A new model is first run where it may crash: in a child, on zeros and on its golden cases."""

from pathlib import Path
from typing import Protocol

import edgewise
from edgewise.model_file import read_model
from edgewise.probe import probe_model
from edgewise.threads import default_threads
from edgewise_agent.updates.settings import UpdateSettings


class Trial(Protocol):
    """Tries a model file."""

    def try_model(self, path: Path) -> str:
        """What is wrong with it; empty when nothing is."""


class ChildTrial:
    """A Trial in a process of its own, with a limit on its time and its memory."""

    def __init__(self, settings: UpdateSettings) -> None:
        memory_mb = settings.trial_memory_mb
        self._limits = edgewise.ChildLimits(
            seconds=settings.trial_s, memory_bytes=memory_mb * 1024 * 1024 if memory_mb else None
        )
        self._require_golden = settings.require_golden

    def try_model(self, path: Path) -> str:
        """Open it, run it on zeros, let it pass its golden cases."""
        try:
            file = read_model(path)
            if self._require_golden and not (file.card and file.card.golden and file.card.golden.cases):
                return "it carries no golden cases (updates.require_golden)"
            probe_model(file, backend=None, threads=default_threads(), limits=self._limits)
        except edgewise.EdgewiseError as error:
            return str(error).removeprefix(f"{path}: ")
        return ""
