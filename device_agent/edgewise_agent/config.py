"""The settings file: TOML into one frozen object; whatever is wrong with it is said in one go."""

import difflib
import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, Struct

from edgewise_agent.broker_url import BrokerUrl
from edgewise_agent.errors import WHOLE_FILE, InvalidSettings, Problem
from edgewise_agent.log_settings import LogSettings
from edgewise_agent.status import settings as status_settings
from edgewise_agent.status.settings import StatusSettings
from edgewise_agent.vitals import power_settings
from edgewise_agent.vitals.power_settings import PowerSettings
from edgewise_messages import InvalidTopic
from edgewise_messages.topics import check_id

Seconds = Annotated[float, Meta(ge=0.0, le=86_400.0)]


class Id(str):
    """One level of a topic."""

    __slots__ = ()


class DeviceSettings(Struct, frozen=True, kw_only=True):
    """[device]: who this is and where it keeps its state."""

    id: Id
    state_dir: Path
    group: Id = Id("default")


class ModelSettings(Struct, frozen=True, kw_only=True):
    """[model]: what it runs."""

    path: Path


class SourceSettings(Struct, frozen=True, kw_only=True):
    """[source]: what it looks at."""

    path: tuple[Path, ...]
    kind: Literal["images"] = "images"
    interval_s: Seconds = 1.0
    loop: bool = True
    recursive: bool = False


class BrokerSettings(Struct, frozen=True, kw_only=True):
    """[broker]: whom it tells."""

    url: BrokerUrl
    username: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 30
    reconnect_max_s: Annotated[float, Meta(ge=1.0, le=3600.0)] = 60.0


class ReportSettings(Struct, frozen=True, kw_only=True):
    """[report]: what it tells and how often."""

    interval_s: Annotated[float, Meta(ge=0.1, le=86_400.0)] = 10.0
    events: Literal["none", "all"] = "none"


class OutboxSettings(Struct, frozen=True, kw_only=True):
    """[outbox]: what it keeps until the broker has it."""

    max_mb: Annotated[int, Meta(ge=1, le=65_536)] = 64
    commit_interval_s: Annotated[float, Meta(ge=0.0, le=60.0)] = 1.0


class DriftSettings(Struct, frozen=True, kw_only=True):
    """[drift]: what it compares with the baseline in the model's card."""

    enabled: bool = True
    false_alarm_inputs: Annotated[int, Meta(ge=1_000, le=1_000_000_000)] = 10_000
    every_s: Seconds = 0.0


class Settings(Struct, frozen=True, kw_only=True):
    """Everything the agent can be told."""

    device: DeviceSettings
    model: ModelSettings
    source: SourceSettings
    broker: BrokerSettings
    report: ReportSettings = ReportSettings()
    outbox: OutboxSettings = OutboxSettings()
    drift: DriftSettings = DriftSettings()
    status: StatusSettings = StatusSettings()
    logs: LogSettings = LogSettings()
    power: PowerSettings = PowerSettings()
    sha256: str = ""
    """Of the settings file; not a key in it."""


SECTIONS: dict[str, type[Struct]] = {
    "device": DeviceSettings,
    "model": ModelSettings,
    "source": SourceSettings,
    "broker": BrokerSettings,
    "report": ReportSettings,
    "outbox": OutboxSettings,
    "drift": DriftSettings,
    "status": StatusSettings,
    "logs": LogSettings,
    "power": PowerSettings,
}


