"""What a runtime is opened with, beside the file and the number of threads."""

from dataclasses import dataclass
from pathlib import Path

from edgewise.delegate import Delegate


@dataclass(frozen=True)
class RuntimeOptions:
    """All that `edgewise.load` can ask of a runtime; what one cannot do it refuses with BackendUnavailable."""

    delegate: Delegate | None = None
    weight_cache: Path | None = None
    """The file in which XNNPACK keeps its packed weights."""
    is_sharing_cores: bool = False
    """Whether other models of this process use the same cores: idle threads then sleep instead of spinning."""


PLAIN = RuntimeOptions()
