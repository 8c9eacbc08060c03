"""Watches the latest inputs for drift from the baseline, with a bounded rate of false alarms.

The baseline is the card's, which the device's own first inputs join (`first_inputs`). Every `EVERY` inputs the latest
50 and the latest 200 are compared with it, statistic by statistic (`tails`, `classes`) and whole (`mix`). Each
comparison is a two-sample test that counts the baseline's finite size and holds whatever the distribution is, so with
independent inputs the chance of exceeding a level a is at most a. The level of a look, EVERY / false_alarm_inputs, is
shared out over all tests of that look (Bonferroni), half of it to `SHARES`. By linearity of expectation, which asks for
no independence between looks, at most one look in ``false_alarm_inputs`` inputs is expected to exceed its level while
nothing moved; an alarm is the first of such looks, so there are at most as many alarms. The expectation is over inputs
and over baselines: an unlucky choice of baseline photos has more than its share.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgewise_agent.drift.classes import OTHER, SwitchTest, class_chance, switch_share
from edgewise_agent.drift.first_inputs import FirstInputs
from edgewise_agent.drift.mix import mix_chance
from edgewise_agent.drift.observation import CONFIDENCE, EMBEDDING_DISTANCE, MARGIN, Observation
from edgewise_agent.drift.reference import Reference
from edgewise_agent.drift.rows import Rows
from edgewise_agent.drift.stability import class_index, histogram_index
from edgewise_agent.drift.tails import Beyond, TailTest, marks
from edgewise_agent.drift.window import Window

EVERY = 20
WINDOWS = (50, 200)
LONGEST = max(WINDOWS)
CLEAR_FACTOR = 100.0
"""What exceeds this many times the level of the alarm counts as still there."""
HOLD_INPUTS = 100
"""A drift has ended when for so long nothing exceeded the lower level."""
FALSE_ALARM_INPUTS = 10_000
CLASSES, SWITCHES, MIX = "classes", "switches", "mix"
SHARES = {CLASSES: 0.1, MIX: 0.4}
"""Of the level of a look: another mix is the hardest to see, and these are two tests among some twenty."""


@dataclass(frozen=True)
class Moved:
    """One statistic that is not what it was at conversion."""

    name: str
    chance: float
    """Of at least this much by chance in one look, all its tests together: at most this."""
    window: int
    beyond: Beyond | None = None
    """Of statistics of single inputs."""


@dataclass(frozen=True)
class Change:
    """A drift that started, or ended."""

    is_start: bool
    moved: tuple[Moved, ...]
    """What moved, the least likely first; of an end, what had."""
    inputs: int
    """Since the monitor began; of an end, since its start."""


class DriftMonitor:
    """Takes observations one by one. Memory: some 700 rows of 150 bytes, tables of about 120 kB; 3 MB in a look."""

    def __init__(self, reference: Reference, *, false_alarm_inputs: int = FALSE_ALARM_INPUTS) -> None:
        """``false_alarm_inputs`` is how many inputs without drift there are to one false alarm, at least."""
        self.reference = reference
        self._names = [scalar.name for scalar in reference.scalars]
        self._window = Window(self._names, LONGEST)
        self._level = EVERY / false_alarm_inputs
        placed = [marks(scalar.histogram, has_outer=scalar.has_outer) for scalar in reference.scalars]
        self._tails = {
            length: [
                TailTest(one, samples=scalar.histogram.total, window=length)
                for one, scalar in zip(placed, reference.scalars, strict=True)
            ]
            for length in WINDOWS
        }
        self._first, self._joined = FirstInputs(placed), 0
        self._classes, self._rows = reference.classes, reference.rows
        self._switches = {length: SwitchTest(reference.classes, window=length) for length in WINDOWS}
        special = {CLASSES: bool(reference.classes), MIX: reference.rows is not None}
        left = 1 - sum(SHARES[name] for name, is_there in special.items() if is_there)
        self._groups = (len(self._names) + (1 if reference.classes else 0)) / left
        self._moved: tuple[Moved, ...] = ()
        self._started_at = self._last_moved_at = 0
        self._ended_at: int | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the device's first inputs are all in the baseline."""
        return self._first.is_complete

    @property
    def moved(self) -> tuple[Moved, ...]:
        """What moved, while there is a drift."""
        return self._moved

    def add(self, observation: Observation) -> Change | None:
        """Take one observation; say if a drift starts or ends with it."""
        self._let_oldest_join()
        self._window.add(observation)
        if self._window.seen % EVERY:
            return None
        found = self._look()
        if not self._moved:
            if found and found[0].chance <= self._level:
                self._moved = tuple(one for one in found if one.chance <= self._level * CLEAR_FACTOR)
                self._started_at = self._last_moved_at = self._window.seen
                return Change(True, self._moved, self._window.seen)
            return None
        if found and found[0].chance <= self._level * CLEAR_FACTOR:
            self._last_moved_at = self._window.seen
        if self._window.seen - self._last_moved_at < HOLD_INPUTS:
            return None
        ended, self._moved, self._ended_at = self._moved, (), self._window.seen
        return Change(False, ended, self._window.seen - self._started_at)

    @property
    def _since_end(self) -> int | None:
        """Inputs since the last drift ended; None without one."""
        return None if self._ended_at is None else self._window.seen - self._ended_at

    def _let_oldest_join(self) -> None:
        """What leaves the window joins the baseline, unless it was in it while something moved."""
        is_of_drift = self._moved or (self._since_end is not None and self._since_end < LONGEST)
        oldest = self._window.oldest()
        if oldest is None or is_of_drift or self._first.is_complete:
            return
        row, answer = oldest
        self._first.add(row, None if answer is None else self._class_of(answer))

    def _extend_tests(self) -> None:
        if self._joined == self._first.count:
            return
        self._joined = self._first.count
        self._classes = self._first.joined(self.reference.classes)
        if self.reference.rows is not None:
            self._rows = self.reference.rows.joined(self._of_pictures(self._first.rows))
        for tests in self._tails.values():
            for test, beyond, total in zip(tests, self._first.beyond, self._first.totals, strict=True):
                test.extend(beyond, total)

    def _look(self) -> list[Moved]:
        """All statistics, the least likely first, each with the chance times the number of all tests."""
        self._extend_tests()
        best: dict[str, Moved] = {}
        for length in WINDOWS:
            if self._window.filled < length:
                continue
            for one in self._look_at(length):
                if one.name not in best or one.chance < best[one.name].chance:
                    best[one.name] = one
        return sorted(best.values(), key=lambda one: one.chance)

    def _look_at(self, length: int) -> list[Moved]:
        found, share = [], len(WINDOWS) * self._groups
        level = self._level * (CLEAR_FACTOR if self._moved else 1.0)
        values = self._window.values(length)
        for place, (name, test) in enumerate(zip(self._names, self._tails[length], strict=True)):
            beyond = test.look(values[:, place])
            found.append(Moved(name, beyond.chance * test.tests * share, length, beyond))
        answers = self._window.answers(length)
        if self.reference.classes and len(answers) == length:
            tests = len(WINDOWS) / SHARES[CLASSES]
            chance = class_chance(
                self._classes, self._counted(answers), least=min(level / tests, 1.0), seed=self._window.seen
            )
            found.append(Moved(CLASSES, chance * tests, length))
            switches = self._switches[length]
            found.append(Moved(SWITCHES, switches.look(answers) * switches.tests * share, length))
        if self._rows is not None:
            tests = len(WINDOWS) / SHARES[MIX]
            latest = self._of_pictures(self._window.rows(length))
            chance = mix_chance(
                self._rows, latest, least=min(level / tests, 1.0), seed=self._window.seen + length
            )
            found.append(Moved(MIX, chance * tests, length))
        return found

    def _of_pictures(self, rows: Rows) -> Rows:
        """With the statistics that the card's rows have."""
        assert self.reference.rows is not None
        return replace(rows, values=rows.values[:, : self.reference.rows.values.shape[1]])

    def _counted(self, answers: list[int]) -> dict[int, int]:
        """By class, as the baseline counts."""
        return Counter(map(self._class_of, answers))

    def _class_of(self, answer: int) -> int:
        classes = self.reference.classes
        return answer if OTHER not in classes or answer in classes else OTHER

    def live_mean(self, name: str, length: int) -> float:
        """Of a statistic over the latest ``length`` inputs that had it; NaN without any."""
        values = self._window.values(length)[:, self._names.index(name)]
        kept = values[values == values]
        return float(kept.mean()) if kept.size else float("nan")

    def live_classes(self, length: int) -> Mapping[int, int]:
        """First answers of the latest ``length`` inputs, by class."""
        return self._counted(self._window.answers(length))

    def live_switches(self, length: int) -> float:
        """Answers that differ from the one before, as a share of the latest ``length``."""
        return switch_share(self._window.answers(length))

    def baseline_switches(self) -> float:
        """The same of the baseline, in an order by chance."""
        return self._switches[LONGEST].share

    def most_moved(self) -> str:
        """The statistic of single inputs whose values are spread least like the baseline's."""
        indices = self._indices()
        return max(indices, key=lambda name: indices[name])

    def _indices(self) -> dict[str, float]:
        values = self._window.values(LONGEST)
        return {
            scalar.name: histogram_index(scalar.histogram, values[:, place].tolist())
            for place, scalar in enumerate(self.reference.scalars)
        }

    def readings(self) -> dict[str, float | int]:
        """A few numbers for a report; nothing but the state before the window is half full."""
        found: dict[str, float | int] = {"drift.moved": len(self._moved)}
        if self._window.filled < LONGEST // 2:
            return found
        indices = self._indices()
        for name in (CONFIDENCE, MARGIN, EMBEDDING_DISTANCE):
            if name in indices:
                found[f"drift.psi_{name.partition(' ')[0]}"] = round(indices.pop(name), 2)
        found["drift.psi_inputs"] = round(max(indices.values(), default=0.0), 2)
        if self.reference.classes:
            found["drift.psi_classes"] = round(
                class_index(self.reference.classes, self.live_classes(LONGEST)), 2
            )
            found["drift.switch_rate"] = round(self.live_switches(LONGEST), 2)
        return found

    def state(self) -> dict[str, Any]:
        """For `restore`, as JSON can hold it."""
        return {
            "window": self._window.state(),
            "moved": [[one.name, one.chance, one.window] for one in self._moved],
            "since_start": self._window.seen - self._started_at,
            "since_end": self._since_end,
            "first_inputs": self._first.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken. Raises ValueError, KeyError or TypeError for anything else."""
        window = Window(self._names, LONGEST)
        window.restore(state["window"])
        moved = tuple(Moved(str(name), float(chance), int(w)) for name, chance, w in state["moved"])
        since, since_end = int(state["since_start"]), state["since_end"]
        ended_at = None if since_end is None else window.seen - int(since_end)
        self._first.restore(state["first_inputs"])
        self._window, self._moved, self._ended_at = window, moved, ended_at
        self._started_at, self._last_moved_at = window.seen - since, window.seen
