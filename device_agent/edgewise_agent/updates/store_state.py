"""What the model store remembers of one pipeline: one small file, which is whole before or after each change."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

REJECTED_LIMIT = 64
"""Digests remembered as rejected, the latest of them."""

Count = Annotated[int, Meta(ge=0)]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Place(StrEnum):
    """Where a model's file lies: in one of the two slots, or where the settings say."""

    A = "a"
    B = "b"
    FACTORY = "factory"


class Stage(StrEnum):
    """How far a candidate has come."""

    FETCHED = "fetched"
    VERIFIED = "verified"
    PROBED = "probed"
    """Also its golden cases: a child ran both."""
    SHADOWED = "shadowed"


class SlotModel(Struct, frozen=True, kw_only=True):
    """A model file in a slot."""

    file: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}\Z")]
    sha256: Digest
    target: str = ""
    """Its name in the update repository."""
    version: Count = 0


class Candidate(Struct, frozen=True, kw_only=True):
    """The model being tried, in the slot that is not in use."""

    place: Place
    model: SlotModel
    stage: Stage = Stage.FETCHED
    attempts: Count = 0
    """How often the agent ended while it was tried."""
    trying: str = ""
    """What is being done with it right now; at a start, what was when the agent ended."""
    boot: str = ""
    """The machine's boot in which that was."""


class Watch(Struct, frozen=True, kw_only=True):
    """A model that was switched to and is not confirmed yet."""

    is_running: bool = False
    """Whether the agent runs it now; at a start, whether the agent ended without stopping in order."""
    boot: str = ""
    cuts: Count = 0
    """How often the machine went down during the watch."""
    error_rate: float = 0.0
    """Of the model before: errors per input."""
    p95_ms: float | None = None
    """Of the model before."""
    drift_moved: Count = 0
    """Statistics that had moved under the model before."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What the fleet asked for by command; it holds until it asks for something else."""

    target: str
    sha256: str = ""
    again: bool = False
    older: bool = False
    number: Count = 0


class StoreState(Struct, frozen=True, kw_only=True):
    """Everything about one pipeline's models."""

    current: Place = Place.FACTORY
    previous: Place | None = None
    """What to go back to; the factory model when None."""
    slots: dict[Place, SlotModel] = {}
    candidate: Candidate | None = None
    watch: Watch | None = None
    wanted: Wanted | None = None
    rejected: dict[str, str] = {}
    """Digest to reason, oldest first."""
    newest_version: dict[str, Count] = {}
    """Of each target, the highest version that was confirmed here."""
    factory: str = ""
    """The model that the settings named when this was switched to."""
    said: str = ""
    """Why the current model is the current one, in words."""
    schema: Annotated[int, Meta(ge=1, le=1)] = 1

    def model(self, place: Place | None) -> SlotModel | None:
        """The model in a slot."""
        return None if place is None else self.slots.get(place)

    @property
    def spare(self) -> Place:
        """The slot that a new model goes to."""
        return Place.B if self.current is Place.A else Place.A

    def with_rejected(self, sha256: str, reason: str) -> "StoreState":
        """Remember a digest as rejected; the oldest ones are forgotten."""
        kept = {digest: why for digest, why in self.rejected.items() if digest != sha256}
        kept[sha256] = reason
        return msgspec.structs.replace(self, rejected=dict(list(kept.items())[-REJECTED_LIMIT:]))


def encode_state(state: StoreState) -> bytes:
    """As JSON."""
    return msgspec.json.encode(state)


def decode_state(data: bytes) -> StoreState:
    """Raises ValueError for anything that `encode_state` did not write."""
    return msgspec.json.decode(data, type=StoreState)
