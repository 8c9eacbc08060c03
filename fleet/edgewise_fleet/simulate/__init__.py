"""Devices that are none: real MQTT connections, invented measurements, and a faithful stand-in for updates."""
