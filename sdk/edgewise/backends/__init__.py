"""The runtimes that can run a model, behind one Protocol."""

from edgewise.backends.base import Backend
from edgewise.backends.selection import available, open_backend, try_backends

__all__ = ["Backend", "available", "open_backend", "try_backends"]
