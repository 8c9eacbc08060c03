"""Snapshots on the disk: whole or not there, within limits, erased when asked."""

import io
import json
import os
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewise.streams import Block, Frame, SensorBlock
from edgewise_agent.snapshots import Encoded, SnapshotSettings, SnapshotStore, encode_input

NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000
KILOBYTE = Encoded("text/plain", b"x" * 1000)


def store(folder: Path, *, now_ms: int = NOW_MS, **settings: float) -> SnapshotStore:
    chosen = SnapshotSettings(**{"min_free_mb": 0, **settings})  # type: ignore[arg-type]  # keywords by name, checked when called
    return SnapshotStore(folder / "snapshots", chosen, now_ms=lambda: now_ms)


def test_a_snapshot_is_kept_with_what_is_known_of_it(tmp_path: Path) -> None:
    kept = store(tmp_path)
    one = kept.keep(
        KILOBYTE, rule="cat", ts_ms=NOW_MS, details={"result": {"label": "cat"}, "input": "a.jpg"}
    )
    assert one is not None
    again = store(tmp_path).get(one.id)
    assert again == one
    assert again is not None and again.encoded() == KILOBYTE
    assert json.loads(one.path.with_suffix(".json").read_text()) == {
        "id": one.id, "ts_ms": NOW_MS, "rule": "cat", "media": "text/plain", "sha256": one.sha256,
        "result": {"label": "cat"}, "input": "a.jpg",
    }  # fmt: skip


def test_the_oldest_go_for_count_size_and_age(tmp_path: Path) -> None:
    by_count = store(tmp_path / "a", max_count=3)
    for place in range(5):
        by_count.keep(KILOBYTE, rule=f"r{place}", ts_ms=NOW_MS + place)
    assert [one.rule for one in by_count.list()] == ["r2", "r3", "r4"]
    by_size = store(tmp_path / "b", max_mb=1)
    for place in range(4):
        by_size.keep(Encoded("text/plain", b"x" * 400_000), rule=f"r{place}", ts_ms=NOW_MS + place)
    assert [one.rule for one in by_size.list()] == ["r2", "r3"]
    on_disk = sum(path.stat().st_size for path in (tmp_path / "b/snapshots").iterdir())
    assert on_disk == by_size.size_bytes <= 1024 * 1024
    by_age = store(tmp_path / "c", max_age_days=2)
    for days in (3, 1):
        by_age.keep(KILOBYTE, rule=f"r{days}", ts_ms=NOW_MS - days * DAY_MS)
    assert [one.rule for one in by_age.list()] == ["r1"]


def test_what_was_taken_before_the_clock_was_set_is_not_old(tmp_path: Path) -> None:
    store(tmp_path, now_ms=5_000).keep(KILOBYTE, rule="early", ts_ms=5_000)
    assert [one.rule for one in store(tmp_path, max_age_days=1).list()] == ["early"]


def test_what_cannot_be_kept_is_counted_and_raises_nothing(tmp_path: Path) -> None:
    full = store(tmp_path / "a", min_free_mb=1_000_000)
    assert full.keep(KILOBYTE, rule="r", ts_ms=NOW_MS) is None
    assert full.failed == 1 and "min_free_mb is kept free" in full.last_failure
    (tmp_path / "b").mkdir()
    (tmp_path / "b/snapshots").write_text("a file where the folder should be")
    blocked = store(tmp_path / "b")
    assert blocked.keep(KILOBYTE, rule="r", ts_ms=NOW_MS) is None
    assert blocked.failed == 1
    odd = store(tmp_path / "c", max_mb=1)
    assert odd.keep(KILOBYTE, rule="../../evil", ts_ms=NOW_MS) is None
    assert odd.keep(Encoded("text/plain", b"x" * 2_000_000), rule="r", ts_ms=NOW_MS) is None
    assert odd.failed == 2
    assert not (tmp_path / "evil").exists() and len(odd) == 0


def test_on_a_full_disk_nothing_half_written_stays(tmp_path: Path) -> None:
    """A limit on the size of files gives the error that a full disk gives while a file is written."""
    program = f"""
import resource, signal, sys
from pathlib import Path
from edgewise_agent.snapshots import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
kept = SnapshotStore(Path({str(tmp_path)!r}), SnapshotSettings(min_free_mb=0))
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
first = kept.keep(Encoded("text/plain", b"x" * 40_000), rule="r", ts_ms=1)
second = kept.keep(Encoded("text/plain", b"x" * 90_000), rule="r", ts_ms=2)
print(first is not None, second, kept.failed)
"""
    outcome = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert outcome.stdout.split() == ["True", "None", "1"]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("rounds", [3])
