"""Home Assistant discovery laid over a wire profile: the device appears there, and goes when it is told to.

Home Assistant cannot read the profile's own records: one publish carries many of them, after an outage they are old,
and they may be MessagePack or Sparkplug. So the latest values go to a topic of their own, `.../state`, not retained.
Not every record has every metric, and one that is missing Home Assistant shows as unknown at once: so each message
there has the latest value of each metric that has not expired.
What was ever announced is kept in the state folder, so that it is removed when it is no longer wanted.
"""

import json
import logging
import math
import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from edgewise_agent.clock import TimeSource
from edgewise_agent.outbox.batches import Batch
from edgewise_agent.wire.durable_file import write_durably
from edgewise_agent.wire.home_assistant_payload import Place, discovery_payload, standard_metric
from edgewise_agent.wire.message import AT_MOST_ONCE, Message
from edgewise_agent.wire.profile import Opening, Profile, Session, Turn
from edgewise_agent.wire.readable import readable_records
from edgewise_messages import Channel, Meta, Telemetry
from edgewise_messages.records import Value

RESEND_WITHIN_S = 10.0
"""After Home Assistant came online all devices send again, each within this time."""
REPEAT_AFTER_S = 10.0
"""An announcement with new metrics is sent once more. Home Assistant (2025.4.4, `async_discovery_message_received` in
components/mqtt/discovery.py) leaves out the rest of a payload at the first component that it still works on, so an
announcement soon after another is heard in part; one that says nothing new is ignored."""

log = logging.getLogger("edgewise.agent.home_assistant")


@dataclass(frozen=True)
class Announced:
    """One retained discovery payload that the broker may hold, and the metrics in it."""

    topic: str
    metrics: tuple[str, ...]


