"""The settings file: TOML into one frozen object; whatever is wrong with it is said in one go."""

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from edgewise_agent.broker_url import BrokerUrl
from edgewise_agent.commands_settings import CommandSettings
from edgewise_agent.errors import WHOLE_FILE, InvalidSettings, Problem
from edgewise_agent.pipelines.settings import DutySettings, PipelineSettings
from edgewise_agent.settings_reader import Id, read_table
from edgewise_agent.updates.settings import UpdateSettings
from edgewise_agent.wire.settings import HomeAssistantSettings, SparkplugSettings


class DeviceSettings(Struct, frozen=True, kw_only=True):
    """[device]: who this is and where it keeps its state."""

    id: Id
    state_dir: Path
    group: Id = Id("default")


class BrokerSettings(Struct, frozen=True, kw_only=True):
    """[broker]: whom it tells."""

    url: BrokerUrl
    username: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 30
    reconnect_max_s: Annotated[float, Meta(ge=1.0, le=3600.0)] = 60.0


class ReportSettings(Struct, frozen=True, kw_only=True):
    """[report]: how and how often it tells."""

    interval_s: Annotated[float, Meta(ge=0.1, le=86_400.0)] = 10.0
    profile: Literal["json", "sparkplug"] = "json"
    format: Literal["json", "msgpack", "compact"] = "json"


class OutboxSettings(Struct, frozen=True, kw_only=True):
    """[outbox]: what it keeps until the broker has it."""

    max_mb: Annotated[int, Meta(ge=1, le=65_536)] = 64
    commit_interval_s: Annotated[float, Meta(ge=0.0, le=60.0)] = 1.0


class Settings(Struct, frozen=True, kw_only=True):
    """Everything the agent can be told, a section each."""

    device: DeviceSettings
    pipelines: dict[str, PipelineSettings]
    broker: BrokerSettings
    report: ReportSettings = ReportSettings()
    outbox: OutboxSettings = OutboxSettings()
    duty: DutySettings = DutySettings()
    commands: CommandSettings = CommandSettings()
    updates: UpdateSettings = UpdateSettings()
    sparkplug: SparkplugSettings = SparkplugSettings()
    home_assistant: HomeAssistantSettings = HomeAssistantSettings()
    sha256: str = ""
    """Of the settings file; not a key in it."""


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
    if "sha256" in document:
        return None, (Problem("sha256", "unknown key"),)
    settings, problems = read_table(Settings, document, where="", base=base)
    if not isinstance(settings, Settings):
        return None, tuple(problems)
    problems = _contradictions(settings)
    if problems:
        return None, tuple(problems)
    return msgspec.structs.replace(settings, sha256=hashlib.sha256(data).hexdigest()), ()


def _contradictions(settings: Settings) -> list[Problem]:
    broker = settings.broker
    problems = []
    if not settings.pipelines:
        problems.append(Problem("pipelines", "expected at least one section [pipelines.NAME]"))
    if settings.report.profile == "sparkplug" and settings.report.format != "json":
        problems.append(
            Problem("report.format", 'is of no use with report.profile = "sparkplug"; leave it out')
        )
    if broker.ca_file is not None and not broker.url.is_tls:
        problems.append(Problem("broker.ca_file", f"is of no use with {broker.url}; use an mqtts:// url"))
    if settings.updates.repository and settings.updates.root_file is None:
        hint = "missing: updates.repository is of no use without the repository's first root.json"
        problems.append(Problem("updates.root_file", hint))
    if broker.password_file is not None and not broker.username:
        problems.append(Problem("broker.password_file", "is of no use without broker.username"))
    return problems


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
