"""Records of one camera, as the store tests send them."""

from edgewise_fleet.store import RecordsArrival, StatusArrival, Store
from edgewise_messages import Clock, DeviceAddress, DeviceState, Drift, Event, Status, Telemetry

CAMERA = DeviceAddress("lab", "camera")
NOW_MS = 1_790_000_000_000
LATENCY = "model.latency_p50_ms"


def telemetry(
    seq: int, value: object, *, boot: str = "b1", at_ms: int = NOW_MS, clock: Clock = Clock.NTP
) -> Telemetry:
    return Telemetry(ts_ms=at_ms, mono_ns=seq, boot=boot, seq=seq, clock=clock, metrics={LATENCY: value})  # type: ignore[dict-item]


def arrived(*records: Telemetry | Event | Drift, received_ms: int = NOW_MS) -> RecordsArrival:
    return RecordsArrival(CAMERA, received_ms, records)


def status(
    state: DeviceState, *, boot: str = "b1", received_ms: int = NOW_MS, retained: bool = False
) -> StatusArrival:
    return StatusArrival(CAMERA, received_ms, Status(state=state, ts_ms=received_ms, boot=boot), retained)


def latency(store: Store) -> float:
    (row,) = store.devices()
    return row.metrics[LATENCY]
