"""The profile that the settings ask for."""

import queue
from collections.abc import Callable
from dataclasses import dataclass

from edgewise_agent.clock import TimeSource
from edgewise_agent.settings.config import Settings
from edgewise_agent.wire.json_profile import JsonProfile
from edgewise_agent.wire.profile import Profile
from edgewise_messages import Channel, DeviceAddress, Format, Meta, Response, SnapshotChunk

HOME_ASSISTANT_FILE = "home-assistant.json"
BD_SEQ_FILE = "sparkplug-bdseq.json"
_EXPIRES_INTERVALS = 3
_EXPIRES_AT_LEAST_S = 15


@dataclass(frozen=True)
class DeviceFacts:
    """What a profile must know of the running agent."""

    boot: str
    clock: TimeSource
    meta: Callable[[], Meta]
    responses: "queue.SimpleQueue[Response | SnapshotChunk]"
    on_command: Callable[[bytes, bool], None]
    models: Callable[[], object] = tuple
    """Equal as long as the models are the same; asked for several times a second."""


def make_profile(settings: Settings, facts: DeviceFacts) -> Profile:
    """By `report.profile`, with the Home Assistant overlay if that is on, or was on before."""
    address = DeviceAddress(settings.device.group, settings.device.id)
    profile = _bare_profile(settings, facts, address)
    remembered = settings.device.state_dir / HOME_ASSISTANT_FILE
    if not settings.home_assistant.enabled and not remembered.exists():
        return profile
    # Memory that an agent without Home Assistant does not need.
    from edgewise_agent.wire.home_assistant import Memory, Overlay, without_overlay
    from edgewise_agent.wire.home_assistant_payload import Place

    memory = Memory(remembered)
    if not settings.home_assistant.enabled:
        return without_overlay(profile, memory)
    place = Place(
        address,
        prefix=settings.home_assistant.prefix,
        expire_after_s=max(round(_EXPIRES_INTERVALS * settings.report.interval_s), _EXPIRES_AT_LEAST_S),
        status_topic=address.topic(Channel.STATUS) if settings.report.profile == "json" else None,
    )
    return Overlay(
        profile,
        place,
        memory,
        boot=facts.boot,
        clock=facts.clock,
        meta=facts.meta,
        pipelines=tuple(settings.pipelines),
    )


def _bare_profile(settings: Settings, facts: DeviceFacts, address: DeviceAddress) -> Profile:
    if settings.report.profile == "sparkplug":
        from edgewise_agent.wire.sparkplug.profile import (
            SparkplugProfile,
        )  # memory that no other profile needs

        return SparkplugProfile(
            address,
            settings.sparkplug,
            boot=facts.boot,
            clock=facts.clock,
            meta=facts.meta,
            bd_seq_file=settings.device.state_dir / BD_SEQ_FILE,
            keepalive_s=settings.broker.keepalive_s,
            pipelines=tuple(settings.pipelines),
            models=facts.models,
        )
    return JsonProfile(
        address,
        boot=facts.boot,
        meta=facts.meta,
        now_ms=facts.clock.now_ms,
        responses=facts.responses,
        on_command=facts.on_command,
        form=Format(settings.report.format),
        models=facts.models,
    )
