"""A second converter, in an environment and a process of its own, for operators that have no lowering yet.

`catalogue.py` says which there are, `installation.py` puts them on the disk, `limited_process.py` runs them within
limits, `onnx2tf.py` drives one, `second_way.py` makes a graph of what it wrote. docs/engines.md says why apart.
"""

from edgewise_converters.engines.catalogue import ENGINES, Engine, Release
from edgewise_converters.engines.installation import Installed, install, installed, remove

__all__ = ["ENGINES", "Engine", "Installed", "Release", "install", "installed", "remove"]
