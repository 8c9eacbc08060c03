"""A candidate beside the running model: it sees the same inputs, on another thread, and holds nothing up.

The pipeline only puts what it has looked at into a queue. The candidate takes a bounded share of the time; what it
cannot follow is left out, pictures one by one, streams from there to where it joins again. It rests while the
pipeline leaves inputs out itself. Whatever it raises is counted.
"""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

from edgewise.streams import Frame
from edgewise.streams.windows import Windows
from edgewise_agent.pipelines.answers import timings_of
from edgewise_agent.pipelines.seams import Item
from edgewise_agent.updates.live_model import ShadowReport
from edgewise_agent.updates.pairing import Pairing
from edgewise_agent.updates.settings import UpdateSettings

WAITING_FRAMES, WAITING_BLOCKS = 4, 64
"""Inputs that wait for the candidate: pictures are large, and of sound these are two seconds."""
LOOK_S = 0.5
REST_S = 2.0
"""The candidate rests so long when the pipeline has left an input out."""
LATENCIES = 1024

log = logging.getLogger("edgewise.agent.updates")


class Candidate(Protocol):
    """What is asked of the model on trial: a `ModelSlot`."""

    @property
    def remembers(self) -> bool:
        """Whether an answer depends on the inputs before, by a state."""

    def answers(self, item: Item) -> Any:
        """Pairs, the answer first. May raise anything."""

    def go_on_from(self, windows: Windows | None, item: Item) -> bool:
        """Begin anew, cutting the stream as the other model does."""

    def real(self, answer: Any) -> Any:
        """An answer in real numbers."""


class Running(Candidate, Protocol):
    """What is asked of the model that runs."""

    def windows(self) -> Windows | None:
        """A copy of what it holds of the stream."""


@dataclass(frozen=True)
class _Seen:
    """An input that both are asked about, or one of the stream after which the candidate joins."""

    item: Item
    answers: list[Any] | None
    latency_ms: float
    joins: bool = False
    windows: Windows | None = None


class Heard:
    """A `Follower` of the pipeline, for one shadow run."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._waiting: deque[_Seen] = deque()
        self._filled = threading.Condition()
        self._is_joined = False

    def anew(self) -> None:
        """See `Follower.anew`."""
        with self._filled:
            self._is_joined = False

    def take(self, item: Item, answers: list[Any] | None, latency_ms: float) -> None:
        """See `Follower.take`."""
        is_picture = isinstance(item, Frame)
        with self._filled:
            if len(self._waiting) >= (WAITING_FRAMES if is_picture else WAITING_BLOCKS):
                if not is_picture:  # a gap: what waits is still whole, what comes after it is another stream
                    self._is_joined = False
                return
            if is_picture or self._is_joined:
                self._waiting.append(_Seen(item, answers, latency_ms))
            else:
                self._is_joined = True
                self._waiting.append(_Seen(item, None, 0.0, joins=True, windows=self._running.windows()))
            self._filled.notify()

    def next(self, timeout_s: float) -> _Seen | None:
        """The oldest that waits; None when none came."""
        with self._filled:
            if not self._waiting:
                self._filled.wait(timeout_s)
            return self._waiting.popleft() if self._waiting else None

    def skip(self) -> None:
        """Forget what waits, and join again."""
        with self._filled:
            self._waiting.clear()
            self._is_joined = False


class ShadowRun:
    """Both models on the same inputs, until there were enough."""

    def __init__(
        self,
        candidate: Candidate,
        running: Running,
        settings: UpdateSettings,
        *,
        dropped: Callable[[], int] = lambda: 0,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """``dropped`` is how many inputs the pipeline has left out so far."""
        self._candidate, self._running, self._settings = candidate, running, settings
        self._dropped, self._wait = dropped, wait
        self._pairing = Pairing(settings.alike, remembers=running.remembers)
        self._own_ms: deque[float] = deque(maxlen=LATENCIES)
        self._others_ms: deque[float] = deque(maxlen=LATENCIES)
        self._place = 0
        self._unsettled = 0
        self.errors = self.rests = 0
        self.busy_since_s: float | None = None
        """When the candidate began with the input at hand; None between two."""

    def run(
        self, heard: Heard, *, inputs: int, within_s: float, should_stop: Callable[[], bool]
    ) -> ShadowReport:
        """Until so many answers were judged, or the time is over."""
        give_up_s = time.monotonic() + within_s
        dropped = self._dropped()
        while time.monotonic() < give_up_s and not should_stop() and self._judged < inputs:
            seen = heard.next(LOOK_S)
            if seen is None:
                continue
            self._share(self._ask(seen), should_stop)
            if self._dropped() > dropped:
                self.rests += 1
                self._rest(REST_S, should_stop)
                heard.skip()
                dropped = self._dropped()
        if not should_stop():
            self._pairing.end()
        return self.report()

    def report(self) -> ShadowReport:
        """What was seen so far."""
        return ShadowReport(
            inputs=self._judged,
            agreed=self._pairing.agreed,
            errors=self.errors,
            median_ms=median(self._others_ms) if self._others_ms else None,
            current_median_ms=median(self._own_ms) if self._own_ms else None,
            groups=self._pairing.groups(),
            rests=self.rests,
        )

    @property
    def _judged(self) -> int:
        return self._pairing.inputs + self.errors

    def _ask(self, seen: _Seen) -> float:
        """How many seconds it took; whatever the candidate raises is one error."""
        self.busy_since_s = began_s = time.monotonic()
        try:
            if seen.joins:
                self._join(seen)
            else:
                self._hold_against(seen)
        except Exception as error:  # it is on trial: nothing that it does may hold anything up
            log.debug("the candidate failed: %r", error)
            self.errors += 1
        finally:
            self.busy_since_s = None
        return time.monotonic() - began_s

    def _join(self, seen: _Seen) -> None:
        self._pairing.cut()
        self._candidate.go_on_from(seen.windows, seen.item)
        self._unsettled = self._settings.settle_inputs if self._candidate.remembers else 0

    def _hold_against(self, seen: _Seen) -> None:
        self._place += 1
        if seen.answers is None:  # the current model failed at it too; a stream goes on all the same
            with contextlib.suppress(Exception):
                list(self._candidate.answers(seen.item))
            return
        began_s = time.perf_counter()
        found = [answer for answer, *_ in self._candidate.answers(seen.item)]
        took_ms = (time.perf_counter() - began_s) * 1000
        if self._unsettled > 0:
            self._unsettled -= 1
            return
        own = [self._running.real(answer) for answer in seen.answers]
        self._pairing.add(self._place, own, [self._candidate.real(answer) for answer in found])
        for answers, whole_ms, latencies in (
            (seen.answers, seen.latency_ms, self._own_ms),
            (found, took_ms, self._others_ms),
        ):
            latencies += [_latency_ms(answer, whole_ms / len(answers)) for answer in answers]

    def _share(self, busy_s: float, should_stop: Callable[[], bool]) -> None:
        share = self._settings.shadow_share
        self._rest(busy_s * (1 - share) / share, should_stop)

    def _rest(self, seconds: float, should_stop: Callable[[], bool]) -> None:
        while seconds > 0 and not should_stop():
            self._wait(min(seconds, LOOK_S))
            seconds -= LOOK_S


def _latency_ms(answer: Any, measured_ms: float) -> float:
    timings = timings_of(answer)
    return timings.total_ms if timings is not None else measured_ms
