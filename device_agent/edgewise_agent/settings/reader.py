"""Tables of a TOML file into frozen Structs: every problem at once, each with its place and the nearest known name."""

from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, Struct

from edgewise_agent.connection.broker_url import BrokerUrl
from edgewise_agent.errors import Problem
from edgewise_agent.pipelines.source_words import SourceWord
from edgewise_messages import InvalidTopic
from edgewise_messages.topics import check_id


class Id(str):
    """One level of a topic."""

    __slots__ = ()


def read_table(
    kind: type[Struct], table: object, *, where: str, base: Path
) -> tuple[Struct | None, list[Problem]]:
    """The Struct that ``table`` describes, or None and what is wrong with it. ``where`` is "" for the whole file."""
    if not isinstance(table, dict):
        return None, [Problem(where, f"got {table!r}, expected a section [{where}]")]
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    problems = [
        Problem(_place(where, key), f"unknown {_noun(value, where)}{nearest(key, fields)}")
        for key, value in table.items()
        if key not in fields
    ]
    values: dict[str, object] = {}
    for name, field in fields.items():
        place = _place(where, name)
        nested = _nested(field.type)
        if nested is not None and (name in table or field.required):
            value, wrong = nested(table.get(name, {}), place, base)
            problems += wrong
            values[field.name] = value
        elif name in table:
            try:
                values[field.name] = _convert(table[name], field.type, base)
            except ValueError as error:
                problems.append(Problem(place, f"got {table[name]!r}, {error}"))
        elif field.required:
            problems.append(Problem(place, "missing, and it has no default"))
    if problems:
        return None, problems
    try:
        return kind(**values), []
    except ValueError as error:  # what a section's own __post_init__ says
        return None, [Problem(where, str(error))]


_Nested = Callable[[object, str, Path], tuple[object, list[Problem]]]


def _nested(kind: Any) -> _Nested | None:
    """How a field that is a section of its own is read; None for a plain value."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return lambda table, place, base: read_table(kind, table, where=place, base=base)
    if get_origin(kind) is dict:
        inner = get_args(kind)[1]
        return lambda table, place, base: _read_named(inner, table, place, base)
    return None


def _read_named(
    kind: type[Struct], table: object, place: str, base: Path
) -> tuple[dict[str, Struct], list[Problem]]:
    """Sections with names of the user's own, such as [pipelines.door]."""
    if not isinstance(table, dict):
        return {}, [Problem(place, f"got {table!r}, expected sections [{place}.NAME]")]
    read: dict[str, Struct] = {}
    problems: list[Problem] = []
    for name, inner in table.items():
        try:
            check_id(name, "name")
        except InvalidTopic as error:
            problems.append(Problem(f"{place}.{name}", str(error)))
            continue
        struct, wrong = read_table(kind, inner, where=f"{place}.{name}", base=base)
        problems += wrong
        if struct is not None:
            read[name] = struct
    return read, problems


def _convert(value: object, kind: Any, base: Path) -> object:
    """Raises ValueError (msgspec's is one) saying what was expected."""
    options = [option for option in get_args(kind) if isinstance(option, str)]
    if options:
        if value in options:
            return value
        raise ValueError(f"expected {_alternatives(options)}{nearest(str(value), options)}")
    if get_origin(kind) is tuple:
        return _convert_list(value, get_args(kind)[0], base)
    if kind in (Path, Path | None, Id, BrokerUrl, SourceWord):
        return _convert_text(value, kind, base)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(_in_words(kind, str(error))) from error


def _convert_list(value: object, kind: Any, base: Path) -> tuple[object, ...]:
    """One text stands for a list of one."""
    noun = {Path: "path", SourceWord: "source", BrokerUrl: "url"}.get(kind, "text")
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed or not all(isinstance(item, str) for item in listed):
        raise ValueError(f"expected a {noun} or a list of {noun}s")
    return tuple(item if kind is str else _convert_text(item, kind, base) for item in listed)


def _convert_text(value: object, kind: Any, base: Path) -> object:
    if not isinstance(value, str) or not value:
        raise ValueError("expected a text that is not empty")
    if kind is BrokerUrl:
        return BrokerUrl(value)
    if kind is SourceWord:
        return SourceWord.of(value, base)
    if kind is not Id:
        return _to_path(value, base)
    try:
        return Id(check_id(value, "id"))
    except InvalidTopic as error:
        raise ValueError(str(error).split(", ", 1)[1]) from error


def _to_path(text: str, base: Path) -> Path:
    return base / Path(text).expanduser()


def _in_words(kind: Any, message: str) -> str:
    """The kind and the limits of a field as people say them."""
    limits = {"ge": "at least", "le": "at most", "gt": "more than"}
    metas = [meta for meta in get_args(kind)[1:] if isinstance(meta, Meta)]
    told = next((meta.description for meta in metas if meta.description), None)
    if told is not None:
        return f"expected {told}"
    base = get_args(kind)[0] if get_args(kind) else kind
    if isinstance(base, UnionType) or isinstance(kind, UnionType):
        return message
    noun = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(base)
    if noun is None:
        return message
    found = [
        f"{word} {getattr(meta, key):g}"
        for meta in metas
        for key, word in limits.items()
        if getattr(meta, key) not in (None, UNSET)
    ]
    return f"expected {noun}" + (f" of {' and '.join(found)}" if found else "")


def nearest(name: str, known: Any) -> str:
    """ "; did you mean 'x'?", or what there is."""
    import difflib  # a device whose settings are right needs none of it

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def _alternatives(options: list[str]) -> str:
    return " or ".join(repr(option) for option in options)


def _place(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _noun(value: object, where: str) -> str:
    return "section" if isinstance(value, dict) and not where else "key"
