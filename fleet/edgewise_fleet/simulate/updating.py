"""How a stand-in takes commands about its model: as the agent does (docs/agent/updates.md), with invented models.

What a model is like stands in its file's name: ``slow``, ``wrong``, ``crash`` or ``drift`` in it; any other is good.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from edgewise_messages import Severity

FACTORY = "models/factory.tflite"
FACTORY_SHA256 = hashlib.sha256(b"the factory model of simulated devices").hexdigest()
REMEMBERED = 64


class Nature(StrEnum):
    """What a model is like."""

    GOOD = "good"
    SLOW = "slow"
    WRONG = "wrong"
    CRASH = "crash"
    DRIFT = "drift"


def nature_of(target: str) -> Nature:
    """By the file's name."""
    name = PurePosixPath(target).name
    return next((nature for nature in Nature if nature is not Nature.GOOD and nature in name), Nature.GOOD)


@dataclass(frozen=True)
class SimModel:
    """A model that a stand-in runs or tries."""

    target: str
    sha256: str

    @property
    def nature(self) -> Nature:
        """What it is like."""
        return nature_of(self.target)


@dataclass(frozen=True)
class Told:
    """An event to send."""

    name: str
    message: str
    severity: Severity = Severity.INFO
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Habits:
    """How the stand-ins' agents are set up."""

    fetch_s: float = 3.0
    watch_s: float = 30.0
    restart_s: float = 5.0
    judges: bool = True
    """Off: as with updates.shadow_inputs = 0 and wide limits; golden cases are asked all the same."""


class Updating:
    """One stand-in's model. Survives kills, as the files of an agent do."""

    __slots__ = (
        "_at_s",
        "_candidate",
        "_habits",
        "current",
        "is_watched",
        "must_crash",
        "previous",
        "rejected",
    )

    def __init__(self, habits: Habits) -> None:
        self._habits = habits
        self.current = SimModel(FACTORY, FACTORY_SHA256)
        self.previous: SimModel | None = None
        self.rejected: dict[str, str] = {}
        self.is_watched = False
        self.must_crash = False
        self._candidate: SimModel | None = None
        self._at_s = 0.0

    @property
    def slowdown(self) -> float:
        """Of the running model."""
        return 3.0 if self.current.nature is Nature.SLOW else 1.0

    @property
    def extra_drift(self) -> int:
        """Statistics that drift because of the running model."""
        return 6 if self.current.nature is Nature.DRIFT else 0

    def want(self, target: str, sha256: str, *, again: bool, now_s: float) -> tuple[bool, str]:
        """A set-model: whether it was taken, and what is said."""
        if not target:
            self._candidate = None
            return True, "follows nothing again"
        if not sha256:
            return False, "stand-ins have no repository: name the sha256"
        if not target.endswith((".tflite", ".onnx")):
            return False, f"target {target!r}: expected a name that ends in .tflite or .onnx"
        self._candidate = None
        if again:
            self.rejected.pop(sha256, None)
        if sha256 != self.current.sha256:
            self._candidate, self._at_s = SimModel(target, sha256), now_s + self._habits.fetch_s
        return True, f"{target} is fetched and tried; events tell how that goes"

    def roll_back(self) -> tuple[bool, str, list[Told]]:
        """A rollback command."""
        if self.current.sha256 == FACTORY_SHA256:
            return False, "the factory model runs; there is none before it", []
        events = [self._take_back("asked for by the fleet")]
        return True, f"runs {self.current.target}", events

    def step(self, now_s: float) -> list[Told]:
        """What happened since the last look."""
        if self._candidate is not None and now_s >= self._at_s:
            return self._try(self._candidate, now_s)
        if self.is_watched and now_s >= self._at_s:
            return self._end_watch()
        return []

    def died(self) -> list[Told]:
        """The agent comes back after a kill or a crash: a model that was watched is blamed."""
        self.must_crash = False
        if not self.is_watched:
            return []
        bad = self.current
        self._take_back("the agent died while it was watched")
        return [
            Told(
                "update.recovered",
                f"{bad.target} was taken back: the agent died while it was watched",
                Severity.WARNING,
            )
        ]

    def _try(self, model: SimModel, now_s: float) -> list[Told]:
        self._candidate = None
        if model.sha256 in self.rejected:
            why = f"{model.target} is left alone: rejected before: {self.rejected[model.sha256]}"
            return [Told("update.refused", why, Severity.WARNING, _data(model))]
        fetched = Told("update.fetched", model.target, data=_data(model))
        trouble = ""
        if model.nature is Nature.WRONG:
            trouble = "it does not give its promised answers"
        elif model.nature is Nature.SLOW and self._habits.judges:
            trouble = "its median latency is 3.0 times that of the current model"
        if trouble:
            self._reject(model, trouble)
            return [
                fetched,
                Told("update.rejected", f"{model.target}: {trouble}", Severity.WARNING, _data(model)),
            ]
        self.previous, self.current = self.current, model
        self.is_watched, self._at_s = True, now_s + self._habits.watch_s
        self.must_crash = model.nature is Nature.CRASH
        return [fetched, Told("update.switched", f"runs {model.target}, and is watched", data=_data(model))]

    def _end_watch(self) -> list[Told]:
        if self.current.nature is Nature.DRIFT and self._habits.judges:
            return [self._take_back("6 statistics drifted from its baseline, 0 with the model before")]
        self.is_watched = False
        return [Told("update.confirmed", f"{self.current.target} stays", data=_data(self.current))]

    def _take_back(self, reason: str) -> Told:
        bad = self.current
        self._reject(bad, reason)
        self.current = self.previous or SimModel(FACTORY, FACTORY_SHA256)
        self.previous, self._candidate, self.is_watched, self.must_crash = None, None, False, False
        return Told(
            "update.rolled-back", f"{bad.target} was taken back: {reason}", Severity.ERROR, _data(bad)
        )

    def _reject(self, model: SimModel, reason: str) -> None:
        self.rejected[model.sha256] = reason
        while len(self.rejected) > REMEMBERED:
            self.rejected.pop(next(iter(self.rejected)))


def _data(model: SimModel) -> dict[str, str]:
    return {"target": model.target, "sha256": model.sha256}
