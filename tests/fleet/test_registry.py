"""The registry: entries, files, and what the command line does with them while a server may be running."""

import json
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fleet.simulated import SimulatedDevice, now_ms

from edgewise_fleet.errors import BadEntry, BadRollout, StoreUnusable
from edgewise_fleet.rollouts.state import Decision, DeviceProgress, Phase, Plan, Rollout, Stage
from edgewise_fleet.rollouts.wishes import begin
from edgewise_fleet.steering.choose import open_steering
from edgewise_fleet.steering.entries import DeviceEntry, changed, matches, parse_tags
from edgewise_fleet.steering.kept import KeptSteering
from edgewise_fleet.steering.listing import change_device
from edgewise_fleet.steering.silences import read_silences
from edgewise_fleet.steering.sqlite import SqliteSteering
from edgewise_fleet.steering.tables import read_entries, write_entries
from edgewise_fleet.store import DeviceRow, open_store
from edgewise_fleet.summary import Condition, summarise
from edgewise_messages import DeviceAddress

Run = Callable[..., subprocess.CompletedProcess[str]]
ENTRY = DeviceEntry(
    group="shop",
    device="cam-1",
    location="Berlin, door 3",
    owner="ops; nights",
    expected_silence_s=7200.0,
    tags={"site": "north", "spare": "yes"},
)


def test_an_entry_is_changed_field_by_field_and_emptied_by_nothing() -> None:
    begun = DeviceEntry(group="shop", device="cam-1")
    given = [
        "location=Berlin, door 3",
        "owner=ops; nights",
        "expected_silence_s=7200",
        "tag.site=north",
        "tag=spare",
    ]
    assert changed(begun, given) == ENTRY
    assert changed(ENTRY, ["location=", "owner=", "expected_silence_s=", "tag.site=", "tag.spare="]) == begun


@pytest.mark.parametrize(
    "text", ["nothing", "colour=red", "expected_silence_s=soon", "expected_silence_s=0", "tag.a b=x", "tag="]
)
def test_a_wrong_change_is_said(text: str) -> None:
    with pytest.raises(BadEntry):
        changed(ENTRY, [text])


@pytest.mark.parametrize(
    ("group", "tags", "holds"),
    [
        (None, [], True), ("shop", ["site"], True), ("shop", ["site=north", "spare"], True),
        ("lab", [], False), (None, ["site=south"], False), (None, ["none"], False),
    ],
)  # fmt: skip
def test_a_choice_is_by_group_and_all_tags(group: str | None, tags: list[str], holds: bool) -> None:
    assert matches(ENTRY, group=group, tags=parse_tags(tags)) is holds


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_a_file_of_entries_comes_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    entries = (ENTRY, DeviceEntry(group="shop", device="cam-2", credential="certificate"))
    path = tmp_path / f"devices{suffix}"
    path.write_text(write_entries(entries, suffix))
    assert read_entries(path) == entries


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.csv", "group,device\nshop,cam-1\nshop,cam 2\n", "line 3"),
        ("x.csv", "group,device\nshop,a\nshop,a\n", "stands in it twice"),
        ("x.csv", "group,device,colour\nshop,a,red\n", "line 1"),
        ("x.csv", "group,device,expected_silence_s\nshop,a,soon\n", "line 2"),
        ("x.json", '[{"group": "shop"}]', "device"),
        ("x.txt", "", "expected a file that ends in"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadEntry, match=words):
        read_entries(tmp_path / name)


def test_the_command_line_changes_the_registry_while_a_server_owns_the_store(
    tmp_path: Path, address: str, fleet_command: Run
) -> None:
    store = open_store(address)

    def registry(*arguments: str) -> subprocess.CompletedProcess[str]:
        return fleet_command("registry", *arguments, "--store", address)

    try:
        done = registry("device", "shop/cam-1", "--set", "location=Berlin", "--set", "tag.site=north")
        assert done.stdout == "shop/cam-1\n  location: Berlin\n  tags: site=north\n"
        (tmp_path / "more.csv").write_text("group,device,tags\nshop,cam-2,site=south\nlab,cam-3,spare\n")
        assert registry("list", "--import", "more.csv").stdout == "2 devices taken from more.csv\n"
        listed = json.loads(registry("list", "--tag", "site", "--json").stdout)
        assert [one["entry"]["device"] for one in listed] == ["cam-1", "cam-2"]
        assert "3 devices written" in registry("list", "--export", "all.json").stdout
        assert len(read_entries(tmp_path / "all.json")) == 3
        assert registry("device", "lab/cam-3", "--remove").returncode == 0
        gone = registry("device", "lab/cam-3")
        assert (gone.returncode, "not in the registry" in gone.stderr) == (1, True)
        bad = registry("device", "shop/cam-1", "--set", "colour=red")
        assert (bad.returncode, "Traceback" in bad.stderr) == (1, False)
    finally:
        store.close()


