"""Frozen dataclasses to JSON and back: strict about types, tolerant about keys of later versions."""

import dataclasses
import json
import math
import types
from functools import lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from edgewise.errors import CardError

Record = TypeVar("Record")
LEFT_OUT_WHEN_NONE = "left out when none"
"""In a field's metadata: without a value there is no key, so that cards which never had one stay as they were."""


def encode(record: Any) -> str:
    """The dataclass as JSON text on one line, keys in the order of its fields."""
    return json.dumps(_plain(record), separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """Dataclasses, however deep, as dictionaries."""
    if dataclasses.is_dataclass(value):
        items = [(field, getattr(value, field.name)) for field in dataclasses.fields(value)]
        return {
            field.name: _plain(item)
            for field, item in items
            if item is not None or not field.metadata.get(LEFT_OUT_WHEN_NONE)
        }
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def decode(kind: type[Record], text: str | bytes, *, what: str) -> Record:
    """JSON text to ``kind``. ``what`` names the document in errors. Raises CardError."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CardError(f"{what}: not JSON: {error}") from error
    record: Record = from_value(kind, value, where=what)
    return record


def from_value(kind: Any, value: Any, *, where: str) -> Any:
    """A parsed JSON value to the type ``kind``; ``where`` is its path for errors. Raises CardError."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        inner = next(part for part in get_args(kind) if part is not types.NoneType)
        return None if value is None else from_value(inner, value, where=where)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    if origin is tuple:
        return _tuple(get_args(kind), value, where)
    if origin is dict:
        item = get_args(kind)[1]
        pairs = _expect(dict, value, where).items()
        return {key: from_value(item, part, where=f"{where}.{key}") for key, part in pairs}
    if kind is float:
        return _float(value, where)
    return _expect(kind, value, where)


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    values = _expect(dict, value, where)
    hints = _hints(kind)
    arguments = {}
    for field in dataclasses.fields(kind):
        if field.name in values:
            arguments[field.name] = from_value(
                hints[field.name], values[field.name], where=f"{where}.{field.name}"
            )
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise CardError(f"{where}: '{field.name}' is missing")
    try:
        return kind(**arguments)
    except CardError as error:
        raise CardError(f"{where}: {error}") from error


@lru_cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _tuple(parts: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    values = _expect(list, value, where)
    if parts[-1] is not Ellipsis:
        if len(values) != len(parts):
            raise CardError(f"{where}: got {len(values)} values, expected {len(parts)}")
        return tuple(
            from_value(part, item, where=f"{where}[{index}]")
            for index, (part, item) in enumerate(zip(parts, values, strict=True))
        )
    return tuple(from_value(parts[0], item, where=f"{where}[{index}]") for index, item in enumerate(values))


def _float(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(where, value, "a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise CardError(f"{where}: got {value!s:.20}, expected a finite number")
    return number


_IN_WORDS = {str: "text", int: "an integer", bool: "true or false", list: "a list", dict: "an object"}


def _expect(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _wrong_type(where, value, _IN_WORDS.get(kind, kind.__name__))
    return value


def _wrong_type(where: str, value: Any, expected: str) -> CardError:
    return CardError(f"{where}: got {value!r:.60}, expected {expected}")
