"""What a model's card promises beside what is observed of it, over devices."""

import pytest

from edgewise_fleet.models_view import ModelUse, gather_models
from edgewise_fleet.store import DeviceRow
from edgewise_fleet.summary import Condition, DeviceSummary
from edgewise_messages import DeviceAddress, Meta, ModelInfo, Promise


def use_of(*promises: Promise | None, p95_ms: float = 20.0) -> ModelUse:
    devices = []
    for number, promise in enumerate(promises):
        address = DeviceAddress("shop", f"cam-{number}")
        model = ModelInfo(name="net", sha256="ab" * 32, promise=promise)
        row = DeviceRow(
            address=address,
            first_seen_ms=1,
            last_seen_ms=1,
            state=None,
            state_since_ms=1,
            state_reason="",
            meta=Meta(ts_ms=1, boot="b", model=model),
            metrics={"model.latency_p95_ms": p95_ms},
        )
        summary = DeviceSummary(
            group="shop", device=address.device, condition=Condition.ONLINE, since_ms=1, last_seen_ms=1
        )
        devices.append((row, summary))
    (use,) = gather_models(devices)
    return use


def test_a_promise_counts_from_whichever_device_tells_it_and_latency_is_each_boards_own() -> None:
    use = use_of(None, Promise(agreement=0.98, p95_ms=10.0), Promise(agreement=0.98, p95_ms=30.0))
    assert use.promise == Promise(agreement=0.98)
    assert use.slower == 1


@pytest.mark.parametrize(("p95_ms", "slower"), [(20.0, 0), (21.9, 0), (22.1, 1)])
def test_some_percent_more_are_not_slower(p95_ms: float, slower: int) -> None:
    assert use_of(Promise(p95_ms=20.0), p95_ms=p95_ms).slower == slower


def test_without_promises_nothing_is_slower() -> None:
    use = use_of(None)
    assert (use.promise, use.slower) == (None, 0)