def load_settings(path: Path) -> Settings:
    """Read and check the settings file; relative paths start at its folder.

    Raises InvalidSettings with every problem found.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        hint = f"no such file; `edgewise agent init --out {path}` writes one to fill in"
        raise InvalidSettings(str(path), (Problem(WHOLE_FILE, hint),)) from error
    except OSError as error:
        raise InvalidSettings(str(path), (Problem(WHOLE_FILE, _reason(error)),)) from error
    settings, problems = parse_settings(data, base=path.absolute().parent)
    if settings is None:
        raise InvalidSettings(str(path), problems)
    return settings


def parse_settings(data: bytes, *, base: Path) -> tuple[Settings | None, tuple[Problem, ...]]:
    """The settings in ``data``, or None and every problem. Touches no file."""
    try:
        document = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return None, (Problem(WHOLE_FILE, f"not TOML: {error}"),)
    problems = [
        Problem(name, f"unknown {_kind(value)}{_nearest(name, SECTIONS)}")
        for name, value in document.items()
        if name not in SECTIONS
    ]
    sections: dict[str, Any] = {}
    for name, kind in SECTIONS.items():
        section, wrong = _read_section(name, kind, document.get(name, {}), base)
        problems += wrong
        if section is not None:
            sections[name] = section
    problems += _contradictions(sections)
    if "status" in sections:
        problems += status_settings.contradictions(sections["status"])
    if "power" in sections:
        problems += power_settings.contradictions(sections["power"])
    if problems:
        return None, tuple(problems)
    digest = hashlib.sha256(data).hexdigest()
    return msgspec.structs.replace(_assemble(sections), sha256=digest), ()


def _assemble(sections: dict[str, Any]) -> Settings:
    return Settings(**sections)


def _read_section(
    section: str, kind: type[Struct], table: object, base: Path
) -> tuple[Struct | None, list[Problem]]:
    if not isinstance(table, dict):
        return None, [Problem(section, f"got {table!r}, expected a section [{section}]")]
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    problems = [
        Problem(f"{section}.{key}", f"unknown key{_nearest(key, fields)}")
        for key in table
        if key not in fields
    ]
    values: dict[str, object] = {}
    for name, field in fields.items():
        if name in table:
            try:
                values[name] = _convert(table[name], field.type, base)
            except ValueError as error:
                problems.append(Problem(f"{section}.{name}", f"got {table[name]!r}, {error}"))
        elif field.required:
            problems.append(Problem(f"{section}.{name}", "missing, and it has no default"))
    return (None, problems) if problems else (kind(**values), [])


def _convert(value: object, kind: Any, base: Path) -> object:
    """Raises ValueError (msgspec's is one) saying what was expected."""
    options = [option for option in get_args(kind) if isinstance(option, str)]
    if options:
        if value in options:
            return value
        raise ValueError(f"expected {_alternatives(options)}{_nearest(str(value), options)}")
    if kind == tuple[Path, ...]:
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not listed or not all(isinstance(item, str) for item in listed):
            raise ValueError("expected a path or a list of paths")
        return tuple(_to_path(item, base) for item in listed)
    if kind in (Path, Path | None, Id, BrokerUrl):
        return _convert_text(value, kind, base)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(_in_words(kind, str(error))) from error


def _convert_text(value: object, kind: Any, base: Path) -> object:
    if not isinstance(value, str) or not value:
        raise ValueError("expected a text that is not empty")
    if kind is BrokerUrl:
        return BrokerUrl(value)
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
    limits = {"ge": "at least", "le": "at most"}
    base = get_args(kind)[0] if get_args(kind) else kind
    noun = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(base)
    if noun is None:
        return message
    metas = [meta for meta in get_args(kind)[1:] if isinstance(meta, Meta)]
    found = [
        f"{word} {getattr(meta, key):g}"
        for meta in metas
        for key, word in limits.items()
        if getattr(meta, key) not in (None, UNSET)
    ]
    return f"expected {noun}" + (f" of {' and '.join(found)}" if found else "")


def _contradictions(sections: dict[str, Any]) -> list[Problem]:
    broker: BrokerSettings | None = sections.get("broker")
    if broker is None:
        return []
    problems = []
    if broker.ca_file is not None and not broker.url.is_tls:
        problems.append(Problem("broker.ca_file", f"is of no use with {broker.url}; use an mqtts:// url"))
    if broker.password_file is not None and not broker.username:
        problems.append(Problem("broker.password_file", "is of no use without broker.username"))
    return problems


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def _alternatives(options: list[str]) -> str:
    return " or ".join(repr(option) for option in options)


def _kind(value: object) -> str:
    return "section" if isinstance(value, dict) else "key"


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
