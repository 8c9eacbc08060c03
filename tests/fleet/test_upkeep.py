"""What the keeper does when a part of its turn fails."""

from collections.abc import Callable

import pytest
from fleet.real_parts import wait_until

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.store import Keep
from edgewise_fleet.upkeep import Keeper, UpkeepSettings


class FullDisk:
    """A store that finds no room until something was forgotten."""

    def __init__(self) -> None:
        self.did: list[str] = []

    def roll_up(self, now_ms: int, *, goes_on: Callable[[], bool] = lambda: True) -> int:
        self.did.append("roll up")
        if "shrink" not in self.did:
            raise StoreUnusable("no room")
        return 0

    def prune(self, before_ms: int, *, keep: Keep | None = None) -> int:
        self.did.append("prune")
        return 0

    def shrink(self, max_bytes: int) -> int:
        self.did.append("shrink")
        return 7


def test_on_a_full_disk_what_is_too_old_or_too_much_is_forgotten_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edgewise_fleet.upkeep.ROLL_EVERY_S", 0.05)
    store = FullDisk()
    keeper = Keeper(store, UpkeepSettings(max_size_bytes=1))
    keeper.start()
    wait_until(lambda: store.did.count("roll up") >= 3, "it goes on")
    keeper.stop()
    assert store.did[:3] == ["roll up", "prune", "shrink"]
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "looking after the store: no room; trying again in a minute"
    ], "once: then there was room"
