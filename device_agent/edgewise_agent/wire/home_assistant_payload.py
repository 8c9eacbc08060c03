"""What Home Assistant is told of a device: the device-based discovery payload of its MQTT integration.

Keys and rules from home-assistant.io, "MQTT", section "Discovery payload" (device discovery), "MQTT Sensor", and
for classes and units the developers' page "Sensor entity".
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from edgewise_messages import Channel, DeviceAddress, Meta
from edgewise_messages.metrics import BY_NAME, Kind, Metric

DEVICE_CLASSES = {
    "ms": "duration",
    "s": "duration",
    "B": "data_size",
    "°C": "temperature",
    "W": "power",
    "V": "voltage",
    "A": "current",
    "J": "energy",
    "Wh": "energy",
}
"""By unit; only where Home Assistant lists the unit for the class."""
_WITHOUT_UNIT = ("1", "bitmask")
_DIAGNOSTIC = ("board.", "agent.")
PLATFORM = "sensor"


@dataclass(frozen=True)
class Place:
    """Where this device stands in Home Assistant."""

    address: DeviceAddress
    prefix: str
    expire_after_s: int
    """A value older than this is shown as unavailable."""
    status_topic: str | None
    """The retained JSON status; None where the profile has none, and values only expire."""

    @property
    def object_id(self) -> str:
        """With a digest, as `a_b` of group `c` and `b_c` of group `a` must not share a topic."""
        whole = f"{self.address.group}/{self.address.device}"
        return f"edgewise-{self.address.device}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"

    @property
    def config_topic(self) -> str:
        """Of the retained discovery payload."""
        return f"{self.prefix}/device/{self.object_id}/config"

    @property
    def state_topic(self) -> str:
        """Of the latest values."""
        return self.address.topic(Channel.STATE)

    @property
    def birth_topic(self) -> str:
        """Where Home Assistant says that it is online."""
        return f"{self.prefix}/status"


def discovery_payload(
    place: Place, meta: Meta, metrics: Iterable[str], *, removed: Iterable[str] = ()
) -> bytes:
    """The retained payload. A removed component is sent with its platform only, which deletes it."""
    components: dict[str, dict[str, object]] = {
        component_id(name): {"platform": PLATFORM} for name in removed
    }
    components |= {component_id(name): _component(place, name) for name in metrics}
    payload: dict[str, object] = {
        "device": _device(place, meta),
        "origin": {"name": "edgewise", "sw_version": meta.agent_version or "unknown"},
        "components": components,
        "state_topic": place.state_topic,
        "qos": 1,
    }
    if place.status_topic is not None:
        template = "{{ 'online' if value_json.state == 'online' else 'offline' }}"
        payload["availability"] = [
            {
                "topic": place.status_topic,
                "value_template": template,
                "payload_available": "online",
                "payload_not_available": "offline",
            }
        ]
    return json.dumps(payload, ensure_ascii=False).encode()


def component_id(metric: str) -> str:
    """Of the characters that Home Assistant takes; with a digest where that made the name shorter."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", metric)
    return plain if metric in BY_NAME else f"{plain[:80]}-{hashlib.sha256(metric.encode()).hexdigest()[:8]}"


def standard_metric(name: str) -> Metric | None:
    """The standard metric of that name, or of that name in a pipeline."""
    return BY_NAME.get(name.rpartition("/")[2])


def _device(place: Place, meta: Meta) -> dict[str, object]:
    device: dict[str, object] = {"identifiers": [place.object_id], "name": place.address.device}
    if meta.board:
        device["model"] = meta.board
    if meta.agent_version:
        device["sw_version"] = meta.agent_version
    return device


def _component(place: Place, name: str) -> dict[str, object]:
    component: dict[str, object] = {
        "platform": PLATFORM,
        "unique_id": f"{place.object_id}-{component_id(name)}",
        "name": name,
        # A metric that is missing gives None, which Home Assistant shows as unknown.
        "value_template": "{{ value_json.get(" + json.dumps(name) + ") }}",
        "expire_after": place.expire_after_s,
    }
    metric = standard_metric(name)
    if metric is None:
        return component
    if metric.unit not in _WITHOUT_UNIT:
        component["unit_of_measurement"] = metric.unit
    if metric.unit in DEVICE_CLASSES:
        component["device_class"] = DEVICE_CLASSES[metric.unit]
    if metric.kind is Kind.COUNTER:
        component["state_class"] = "total_increasing"
    elif metric.unit != "bitmask" and component.get("device_class") != "energy":
        component["state_class"] = "measurement"
    if metric.name.startswith(_DIAGNOSTIC):
        component["entity_category"] = "diagnostic"
    return component
