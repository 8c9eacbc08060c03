"""One stand-in: what it says and does. Knows neither sockets nor clocks: it is told the time."""

import hashlib
import time
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edgewise_fleet.simulate.board import BOARDS, World, read_board
from edgewise_fleet.simulate.updating import Habits, Told, Updating
from edgewise_messages import (
    COMMANDS,
    AnyRecord,
    Channel,
    Clock,
    Command,
    CommandName,
    DeviceAddress,
    DeviceState,
    Event,
    Meta,
    ModelInfo,
    Outcome,
    Response,
    Severity,
    Status,
    Telemetry,
    encode_notice,
    encode_records,
    signed_bytes,
)

ANSWERED = 16
INFERENCES_PER_S = 5.0
Outgoing = tuple[Channel, bytes, bool]
"""Channel, payload, retained."""


class SimDevice:
    """Not safe between threads."""

    __slots__ = (
        "_answers",
        "_boot",
        "_born_s",
        "_drifts",
        "_kept",
        "_keys",
        "_seq",
        "_world",
        "address",
        "errors",
        "index",
        "inferences",
        "reported_s",
        "updating",
    )  # fmt: skip

    def __init__(
        self,
        address: DeviceAddress,
        index: int,
        world: World,
        habits: Habits,
        keys: Sequence[Ed25519PublicKey],
    ) -> None:
        self.address = address
        self.index = index
        self.updating = Updating(habits)
        self.reported_s = 0.0
        self.inferences = 0.0
        self.errors = 0.0
        self._world = world
        self._keys = keys
        self._answers: dict[str, Response] = {}
        self._born_s = 0.0
        self._boot = ""
        self._kept: list[Outgoing] = []
        self._seq = 0
        self._drifts = False

    @property
    def is_booted(self) -> bool:
        """Whether its agent runs."""
        return bool(self._boot)

    def kill(self) -> None:
        """The agent is gone without a word; what its files hold stays."""
        self._boot = ""

    def keep(self, messages: Sequence[Outgoing]) -> None:
        """What waits until the broker may be told."""
        self._kept.extend(messages)

    def take_kept(self) -> list[Outgoing]:
        """And what waited."""
        kept, self._kept = self._kept, []
        return kept

    def boot(self, now_s: float) -> list[Outgoing]:
        """The agent starts, or starts again after a kill; what it has to say of that."""
        name = f"{self.address.group}/{self.address.device}/{self._world.seed}/{now_s}/{time.time_ns()}"
        self._boot = hashlib.sha256(name.encode()).hexdigest()[:16]
        self._seq, self._born_s, self.reported_s = 0, now_s, now_s
        self.inferences = self.errors = 0.0
        return [self._event(told, now_s) for told in self.updating.died()]

    def will(self) -> bytes:
        """What the broker says when the connection is lost."""
        return encode_notice(
            Status(state=DeviceState.OFFLINE, ts_ms=_now_ms(), boot=self._boot, reason="connection lost")
        )

    def introduce(self) -> list[Outgoing]:
        """After each connect."""
        status = Status(state=DeviceState.ONLINE, ts_ms=_now_ms(), boot=self._boot)
        return [(Channel.STATUS, encode_notice(status), True), self._meta()]

    def farewell(self) -> Outgoing:
        """The agent ends in order."""
        status = Status(
            state=DeviceState.STOPPED, ts_ms=_now_ms(), boot=self._boot, reason="simulation ended"
        )
        return (Channel.STATUS, encode_notice(status), True)

    def report(self, now_s: float) -> list[Outgoing]:
        """A telemetry record, and events where something changed."""
        reading = read_board(
            self._world,
            self.index,
            now_s,
            slowdown=self.updating.slowdown,
            extra_drift=self.updating.extra_drift,
        )
        passed_s = max(now_s - self.reported_s, 0.0)
        self.reported_s = now_s
        self.inferences += round(passed_s * INFERENCES_PER_S)
        metrics: dict[str, float | int | bool | str | None] = {
            "model.inferences": self.inferences,
            "model.errors": self.errors,
            "model.throughput_per_s": INFERENCES_PER_S,
            "model.latency_p50_ms": round(reading.latency_ms, 3),
            "model.latency_p95_ms": round(reading.latency_ms * 1.2, 3),
            "model.confidence_mean": 0.55 if reading.drift_moved else 0.81,
            "drift.moved": reading.drift_moved,
            "board.temperature_c": round(reading.temperature_c, 2),
            "board.throttled_now": 4 if reading.is_throttled else 0,
            "board.cpu_percent": min(100.0, round(reading.latency_ms * INFERENCES_PER_S / 10 + 4, 1)),
            "power.estimated_w": round(reading.watts, 3),
            "energy.inference_estimated_mj": round(reading.watts * reading.latency_ms, 3),
            "agent.uptime_s": round(now_s - self._born_s, 1),
        }
        record = Telemetry(**self._stamp(now_s), metrics=metrics)
        sent: list[Outgoing] = [(Channel.TELEMETRY, encode_records([record]), False)]
        if bool(reading.drift_moved) != self._drifts:
            self._drifts = bool(reading.drift_moved)
            word = "started" if self._drifts else "ended"
            told = Told(f"drift.{word}", "simulated", Severity.WARNING if self._drifts else Severity.INFO)
            sent.append(self._event(told, now_s))
        return sent

    def step(self, now_s: float) -> list[Outgoing]:
        """An update under way goes on."""
        before = self.updating.current
        sent = [self._event(told, now_s) for told in self.updating.step(now_s)]
        return [*sent, self._meta()] if self.updating.current != before else sent

    def obey(self, command: Command, now_s: float) -> list[Outgoing]:
        """Do it, once, and answer."""
        known = self._answers.get(command.id)
        if known is not None:
            return [(Channel.RESPONSE, encode_notice(known), False)]
        before = self.updating.current
        events: list[Told] = []
        outcome, message = Outcome.REJECTED, self._against(command)
        if not message:
            is_done, message, events = self._do(command, now_s)
            outcome = Outcome.DONE if is_done else Outcome.REJECTED
        response = Response(id=command.id, outcome=outcome, ts_ms=_now_ms(), message=message)
        self._answers[command.id] = response
        while len(self._answers) > ANSWERED:
            self._answers.pop(next(iter(self._answers)))
        sent = [self._event(told, now_s) for told in events]
        if self.updating.current != before:
            sent.append(self._meta())
        return [*sent, (Channel.RESPONSE, encode_notice(response), False)]

    def _do(self, command: Command, now_s: float) -> tuple[bool, str, list[Told]]:
        arguments = command.arguments
        match command.name:
            case CommandName.SET_MODEL:
                target, sha256 = str(arguments.get("target") or ""), str(arguments.get("sha256") or "")
                done, said = self.updating.want(
                    target, sha256, again=bool(arguments.get("again")), now_s=now_s
                )
                return done, said, []
            case CommandName.ROLLBACK:
                return self.updating.roll_back()
            case CommandName.REPORT_NOW:
                return True, "reported at the next interval", []
            case _:
                return False, "a stand-in answers set-model, rollback and report-now only", []

    def _against(self, command: Command) -> str:
        """Why it is not to be done: signature and times, as the agent asks."""
        kind = COMMANDS.get(command.name)
        if kind is not None and not kind.changes:
            return ""
        if not command.signature or not self._is_signed(command):
            return f"signature: by none of the {len(self._keys)} keys, or for another device or content"
        if not command.expires_ms or command.expires_ms < _now_ms():
            return "expired"
        return ""

    def _is_signed(self, command: Command) -> bool:
        covered = signed_bytes(command, self.address)
        for key in self._keys:
            try:
                key.verify(bytes.fromhex(command.signature), covered)
            except (InvalidSignature, ValueError):
                continue
            return True
        return False

    def _meta(self) -> Outgoing:
        model = self.updating.current
        name = model.target.rpartition("/")[2].rpartition(".")[0]
        meta = Meta(
            ts_ms=_now_ms(),
            boot=self._boot,
            board=BOARDS[self.index % len(BOARDS)],
            agent_version="simulated",
            model=ModelInfo(name=name, sha256=model.sha256, task="image classification", precision="int8"),
            power="estimated: simulated, not measured",
        )
        return (Channel.META, encode_notice(meta), True)

    def _event(self, told: Told, now_s: float) -> Outgoing:
        record: AnyRecord = Event(
            **self._stamp(now_s),
            name=told.name,
            severity=told.severity,
            message=told.message,
            data=dict(told.data),
        )
        return (Channel.EVENT, encode_records([record]), False)

    def _stamp(self, now_s: float) -> dict[str, Any]:
        self._seq += 1
        mono_ns = int(max(now_s - self._born_s, 0.0) * 1e9)
        return {
            "ts_ms": _now_ms(),
            "mono_ns": mono_ns,
            "boot": self._boot,
            "seq": self._seq,
            "clock": Clock.NTP,
        }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