def test_a_device_that_may_sleep_is_silent_only_after_its_own_time(tmp_path: Path, address: str) -> None:
    steering = open_steering(address)
    steering.put([ENTRY])
    steering.close()
    seen_ms = now_ms()
    rows = [
        DeviceRow(DeviceAddress("shop", name), seen_ms, seen_ms, None, 0, "", None, {})
        for name in ("cam-1", "cam-2")
    ]
    store = open_store(address, read_only=True)
    judged = summarise(
        rows,
        store.counts(),
        now_ms=seen_ms + 3_600_000,
        expected_silence_s=read_silences(address),
    )
    store.close()
    assert [one.condition for one in judged.devices] == [Condition.ONLINE, Condition.SILENT]
    assert read_silences(str(tmp_path / "none.db")) == {}


def test_the_running_server_judges_silence_by_the_registry(
    serve: Callable[..., object], device: Callable[..., SimulatedDevice], fleet_command: Run
) -> None:
    server = serve("--silent-after", "1")
    fleet_command("registry", "device", "lab/sleeper", "--set", "expected_silence_s=3600")
    for name in ("sleeper", "other"):
        device(name, port=server.mqtt_port).introduce()  # type: ignore[attr-defined]
    from fleet.real_parts import wait_until

    def conditions() -> dict[str, str]:
        return {one["device"]: one["condition"] for one in server.fleet()["devices"]}  # type: ignore[attr-defined]

    wait_until(
        lambda: conditions() == {"sleeper": "online", "other": "silent"}, "only the other one is silent"
    )


def test_a_rollout_that_somebody_changed_meanwhile_is_not_overwritten(address: str) -> None:
    store = open_steering(address)
    plan = Plan(target="m.tflite", sha256="a" * 64, stages=(Stage(percent=100.0),))
    assert store.save(Rollout(id="r-1", created_ms=1, plan=plan))
    (mine,) = (yours,) = store.rollouts()
    progress = DeviceProgress(group="g", device="d")
    assert store.save(mine, [progress], [Decision(at_ms=1, what="told")])
    assert not store.save(yours, [progress], [Decision(at_ms=2, what="lost")])
    assert [one.what for one in store.history("r-1")] == ["told"]
    assert store.progress("r-1") == {progress.address: progress}
    assert (store.rollouts()[0].phase, store.rollouts()[0].version) == (Phase.RUNNING, 2)
    store.close()


def test_entries_and_rollouts_come_in_one_order_whichever_store_keeps_them(address: str) -> None:
    store = open_steering(address)
    names = ["b", "B", "a-1", "a_1", "ä", "a"]
    store.put([DeviceEntry(group="g", device=name) for name in names])
    assert [one.device for one in store.entries()] == sorted(names)
    plan = Plan(target="m.tflite", sha256="a" * 64, stages=(Stage(percent=100.0),))
    for number in (3, 1, 2):  # of one millisecond: as they were begun
        store.save(Rollout(id=f"r-{number}", created_ms=1, plan=plan))
    assert [one.id for one in store.rollouts()] == ["r-3", "r-1", "r-2"]
    assert not store.save(Rollout(id="r-4", created_ms=2, plan=plan), beside=2), "there are three"
    assert store.save(Rollout(id="r-4", created_ms=2, plan=plan), beside=3)
    store.close()


def test_two_that_begin_a_rollout_at_once_do_not_both_get_it(address: str) -> None:
    stores = [open_steering(address) for _ in range(4)]
    plan = Plan(target="m.tflite", sha256="a" * 64, stages=(Stage(percent=100.0),))

    def attempt(store: KeptSteering) -> str:
        try:
            return begin(store, plan).id
        except BadRollout as error:
            return str(error)

    with ThreadPoolExecutor(len(stores)) as pool:
        said = list(pool.map(attempt, stores))
    assert len(stores[0].rollouts()) == 1
    assert sum("is running for the same devices" in one for one in said) == 3
    for store in stores:
        store.close()


def test_what_is_no_fleet_store_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("no database, certainly not one")
    with pytest.raises(StoreUnusable):
        SqliteSteering(tmp_path / "x.db")
    with pytest.raises(StoreUnusable, match="no such file"):
        SqliteSteering(tmp_path / "y.db", create=False)
    (tmp_path / "z.db").touch()
    with pytest.raises(StoreUnusable, match="an empty file"):
        SqliteSteering(tmp_path / "z.db")
    with pytest.raises(StoreUnusable, match="a folder"):
        SqliteSteering(tmp_path, create=False)


def test_a_look_at_a_misspelt_store_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="no such file"):
        change_device(str(tmp_path / "y.db"), "shop/cam-1", [], remove=False, as_json=False)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"group,device\n\xff,a\n")
    with pytest.raises(BadEntry, match="byte 13 is not UTF-8"):
        read_entries(tmp_path / "x.csv")
