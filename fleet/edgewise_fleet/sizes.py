"""Sizes as people type them."""

import re

from edgewise_fleet.errors import BadSize

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_size(text: str) -> int:
    """Bytes of `20GB` and the like. Raises BadSize."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]?B?)\s*", text)
    if match is None or match[2].upper() not in _UNITS:
        raise BadSize(f"size: got {text!r}, expected a number with B, kB, MB, GB or TB, such as 20GB")
    return round(float(match[1]) * _UNITS[match[2].upper()])
