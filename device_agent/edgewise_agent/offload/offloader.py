"""Asks the nearest allowed edge server about inputs that the model here is not sure of.

The answer of the model here stands unless a better one comes in time. What is sent passes the gate, so it is allowed,
redacted and on record.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec

from edgewise_agent.errors import OffloadError
from edgewise_agent.offload.http_call import Target, exchange
from edgewise_agent.offload.servers import Server, Servers
from edgewise_agent.offload.settings import OffloadSettings
from edgewise_agent.privacy.destinations import Destination
from edgewise_agent.privacy.gate import Gate, RedactedPayload, Refusal
from edgewise_agent.snapshots.encoding import Encoded

LOCAL = "local"
PREDICT = "/v1/predict"
REST_S = 60.0
"""After redaction alone took longer than the budget nobody is asked for so long."""

log = logging.getLogger("edgewise.agent.offload")


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a server answers; what else it says is not read."""

    label: Annotated[str, msgspec.Meta(max_length=256)]
    score: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
    model: Annotated[str, msgspec.Meta(max_length=256)] = ""
    model_sha256: Annotated[str, msgspec.Meta(max_length=64)] = ""


@dataclass(frozen=True)
class OffloadOutcome:
    """Both answers, and whose counts."""

    label: str
    score: float
    answered_by: str
    """The server's url, or "local"."""
    local_label: str
    local_score: float
    latency_ms: float = 0.0
    """From the question to the outcome."""
    model: str = ""
    """The server's."""
    reason: str = ""
    """Why the local answer stands."""
    audit: str = ""
    """Number and digest of the audit record of what was sent; "" when nothing was."""

    def data(self) -> dict[str, str | float]:
        """For an event."""
        values: dict[str, str | float] = {
            "answered_by": self.answered_by, "label": self.label, "score": round(self.score, 6),
            "local_label": self.local_label, "local_score": round(self.local_score, 6),
            "offload_ms": round(self.latency_ms, 3),
        }  # fmt: skip
        more = {"model": self.model, "reason": self.reason, "audit": self.audit}
        return values | {name: text for name, text in more.items() if text}


class Offloader:
    """Safe between threads: one input at a time is asked about. Measures on a thread that `close` ends."""

    def __init__(self, settings: OffloadSettings, gate: Gate) -> None:
        """Raises InvalidSettings when the key or the authority cannot be read."""
        self._settings, self._gate = settings, gate
        self.servers = Servers(settings)
        self._asked_s: deque[float] = deque(maxlen=settings.max_per_minute)
        self._rests_until_s = 0.0
        self._turn = threading.Lock()
        self.asked = self.answered = 0
        """How often a server was asked, and how often its answer counted."""

    def start(self) -> None:
        """Begin to measure round trips."""
        self.servers.start()

    def close(self) -> None:
        """End the measuring."""
        self.servers.close()

    def metrics(self) -> dict[str, float | int]:
        """For telemetry: counts since the start."""
        return {"offload.asked": self.asked, "offload.answered": self.answered}

    def consider(self, encode: Callable[[], Encoded], *, label: str, score: float) -> OffloadOutcome | None:
        """Ask about an input whose local answer is this; None when it is certain enough, or offload is off.

        ``encode`` gives the input's bytes and is called only when they are to be sent. Takes at most
        ``max_latency_ms``, but for a redaction that takes longer. Raises nothing.
        """
        if not self._settings.enabled or score >= self._settings.below_confidence:
            return None
        began_s = time.monotonic()
        local = OffloadOutcome(label, score, LOCAL, label, score)
        if not self._turn.acquire(blocking=False):
            return _standing(local, "an input of another pipeline is being asked about", began_s)
        try:
            return self._ask(encode, local, began_s)
        except (OSError, ValueError) as error:  # of an input that cannot be read again
            return _standing(local, str(error), began_s)
        finally:
            self._turn.release()

    def _ask(self, encode: Callable[[], Encoded], local: OffloadOutcome, began_s: float) -> OffloadOutcome:
        if began_s < self._rests_until_s:
            return _standing(local, "redaction took longer than offload.max_latency_ms lately", began_s)
        if len(self._asked_s) == self._asked_s.maxlen and began_s - self._asked_s[0] < 60.0:
            return _standing(local, "offload.max_per_minute is reached", began_s)
        server, to, reason = self._choose()
        if server is None or to is None or server.target is None:
            return _standing(local, reason, began_s)
        deadline_s = began_s + self._settings.max_latency_ms / 1000
        payload = self._gate.release(
            encode(), to=to, why="offload", is_too_late=lambda: time.monotonic() >= deadline_s
        )
        if isinstance(payload, Refusal):
            if time.monotonic() >= deadline_s:
                self._rests_until_s = time.monotonic() + REST_S
            return _standing(local, payload.reason, began_s)
        self._asked_s.append(began_s)
        self.asked += 1
        return self._answer(server.settings.url, server.target, payload, local, began_s, deadline_s)

    def _answer(
        self,
        url: str,
        target: Target,
        payload: RedactedPayload,
        local: OffloadOutcome,
        began_s: float,
        deadline_s: float,
    ) -> OffloadOutcome:
        audit = f"{payload.audit.number} {payload.audit.sha256}"
        sent_s = time.monotonic()
        try:
            reply = _read(
                exchange(
                    target, "POST", PREDICT, body=payload.data, media=payload.media, deadline_s=deadline_s
                )
            )
        except OffloadError as error:
            self.servers.failed(url, str(error), (time.monotonic() - sent_s) * 1000)
            return _standing(local, str(error), began_s, audit=audit)
        now_s = time.monotonic()
        self.servers.answered(url, (now_s - sent_s) * 1000)
        if now_s > deadline_s:
            return _standing(local, "the answer came too late", began_s, audit=audit)
        if reply.score <= local.score:
            return _standing(local, f"{url} is not surer: {reply.score:.3f}", began_s, audit=audit)
        self.answered += 1
        return OffloadOutcome(
            reply.label, reply.score, url, local.label, local.score,
            (now_s - began_s) * 1000, reply.model, audit=audit,
        )  # fmt: skip

    def _choose(self) -> tuple[Server | None, Destination | None, str]:
        """The nearest that is allowed and near enough; else why there is none."""
        reasons = []
        for server in self.servers.known():
            to = Destination(server.settings.url, server.settings.region)
            refusal = self._gate.would_refuse(to, is_picture=True)
            expected_ms = server.expected_ms
            if refusal:
                reasons.append(refusal)
            elif expected_ms is None:
                reasons.append(f"{server.settings.url} does not answer: {server.trouble}")
            elif expected_ms > self._settings.max_latency_ms:
                reasons.append(
                    f"{server.settings.url} takes {expected_ms:.0f} ms, more than offload.max_latency_ms"
                )
            else:
                return server, to, ""
        return None, None, reasons[0] if reasons else "there are no servers"


def _read(data: bytes) -> Reply:
    try:
        return msgspec.json.decode(data, type=Reply)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise OffloadError(f"got an answer that is none: {error}") from error


def _standing(local: OffloadOutcome, reason: str, began_s: float, *, audit: str = "") -> OffloadOutcome:
    latency_ms = (time.monotonic() - began_s) * 1000
    log.info("the local answer stands: %s", reason)
    return OffloadOutcome(
        local.label, local.score, LOCAL, local.label, local.score, latency_ms, reason=reason, audit=audit
    )
