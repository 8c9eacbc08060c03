"""Whether the primary host application is there: its retained STATE message (specification, chapter 5)."""

import json
import logging

log = logging.getLogger("edgewise.agent.broker")


class PrimaryHost:
    """What one connection has heard of the host; without a host to wait for it counts as online."""

    def __init__(self, host_id: str) -> None:
        self.host_id = host_id
        self.is_online = not host_id
        self.has_left = False
        """True once it was online and then said offline."""
        self._online_since_ms = -1

    @property
    def topics(self) -> tuple[str, ...]:
        """What to subscribe to."""
        return (state_topic(self.host_id),) if self.host_id else ()

    def hear(self, payload: bytes) -> None:
        """One STATE message. An older one than the last online is of an old session of the host, and ignored."""
        state = parse_state(payload)
        if state is None:
            log.warning("STATE of %s cannot be read: %r", self.host_id, payload[:100])
            return
        online, timestamp_ms = state
        if timestamp_ms < self._online_since_ms:
            return
        if online:
            self._online_since_ms = timestamp_ms
            self.is_online = True
        elif self.is_online:
            self.is_online = False
            self.has_left = True


def state_topic(host_id: str) -> str:
    """Where a host says whether it is online."""
    return f"spBv1.0/STATE/{host_id}"


def parse_state(payload: bytes) -> tuple[bool, int] | None:
    """(online, timestamp in ms), or None."""
    try:
        state = json.loads(payload)
        online, timestamp_ms = state["online"], state["timestamp"]
    except (ValueError, KeyError, TypeError):
        return None
    if type(online) is not bool or type(timestamp_ms) is not int:
        return None
    return online, timestamp_ms