def test_a_killed_process_leaves_whole_snapshots_only(tmp_path: Path, rounds: int) -> None:
    program = f"""
from pathlib import Path
from edgewise_agent.snapshots import *
kept = SnapshotStore(Path({str(tmp_path)!r}), SnapshotSettings(min_free_mb=0, max_count=20))
print("on", flush=True)
n = 0
while True:
    n += 1
    assert kept.keep(Encoded("text/plain", bytes([n % 256]) * 300_000), rule="r", ts_ms={NOW_MS} + n)
"""
    for round_ in range(rounds):
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, env={"PYTHONPATH": ":".join(sys.path)}
        )
        assert process.stdout is not None
        with process, process.stdout:
            process.stdout.readline()
            for _ in range(200 + round_):
                if len(list(tmp_path.glob("*.json"))) > 5 + round_:
                    break
                time.sleep(0.01)
            process.kill()
        again = SnapshotStore(tmp_path, SnapshotSettings(min_free_mb=0, max_count=20), now_ms=lambda: NOW_MS)
        assert len(again) > 0
        assert all(len(one.encoded().data) == 300_000 for one in again.list())
        assert len(list(tmp_path.iterdir())) == 2 * len(again)


def test_leftovers_and_foreign_files_are_removed_at_the_start(tmp_path: Path) -> None:
    one = store(tmp_path).keep(KILOBYTE, rule="r", ts_ms=NOW_MS)
    folder = tmp_path / "snapshots"
    (folder / "1795000000000-000009-r.jpg").write_bytes(b"no json")
    (folder / "1795000000000-000010-r.json").write_text('{"media": "text/plain"}')
    (folder / ".x.part").write_bytes(b"half")
    assert [each.id for each in store(tmp_path).list()] == [one.id]  # type: ignore[union-attr]
    assert len(list(folder.iterdir())) == 2


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    ids = [store(tmp_path).keep(KILOBYTE, rule="r", ts_ms=NOW_MS).id for _ in range(3)]  # type: ignore[union-attr]
    assert len(set(ids)) == 3


def test_erasing_overwrites_and_removes_everything(tmp_path: Path) -> None:
    kept = store(tmp_path)
    one = kept.keep(Encoded("text/plain", b"secret" * 1000), rule="r", ts_ms=NOW_MS)
    assert one is not None
    os.link(one.path, tmp_path / "another name")  # shows what became of the bytes
    erased = kept.erase_all()
    assert (erased.count, erased.failed, len(kept)) == (1, 0, 0)
    assert list((tmp_path / "snapshots").iterdir()) == []
    assert (tmp_path / "another name").read_bytes() == bytes(6000)


def test_a_file_that_was_changed_is_not_given_out(tmp_path: Path) -> None:
    one = store(tmp_path).keep(KILOBYTE, rule="r", ts_ms=NOW_MS)
    assert one is not None
    one.path.write_bytes(b"y" * 1000)
    with pytest.raises(ValueError, match="has changed since it was kept"):
        one.encoded()


def test_every_input_becomes_a_file_that_others_read(cat_photo: Path) -> None:
    image = np.full((20, 30, 3), 128, np.uint8)
    for given in (image, Frame(image, 0, 0.0, "camera")):
        assert Image.open(io.BytesIO(encode_input(given).data)).size == (30, 20)
    assert encode_input(Frame(cat_photo, 0, 0.0, "folder")).data == cat_photo.read_bytes()
    sound = encode_input(Block(np.array([0.0, 1.0, -1.0, 9.0], np.float32), 16_000, 0, 0.0, "microphone"))
    with wave.open(io.BytesIO(sound.data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (16_000, 1, 4)
        assert np.frombuffer(file.readframes(4), "<i2").tolist() == [0, 32767, -32767, 32767]
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    series = np.load(io.BytesIO(encode_input(SensorBlock(rows, 50.0, 0, 0.0, "sensor")).data))
    assert series["rate_hz"] == 50.0 and np.array_equal(series["samples"], rows)
    assert encode_input("a text").data == b"a text"
    with pytest.raises(ValueError, match="got dict, expected an input of a source"):
        encode_input({})
