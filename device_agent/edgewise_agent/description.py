"""What a device tells about itself at each connection, and after an update."""

import platform
from collections.abc import Mapping

from edgewise.device import board_name
from edgewise.version import VERSION
from edgewise_agent.clock import TimeSource
from edgewise_agent.pipelines.pipeline import MAIN
from edgewise_agent.settings.config import Settings
from edgewise_messages import Meta, ModelInfo


def describe(
    settings: Settings,
    *,
    models: Mapping[str, ModelInfo],
    boot: str,
    clock: TimeSource,
    drift: str,
    power: str = "",
) -> Meta:
    """The retained meta notice.

    ``models`` are by pipeline, without those that are stopped. ``drift`` says whether drift is watched, ``power``
    where watts come from.
    """
    first = models.get(MAIN) or next(iter(models.values()), None)
    return Meta(
        ts_ms=clock.now_ms(),
        boot=boot,
        board=board_name(),
        agent_version=VERSION,
        settings_sha256=settings.sha256,
        raw_data_leaves_device=settings.privacy.raw_leaves,
        model=first,
        models=dict(models) if len(models) > 1 else {},
        drift=drift,
        power=power,
        versions={
            "python": platform.python_version(),
            "kernel": platform.release(),
            "machine": platform.machine(),
        },
    )
