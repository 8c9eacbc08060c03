"""The settings file: TOML into one frozen object; whatever is wrong with it is said in one go."""

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from edgewise_agent.commands.settings import CommandSettings
from edgewise_agent.connection.broker_url import BrokerUrl
from edgewise_agent.errors import WHOLE_FILE, InvalidSettings, Problem
from edgewise_agent.logs.settings import LogSettings
from edgewise_agent.offload.settings import OffloadSettings, offload_problems
from edgewise_agent.pipelines.settings import DutySettings, PipelineSettings
from edgewise_agent.privacy.destinations import privacy_problems
from edgewise_agent.privacy.settings import PrivacySettings
from edgewise_agent.protection.settings import ProtectionSettings
from edgewise_agent.rules.checking import rule_problems
from edgewise_agent.settings.reader import Id, read_table
from edgewise_agent.snapshots.settings import SnapshotSettings
from edgewise_agent.status import settings as status_settings
from edgewise_agent.status.settings import StatusSettings
from edgewise_agent.updates.settings import UpdateSettings
from edgewise_agent.vitals import power_settings
from edgewise_agent.vitals.power_settings import PowerSettings
from edgewise_agent.wire.settings import HomeAssistantSettings, SparkplugSettings


class DeviceSettings(Struct, frozen=True, kw_only=True):
    """[device]: who this is and where it keeps its state."""

    id: Id
    state_dir: Path
    group: Id = Id("default")


class BrokerSettings(Struct, frozen=True, kw_only=True):
    """[broker]: whom it tells."""

    url: tuple[BrokerUrl, ...]
    username: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    """For mutual TLS: this device's certificate, with the intermediate ones after it."""
    key_file: Path | None = None
    """The key of ``cert_file``, without a passphrase."""
    protocol: Literal["auto", "3.1.1", "5"] = "auto"
    probe_every_s: Annotated[float, Meta(ge=10.0, le=86_400.0)] = 600.0
    """With several brokers: how often the round trip to each is measured."""
    reconnect_spread_s: Annotated[float, Meta(ge=1.0, le=3600.0)] = 10.0
    """A fleet that lost its broker comes back over this time, each device in a place of its own."""
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
    commit_interval_max_s: Annotated[float, Meta(ge=0.0, le=300.0)] = 10.0
    """What the interval is stretched to while more is written than the budget allows."""
    write_budget_mb_per_day: Annotated[int, Meta(ge=0, le=1_000_000)] = 1000
    """0 means none."""
    replay_records_per_s: Annotated[float, Meta(ge=0.0, le=100_000.0)] = 500.0
    """Pace of what waited on disk, behind new records; 0 means as fast as the broker takes it."""


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
    snapshots: SnapshotSettings = SnapshotSettings()
    privacy: PrivacySettings = PrivacySettings()
    offload: OffloadSettings = OffloadSettings()
    status: StatusSettings = StatusSettings()
    logs: LogSettings = LogSettings()
    power: PowerSettings = PowerSettings()
    protection: ProtectionSettings = ProtectionSettings()
    sha256: str = ""
    """Of the settings file; not a key in it."""


MAX_FILE_BYTES = 1024 * 1024
"""A model or a disk image named by mistake must not fill a small board's memory before it is refused."""


def load_settings(path: Path, *, base: Path | None = None) -> Settings:
    """Read and check the settings file; relative paths start at ``base``, or at its folder.

    Raises InvalidSettings with every problem found.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        hint = f"no such file; `edgewise agent init --out {path}` writes one to fill in"
        raise InvalidSettings(str(path), (Problem(WHOLE_FILE, hint),)) from error
    except OSError as error:
        raise InvalidSettings(str(path), (Problem(WHOLE_FILE, _reason(error)),)) from error
    if len(data) > MAX_FILE_BYTES:
        hint = f"more than {MAX_FILE_BYTES // 1024} KiB, which no settings file takes; name the agent's TOML file"
        raise InvalidSettings(str(path), (Problem(WHOLE_FILE, hint),))
    settings, problems = parse_settings(data, base=base or path.absolute().parent)
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
    problems += status_settings.contradictions(settings.status)
    problems += power_settings.contradictions(settings.power)
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
    if len(set(broker.url)) < len(broker.url):
        problems.append(Problem("broker.url", "expected each url once"))
    is_tls = any(url.is_tls for url in broker.url)
    problems += [
        Problem(f"broker.{name}", f"is of no use with {broker.url[0]}; use an mqtts:// url")
        for name in ("ca_file", "cert_file", "key_file")
        if getattr(broker, name) is not None and not is_tls
    ]
    if (broker.cert_file is None) != (broker.key_file is None):
        missing = "cert_file" if broker.cert_file is None else "key_file"
        problems.append(Problem(f"broker.{missing}", "missing: a certificate and its key go together"))
    if settings.updates.repository and settings.updates.root_file is None:
        hint = "missing: updates.repository is of no use without the repository's first root.json"
        problems.append(Problem("updates.root_file", hint))
    if broker.password_file is not None and not broker.username:
        problems.append(Problem("broker.password_file", "is of no use without broker.username"))
    problems += privacy_problems(settings.privacy, broker_urls=broker.url)
    problems += offload_problems(settings.offload)
    for name, pipeline in settings.pipelines.items():
        problems += rule_problems(pipeline.rules, where=f"pipelines.{name}")
    return problems


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
