"""What is known of a device, in the words of its page. Pure."""

from collections.abc import Mapping

from edgewise_fleet import wording
from edgewise_fleet.store import DeviceRow
from edgewise_messages import Event


def facts(row: DeviceRow) -> tuple[tuple[str, str], ...]:
    """What changes rarely about a device, in the order people read it."""
    meta, model = row.meta, row.meta.model if row.meta else None
    if meta is None:
        return (("Facts", "the device has not sent any yet"),)
    stated = [("Board", meta.board), ("Agent", meta.agent_version)]
    if model is not None:
        stated += [
            ("Model", model.name),
            ("Task", model.task),
            ("Precision", model.precision),
            ("Converted for", model.target),
            ("Runtime", model.backend),
            ("Model digest", model.sha256),
        ]
    stated += [(f"Version of {name}", version) for name, version in sorted(meta.versions.items())]
    stated += [("Settings digest", meta.settings_sha256), ("Boot", meta.boot)]
    privacy = (
        "leave the device (its settings allow it)" if meta.raw_data_leaves_device else "stay on the device"
    )
    return (*((name, value) for name, value in stated if value), ("Raw inputs", privacy))


def vitals(metrics: Mapping[str, float]) -> tuple[tuple[str, str], ...]:
    """The latest figures that are not plotted."""
    get = metrics.get
    uptime = get("agent.uptime_s")
    shown = (
        ("Inferences", wording.number(get("model.inferences"), digits=0)),
        ("Unreadable inputs", wording.number(get("model.errors"), digits=0)),
        ("Agent up for", wording.NOT_TOLD if uptime is None else wording.age(1, int(uptime * 1000) + 1)),
        ("Agent's memory", wording.size(get("agent.memory_bytes"))),
        ("Waiting to be sent", wording.number(get("agent.outbox_records"), digits=0)),
        ("Thinned out", wording.number(get("agent.dropped_records"), digits=0)),
        ("Free memory", wording.size(get("board.memory_available_bytes"))),
        ("Free disk", wording.size(get("board.disk_free_bytes"))),
    )
    return tuple((name, value) for name, value in shown if value != wording.NOT_TOLD)


def prediction_text(event: Event) -> str:
    """What was seen, how surely, in what: the label first, however the device ordered its data."""
    data = dict(event.data)
    first = [str(data.pop(name)) for name in ("label",) if name in data]
    return " · ".join(part for part in (*first, event.message, _pairs(data)) if part) or event.name


def incident_text(event: Event) -> str:
    """What happened, with what the device said about it."""
    return " · ".join(part for part in (event.name, event.message, _pairs(event.data)) if part)


def _pairs(data: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in data.items()
    )
