"""Where devices are, by the geo: URI in their location (RFC 5870): "Berlin, door 3 geo:52.52,13.405". Pure."""

import re
from typing import NamedTuple

from edgewise_fleet.errors import BadEntry

_GEO = re.compile(r"(?:^|(?<=\s))geo:(\S*)", re.IGNORECASE)
_NUMBER = r"(-?\d{1,3}(?:\.\d{1,15})?)"
_POINT = re.compile(rf"{_NUMBER},{_NUMBER}(?:,-?\d+(?:\.\d+)?)?(?:;\S*)?")
"""Latitude, longitude, an altitude and parameters, which are not used."""


class Position(NamedTuple):
    """Degrees, WGS 84."""

    latitude: float
    longitude: float


def position_in(location: str) -> Position | None:
    """The point that a location names, or None. Raises BadEntry for a geo: that is none."""
    found = _GEO.search(location)
    if found is None:
        return None
    point = _POINT.fullmatch(found[1])
    if point is None or abs(float(point[1])) > 90 or abs(float(point[2])) > 180:
        raise BadEntry(
            f"location: got {found[0][:50]!r}, expected geo:LATITUDE,LONGITUDE in degrees, such as geo:52.52,13.405"
        )
    return Position(float(point[1]), float(point[2]))
