"""Changes a settings file's text without losing its comments: the only place that knows tomlkit."""

from collections.abc import Mapping
from typing import Any

from edgewise_agent.errors import WHOLE_FILE, InvalidSettings, Problem


def changed_text(text: str, changes: Mapping[str, Any], *, file: str) -> str:
    """The text with ``section.key`` set to each value; None takes a key out, so that its default holds.

    A text that begins with ``[`` is read as a TOML list, so that lists can be given. Raises InvalidSettings.
    """
    import tomlkit  # rarely needed, and memory until the end once it is
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
        for name, value in changes.items():
            _change(document, name.split("."), value)
        return tomlkit.dumps(document)
    except (TOMLKitError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise InvalidSettings(file, (Problem(WHOLE_FILE, f"cannot be changed: {error}"),)) from error


def _change(table: Any, path: list[str], value: Any) -> None:
    import tomlkit

    *sections, key = path
    for section in sections:
        if section not in table:
            table[section] = tomlkit.table()
        table = table[section]
    if value is None:
        if key in table:
            del table[key]
    elif isinstance(value, str) and value.startswith("["):
        table[key] = tomlkit.value(value)
    else:
        table[key] = value
