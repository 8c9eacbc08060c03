"""What Home Assistant documents of device discovery, as types that refuse any other key.

Sources: home-assistant.io, integrations "MQTT" (device discovery payload, supported shared options, availability,
removing) and "MQTT Sensor" (configuration variables); developers.home-assistant.io, "Sensor entity" (device
classes with their units, state classes); the required keys as in the integration's own schemas.py.
"""

import re
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Topic = Annotated[str, Meta(pattern=r"^[^+#\x00]+\Z")]
Text = Annotated[str, Meta(min_length=1)]
UNITS = {
    "duration": {"d", "h", "min", "s", "ms", "μs"},
    "data_size": {"bit", "kbit", "Mbit", "Gbit", "B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"},
    "temperature": {"°C", "°F", "K"},
    "power": {"mW", "W", "kW", "MW", "GW", "TW"},
    "voltage": {"μV", "mV", "V", "kV", "MV"},
    "current": {"A", "mA"},
    "energy": {"J", "kJ", "MJ", "GJ", "mWh", "Wh", "kWh", "MWh", "GWh", "TWh", "cal", "kcal", "Mcal", "Gcal"},
}
STATE_CLASSES = {"energy": {"total", "total_increasing"}}
DISCOVERY_TOPIC = re.compile(r"(?P<prefix>.+)/device/[a-zA-Z0-9_-]+/config")


class Device(Struct, forbid_unknown_fields=True):
    identifiers: Annotated[list[Text], Meta(min_length=1)]
    name: Text | UnsetType = UNSET
    manufacturer: Text | UnsetType = UNSET
    model: Text | UnsetType = UNSET
    model_id: Text | UnsetType = UNSET
    hw_version: Text | UnsetType = UNSET
    sw_version: Text | UnsetType = UNSET
    serial_number: Text | UnsetType = UNSET
    suggested_area: Text | UnsetType = UNSET
    configuration_url: Text | UnsetType = UNSET
    via_device: Text | UnsetType = UNSET


class Origin(Struct, forbid_unknown_fields=True):
    name: Text
    sw_version: Text | UnsetType = UNSET
    support_url: Text | UnsetType = UNSET


class Availability(Struct, forbid_unknown_fields=True):
    topic: Topic
    payload_available: Text = "online"
    payload_not_available: Text = "offline"
    value_template: Text | UnsetType = UNSET


class Sensor(Struct, forbid_unknown_fields=True):
    platform: Literal["sensor"]
    unique_id: Text | UnsetType = UNSET
    name: Text | UnsetType | None = UNSET
    value_template: Text | UnsetType = UNSET
    device_class: Text | UnsetType = UNSET
    state_class: Literal["measurement", "total", "total_increasing"] | UnsetType = UNSET
    unit_of_measurement: Text | UnsetType = UNSET
    entity_category: Literal["diagnostic"] | UnsetType = UNSET
    expire_after: Annotated[int, Meta(gt=0)] | UnsetType = UNSET
    suggested_display_precision: int | UnsetType = UNSET
    icon: Text | UnsetType = UNSET
    enabled_by_default: bool | UnsetType = UNSET
    force_update: bool | UnsetType = UNSET

    @property
    def is_removal(self) -> bool:
        return self == Sensor(platform="sensor")


class Discovery(Struct, forbid_unknown_fields=True):
    device: Device
    origin: Origin
    components: dict[Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]+\Z")], Sensor]
    state_topic: Topic
    availability: list[Availability] | UnsetType = UNSET
    availability_mode: Literal["all", "any", "latest"] | UnsetType = UNSET
    qos: Literal[0, 1, 2] | UnsetType = UNSET
    encoding: Text | UnsetType = UNSET


def check_discovery(payload: Discovery) -> None:
    """What types cannot say: unit and class fit, ids are unique, and a component has what an entity needs."""
    live = {name: one for name, one in payload.components.items() if not one.is_removal}
    ids = [one.unique_id for one in live.values()]
    assert UNSET not in ids
    assert len(set(ids)) == len(ids)
    for name, one in live.items():
        if one.device_class is not UNSET:
            assert one.unit_of_measurement in UNITS[str(one.device_class)], name
            allowed = STATE_CLASSES.get(str(one.device_class), {"measurement", UNSET, "total_increasing"})
            assert one.state_class in allowed, name