class Memory:
    """What was announced, in one small file; written before the announcement, so that none is forgotten."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.announced = _read(path)

    def remember(self, announced: tuple[Announced, ...]) -> None:
        """A disk that refuses is logged: at the worst something stays in Home Assistant after it was removed."""
        if announced == self.announced:
            return
        self.announced = announced
        try:
            if not announced:
                self._path.unlink(missing_ok=True)
                return
            entries = [{"topic": one.topic, "metrics": list(one.metrics)} for one in announced]
            write_durably(self._path, json.dumps(entries, ensure_ascii=False).encode())
        except OSError as error:
            log.warning("%s: %s", self._path, error.strerror)

    def forget(self, topic: str) -> None:
        """The broker has removed it."""
        self.remember(tuple(one for one in self.announced if one.topic != topic))


class Overlay:
    """A profile that is the given one, and tells Home Assistant besides."""

    def __init__(
        self,
        profile: Profile,
        place: Place,
        memory: Memory,
        *,
        boot: str,
        clock: TimeSource,
        meta: Callable[[], Meta],
        pipelines: Collection[str] | None = None,
        resend_within_s: float = RESEND_WITHIN_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """``pipelines``: those there are; metrics of others are removed. None keeps all that were announced."""
        self.place = place
        self.memory = memory
        self.meta = meta
        self.resend_within_s = resend_within_s
        self.monotonic_s = monotonic_s
        self._boot = boot
        self._clock = clock
        self._pipelines = pipelines
        self._shown_mono_ns = 0
        self._shown: dict[str, tuple[int, Value]] = {}
        """The latest value of each metric, and when it was taken (monotonic, ns)."""
        remembered = self._remembered()
        self.metrics = tuple(name for name in remembered if self._is_wanted(name))
        self.removed = tuple(name for name in remembered if not self._is_wanted(name))
        self._profile = profile

    @property
    def unsure_for_s(self) -> float:
        """As the profile has it."""
        return self._profile.unsure_for_s

    def begin(self) -> Session:
        """For the next connection."""
        return _OverlaySession(self._profile.begin(), self)

    def learn(self, names: list[str]) -> bool:
        """True when there are metrics among them that are to be shown and were not announced yet."""
        new = [name for name in names if name not in self.metrics and self._is_wanted(name)]
        self.metrics = (*self.metrics, *new)
        self.removed = tuple(name for name in self.removed if name not in new)
        return bool(new)

    def announcement(self) -> Message:
        """The discovery payload; remembered first."""
        topic = self.place.config_topic
        others = tuple(one for one in self.memory.announced if one.topic != topic)
        self.memory.remember((*others, Announced(topic, (*self.metrics, *self.removed))))
        payload = discovery_payload(self.place, self.meta(), self.metrics, removed=self.removed)
        return Message(topic, payload, retain=True, on_delivered=self._removal_done(self.removed))

    def take_leftovers(self) -> tuple[Message, ...]:
        """Removes what was announced under another prefix, group or id."""
        others = [one.topic for one in self.memory.announced if one.topic != self.place.config_topic]
        return tuple(_removal(topic, self.memory) for topic in others)

    def _removal_done(self, removed: tuple[str, ...]) -> Callable[[], None]:
        def forget() -> None:
            self.removed = tuple(name for name in self.removed if name not in removed)

        return forget

    def show(self, record: Telemetry) -> bool:
        """Its values are the latest now. Not (False) those that waited in the outbox: they must not pass for new."""
        is_old = self._is_expired(record.mono_ns) or record.mono_ns < self._shown_mono_ns
        if record.boot != self._boot or is_old:
            return False
        self._shown_mono_ns = record.mono_ns
        self._shown |= {name: (record.mono_ns, value) for name, value in record.metrics.items()}
        return True

    def shown(self) -> dict[str, Value]:
        """The latest value of each metric, without those that have expired."""
        self._shown = {name: one for name, one in self._shown.items() if not self._is_expired(one[0])}
        return {name: value for name, (_, value) in self._shown.items()}

    def _is_expired(self, mono_ns: int) -> bool:
        return self._clock.mono_ns() - mono_ns > self.place.expire_after_s * 1_000_000_000

    def _is_wanted(self, name: str) -> bool:
        """Standard metrics only: those have units and meanings, and a fixed number."""
        pipeline, slash, _ = name.rpartition("/")
        has_pipeline = not slash or self._pipelines is None or pipeline in self._pipelines
        return has_pipeline and standard_metric(name) is not None

    def _remembered(self) -> tuple[str, ...]:
        found = (one.metrics for one in self.memory.announced if one.topic == self.place.config_topic)
        return next(found, ())


class _OverlaySession:
    """The profile's session, with Home Assistant's messages added."""

    def __init__(self, session: Session, overlay: Overlay) -> None:
        self._session = session
        self._overlay = overlay
        self._sent_removals: tuple[str, ...] = ()
        self._leftovers_sent = False
        self._announce_at_s = overlay.monotonic_s() if overlay.metrics or overlay.removed else math.inf
        self._repeat_at_s = math.inf

    @property
    def opening(self) -> Opening:
        """The profile's, and Home Assistant's status."""
        inner = self._session.opening
        return Opening(inner.will, (*inner.subscriptions, self._overlay.place.birth_topic))

    def due(self) -> Turn:
        """The profile's messages, then an announcement when it is time for one."""
        turn = self._session.due()
        messages = turn.messages
        if not self._leftovers_sent:
            self._leftovers_sent = True
            messages = (*messages, *self._overlay.take_leftovers())
        if self._sent_removals and not set(self._sent_removals) & set(self._overlay.removed):
            # The components are gone; the payload that stays with the broker need not name them.
            self._sent_removals, self._announce_at_s = (), self._overlay.monotonic_s()
        if self._is_time_to_announce():
            self._sent_removals = self._overlay.removed
            messages = (*messages, self._overlay.announcement())
        return Turn(messages, turn.takes_records, turn.leaves_because)

    def _is_time_to_announce(self) -> bool:
        """True once for a time that has come."""
        now_s, times_s = self._overlay.monotonic_s(), (self._announce_at_s, self._repeat_at_s)
        self._announce_at_s, self._repeat_at_s = (math.inf if at_s <= now_s else at_s for at_s in times_s)
        return min(times_s) <= now_s

    def records(self, batch: Batch) -> tuple[Message, ...]:
        """The profile's publishes, and the latest values if there are newer ones than what was shown."""
        messages = self._session.records(batch)
        if batch.channel != Channel.TELEMETRY:
            return messages
        is_news = False
        for record in readable_records(batch.bodies):
            is_news |= isinstance(record, Telemetry) and self._overlay.show(record)
        if not is_news:
            return messages
        values = self._overlay.shown()
        if self._overlay.learn(list(values)):
            self._announce_at_s = self._overlay.monotonic_s()
            self._repeat_at_s = self._announce_at_s + REPEAT_AFTER_S
        payload = json.dumps(values, ensure_ascii=False).encode()
        return (*messages, Message(self._overlay.place.state_topic, payload, qos=AT_MOST_ONCE))

    def heard(self, message: Message) -> None:
        """Home Assistant came online: send the discovery again after a random time, not with all the others."""
        if message.topic != self._overlay.place.birth_topic:
            self._session.heard(message)
        elif message.payload == b"online" and not message.retain:
            wait_s = random.uniform(0.0, self._overlay.resend_within_s)
            self._announce_at_s = self._overlay.monotonic_s() + wait_s

    def farewell(self, reason: str, *, returns: bool) -> tuple[Message, ...]:
        """The profile's; discovery stays, as the device comes back."""
        return self._session.farewell(reason, returns=returns)


class _Cleaning:
    """A profile that is the given one, and removes what an overlay announced that is switched off now."""

    def __init__(self, profile: Profile, memory: Memory) -> None:
        self._profile = profile
        self._memory = memory

    @property
    def unsure_for_s(self) -> float:
        """As the profile has it."""
        return self._profile.unsure_for_s

    def begin(self) -> Session:
        """For the next connection."""
        return _CleaningSession(self._profile.begin(), self._memory)


class _CleaningSession:
    def __init__(self, session: Session, memory: Memory) -> None:
        self._session = session
        self._removals = tuple(_removal(one.topic, memory) for one in memory.announced)
        self.records = session.records
        self.heard = session.heard
        self.farewell = session.farewell

    @property
    def opening(self) -> Opening:
        return self._session.opening

    def due(self) -> Turn:
        turn = self._session.due()
        removals, self._removals = self._removals, ()
        return Turn((*turn.messages, *removals), turn.takes_records, turn.leaves_because)


def without_overlay(profile: Profile, memory: Memory) -> Profile:
    """The profile itself, unless something announced earlier is to be removed."""
    return _Cleaning(profile, memory) if memory.announced else profile


def _removal(topic: str, memory: Memory) -> Message:
    return Message(topic, b"", retain=True, on_delivered=lambda: memory.forget(topic))


def _read(path: Path) -> tuple[Announced, ...]:
    try:
        entries = json.loads(path.read_bytes())
        return tuple(Announced(str(one["topic"]), tuple(map(str, one["metrics"]))) for one in entries)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: not readable (%s); what it remembered is not removed", path, error)
        return ()
