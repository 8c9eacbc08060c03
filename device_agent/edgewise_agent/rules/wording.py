"""Messages with variables in braces. Not `str.format`: that reaches into whatever it is given."""

import re
from collections.abc import Mapping
from typing import Any

from edgewise_agent.errors import InvalidExpression

_PLACE = re.compile(r"\{([^{}]*)\}")
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::\.(\d)f)?")


def check_message(template: str, known: Mapping[str, str]) -> None:
    """``known`` are the kinds of variables by name. Raises InvalidExpression."""
    for found in _PLACE.finditer(template):
        inside = _INSIDE.fullmatch(found[1])
        if not inside or inside[1] not in known:
            raise InvalidExpression(
                f"got {found[0]!r}, expected {{name}} or {{name:.2f}} with a name of {', '.join(known)}",
                column=found.start() + 1,
            )
        if inside[2] and known[inside[1]] != "number":
            raise InvalidExpression(f"{found[0]!r}: {inside[1]} is no number", column=found.start() + 1)


def fill_message(template: str, values: Mapping[str, Any]) -> str:
    """The message about one input."""
    return _PLACE.sub(lambda found: _filled(found, values), template)


def _filled(found: re.Match[str], values: Mapping[str, Any]) -> str:
    inside = _INSIDE.fullmatch(found[1])
    if not inside or inside[1] not in values:
        return found[0]
    value = values[inside[1]]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | int):
        return f"{value:.{inside[2]}f}" if inside[2] else f"{value:g}"
    return str(value)
