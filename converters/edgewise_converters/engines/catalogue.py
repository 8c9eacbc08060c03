"""The second converters that are known, and which release of each goes with which Python."""

import difflib
from dataclasses import dataclass

from edgewise_converters.errors import EngineError


@dataclass(frozen=True)
class Release:
    """One released version. It pins every package that it needs."""

    version: str
    pythons: tuple[str, ...]
    """The Python versions that it runs in, the preferred one first."""
    size_mb: int
    """On the disk, with all it needs (docs/engines.md)."""

    def requirement(self, package: str) -> str:
        """For pip."""
        return f"{package}=={self.version}"


@dataclass(frozen=True)
class Engine:
    """One converter."""

    name: str
    package: str
    releases: tuple[Release, ...]
    """The newest first; the first whose Python is on this computer is taken."""


ENGINES = {
    engine.name: engine
    for engine in (
        Engine(
            "onnx2tf",
            "onnx2tf",
            (
                Release("2.6.9", ("3.12", "3.13"), 661),
                Release("1.29.24", ("3.11", "3.12"), 2604),  # the newest for Python 3.11; through TensorFlow
            ),
        ),
    )
}


def engine_named(name: str) -> Engine:
    """The engine of that name. Raises EngineError."""
    if name not in ENGINES:
        near = difflib.get_close_matches(name.lower(), ENGINES, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise EngineError(f"engine: got '{name}', expected one of {', '.join(ENGINES)}{hint}")
    return ENGINES[name]
