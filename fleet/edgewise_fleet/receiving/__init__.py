"""MQTT read in large pieces: the collector's way in, where a general client would be the slowest part."""

from edgewise_fleet.receiving.receiver import RECEIVE_MAXIMUM, Receiver

__all__ = ["RECEIVE_MAXIMUM", "Receiver"]
