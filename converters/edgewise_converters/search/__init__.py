"""Looking for the static quantization whose answers come nearest to the original's."""

from edgewise_converters.search.candidates import Candidates, Trial
from edgewise_converters.search.protect import protect
from edgewise_converters.search.static import StaticRequest, search_static

__all__ = ["Candidates", "StaticRequest", "Trial", "protect", "search_static"]
