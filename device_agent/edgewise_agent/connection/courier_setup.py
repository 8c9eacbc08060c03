"""The courier by the settings: which brokers, which profile, how soon again."""

import queue
from collections.abc import Callable

from edgewise_agent.agent import Parts
from edgewise_agent.connection.backoff import Backoff, phase
from edgewise_agent.connection.connector import Connector
from edgewise_agent.connection.courier import Courier
from edgewise_agent.connection.known_time import KnownTime
from edgewise_agent.connection.tls_files import certificate_files
from edgewise_agent.description import describe
from edgewise_agent.pipelines.assembly import client_id
from edgewise_agent.service.heartbeat import Beat
from edgewise_agent.settings.config import Settings
from edgewise_agent.wire.make_profile import DeviceFacts, make_profile
from edgewise_messages import Response, SnapshotChunk


def make_courier(
    settings: Settings,
    parts: Parts,
    *,
    responses: "queue.SimpleQueue[Response | SnapshotChunk]",
    on_command: Callable[[bytes, bool], None],
    on_connection: Callable[[bool, str], None],
    drift_in_words: Callable[[], str],
    power: str,
    beat: Beat,
) -> Courier:
    """Not started yet."""
    boot, clock, name = parts.recorder.boot, parts.clock, client_id(settings)
    known_time = KnownTime(clock, folder=settings.device.state_dir, files=certificate_files(settings.broker))
    facts = DeviceFacts(
        boot=boot,
        clock=clock,
        meta=lambda: describe(
            settings,
            models={one.name: one.slot.info() for one in parts.pipelines},
            boot=boot,
            clock=clock,
            drift=drift_in_words(),
            power=power,
        ),
        responses=responses,
        on_command=on_command,
        models=lambda: [one.slot.info() for one in parts.pipelines],
    )
    backoff = Backoff(
        f"{name} {boot}",
        longest_s=settings.broker.reconnect_max_s,
        spread_s=settings.broker.reconnect_spread_s,
        place=phase(name, 1.0),
    )
    connector = Connector(settings.broker, client_id=name, time=known_time)
    profile = make_profile(settings, facts)
    return Courier(parts.outbox, connector, profile, backoff, on_connection=on_connection, beat=beat)
