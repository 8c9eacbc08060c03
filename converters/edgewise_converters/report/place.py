"""Whether the page can be written where it is wanted, before the work begins."""

import os
from pathlib import Path

from edgewise_converters.errors import ConversionError


def report_path(path: Path | None) -> Path | None:
    """Where the page will be. Raises ConversionError early for a place that cannot be written to."""
    if path is None:
        return None
    if path.is_dir() or path.suffix not in (".html", ".htm"):
        kind = "a folder" if path.is_dir() else f"a name ending in '{path.suffix}'"
        raise ConversionError(f"--report {path}: got {kind}, expected a file name ending in .html")
    folder = path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        state = "cannot be written to" if folder.is_dir() else "does not exist"
        raise ConversionError(f"--report {path}: the folder {folder} {state}")
    return path
