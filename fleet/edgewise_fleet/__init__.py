"""Hears every device over MQTT, remembers it in one file and shows it: page, terminal, Prometheus."""

from edgewise_fleet.errors import (
    BrokerFailed,
    BrokerRefused,
    FleetError,
    FleetUnreachable,
    InvalidBrokerUrl,
    PortTaken,
    StoreUnusable,
)

__all__ = [
    "BrokerFailed",
    "BrokerRefused",
    "FleetError",
    "FleetUnreachable",
    "InvalidBrokerUrl",
    "PortTaken",
    "StoreUnusable",
]
