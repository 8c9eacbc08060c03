"""Credentials of devices, and a broker's configuration in which each reaches its own topics only."""
