"""What was seen of an edge node, in order: the facts that the rules are judged on.

Two views make one: a subscriber at the broker sees publishes only; the tap between node and broker
(tap.py) sees every packet.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

from edgewise_agent.errors import MalformedPayload
from edgewise_agent.wire.message import Message
from edgewise_agent.wire.sparkplug.payload import Payload, decode_payload

NAMESPACE = "spBv1.0"
NODE_KINDS = ("NBIRTH", "NDATA", "NDEATH")
DEVICE_KINDS = ("DBIRTH", "DDATA", "DDEATH")
BIRTHS = ("NBIRTH", "DBIRTH")
DATA = ("NDATA", "DDATA")
DEATH = "NDEATH"


@dataclass(frozen=True)
class Connected:
    """The node's CONNECT."""

    clean: bool
    will: Message | None


@dataclass(frozen=True)
class Subscribed:
    """The node's SUBSCRIBE, one for each filter."""

    topic: str
    qos: int


@dataclass(frozen=True)
class Published:
    """A publish of the node, or to it (NCMD, STATE).

    ``at_s`` is the checker's monotonic clock. Behind a broker QoS and retained flag are not the sender's: None then.
    """

    topic: str
    payload: bytes
    at_s: float
    received_ms: int
    qos: int | None = None
    retain: bool | None = None

    @property
    def levels(self) -> tuple[str, ...]:
        """Of the topic."""
        return tuple(self.topic.split("/"))

    @property
    def kind(self) -> str:
        """NBIRTH, DDATA, NCMD ...; empty outside of Sparkplug's topics."""
        return self.levels[2] if len(self.levels) > 3 and self.levels[0] == NAMESPACE else ""

    @property
    def device(self) -> str:
        """Empty for the node itself."""
        return self.levels[4] if len(self.levels) > 4 else ""


@dataclass(frozen=True)
class Disconnected:
    """The end of a connection; deliberate with a DISCONNECT packet."""

    deliberate: bool


Seen: TypeAlias = Connected | Subscribed | Published | Disconnected


@dataclass(frozen=True)
class Said:
    """A decoded publish of the node."""

    publish: Published
    payload: Payload

    @property
    def kind(self) -> str:
        """Of its topic."""
        return self.publish.kind


@dataclass
class Life:
    """From one CONNECT to the next; where no CONNECT is seen, from one death to the next."""

    connect: Connected | None = None
    seen: list[Seen] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    """What the node said, in order, without what cannot be decoded."""

    def of(self, *kinds: str) -> list[Said]:
        """Its messages of these kinds."""
        return [said for said in self.said if said.kind in kinds]


@dataclass
class Trace:
    """Everything seen of one node."""

    group: str
    node: str
    host: str = ""
    lives: list[Life] = field(default_factory=list)
    undecodable: list[str] = field(default_factory=list)

    @property
    def is_tapped(self) -> bool:
        """True when packets were seen, and not only publishes."""
        return any(life.connect is not None for life in self.lives)


def read_trace(seen: list[Seen], *, group: str, node: str, host: str = "") -> Trace:
    """Sort what was seen into lives."""
    trace = Trace(group, node, host)
    tapped = any(isinstance(one, Connected) for one in seen)
    life = Life()
    for one in seen:
        if isinstance(one, Connected):
            life = Life(one)
            trace.lives.append(life)
        elif not trace.lives:
            trace.lives.append(life)
        life.seen.append(one)
        if isinstance(one, Published):
            _hear(trace, life, one)
            if not tapped and one.kind == DEATH and _is_own(trace, one):
                life = Life()
                trace.lives.append(life)
    trace.lives = [life for life in trace.lives if life.seen]
    return trace


def _hear(trace: Trace, life: Life, publish: Published) -> None:
    if publish.kind not in (*NODE_KINDS, *DEVICE_KINDS) or not _is_own(trace, publish):
        return
    try:
        life.said.append(Said(publish, decode_payload(publish.payload)))
    except MalformedPayload as error:
        trace.undecodable.append(f"{publish.topic}: {error}")


def _is_own(trace: Trace, publish: Published) -> bool:
    return publish.levels[1:2] == (trace.group,) and publish.levels[3:4] == (trace.node,)
