"""The published attacks on update systems (TUF specification, section 1.5.2), each against a real repository.

What is forged is forged by somebody who may write into the repository, and in some tests holds stolen keys.
"""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bsdiff4
import pytest
from device_agent.update_parts import TARGET, Owner, Server, good_model
from tuf.api.metadata import Metadata, TargetFile

from edgewise.testing import tiny_card, write_tiny_model
from edgewise_agent.errors import RepositoryRefused, RepositoryUnreachable
from edgewise_agent.updates import transport as transport_module
from edgewise_agent.updates.repository import Repository
from edgewise_agent.updates.transport import Transport, find_places, is_web
from edgewise_fleet.publishing import PublishedRepository

Open = Callable[..., Repository]


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    made = Owner(tmp_path / "owner")
    made.publish(good_model(tmp_path / "one.tflite", "one"))
    return made


@pytest.fixture
def open_repository(owner: Owner, tmp_path: Path) -> Open:
    """As a device opens it, with its memory of earlier times."""
    root = tmp_path / "root.json"
    shutil.copy(owner.repository.root_file, root)

    def make(place: str | Path | None = None, **options: Any) -> Repository:
        return Repository(
            str(place or owner.place),
            root_file=root,
            folder=tmp_path / "device",
            transport=Transport(**options),
        )

    return make


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_the_owners_word_is_taken(owner: Owner, open_repository: Open, tmp_path: Path) -> None:
    repository = open_repository()
    offer = repository.find(TARGET)
    assert offer.version == 1
    assert repository.download(offer).read_bytes() == (tmp_path / "one.tflite").read_bytes()


def test_arbitrary_software_is_refused_and_nothing_of_it_stays(
    owner: Owner, open_repository: Open, tmp_path: Path
) -> None:
    (file,) = (owner.place / "targets/models").iterdir()
    file.write_bytes(bytes(len(file.read_bytes())))
    repository = open_repository()
    offer = repository.find(TARGET)
    with pytest.raises(RepositoryRefused, match="hash"):
        repository.download(offer)
    assert not list((tmp_path / "device/parts").iterdir())


@pytest.mark.parametrize("role", ["timestamp.json", "2.snapshot.json", "2.targets.json"])
def test_edited_metadata_is_refused(owner: Owner, open_repository: Open, role: str) -> None:
    def extend(document: dict[str, Any]) -> None:
        document["signed"]["expires"] = "2999-01-01T00:00:00Z"

    edit(owner.place / "metadata" / role, extend)
    with pytest.raises(RepositoryRefused, match="signed by 0/1 keys"):
        open_repository().find(TARGET)


def test_a_repository_of_another_owner_is_refused(open_repository: Open, tmp_path: Path) -> None:
    stranger = Owner(tmp_path / "stranger")
    stranger.publish(good_model(tmp_path / "evil.tflite", "evil"))
    with pytest.raises(RepositoryRefused, match="signed by 0/1 keys"):
        open_repository(stranger.place).find(TARGET)


def test_a_model_signed_with_the_online_keys_only_is_refused(
    owner: Owner, open_repository: Open, tmp_path: Path
) -> None:
    """Who steals snapshot and timestamp keys cannot publish."""
    thief = Owner(tmp_path / "thief")
    for role in ("snapshot", "timestamp"):
        shutil.copy(owner.repository.keys / f"{role}.key", thief.repository.keys / f"{role}.key")
    shutil.rmtree(thief.place / "metadata")
    shutil.copytree(owner.place / "metadata", thief.place / "metadata")
    thief.publish(good_model(tmp_path / "evil.tflite", "evil"))
    with pytest.raises(RepositoryRefused, match="targets was signed by 0/1 keys"):
        open_repository(thief.place).find(TARGET)


def test_rollback_to_older_metadata_is_refused(owner: Owner, open_repository: Open, tmp_path: Path) -> None:
    shutil.copytree(owner.place, tmp_path / "old")
    owner.publish(good_model(tmp_path / "two.tflite", "two"))
    assert open_repository().find(TARGET).version == 2
    with pytest.raises(RepositoryRefused, match=r"(?s)timestamp.*version"):
        open_repository(tmp_path / "old").find(TARGET)
    assert open_repository().find(TARGET).version == 2


def test_a_fast_forward_is_loud_and_a_new_key_overcomes_it(owner: Owner, open_repository: Open) -> None:
    """A thief of the timestamp's key signs version 10**6, and devices then refuse the owner's lower ones."""
    before = (owner.place / "metadata/timestamp.json").read_bytes()
    metadata: Metadata[Any] = Metadata.from_bytes(before)
    metadata.signed.version = 10**6
    (owner.place / "metadata/timestamp.json").write_bytes(owner.repository._signed(metadata, "timestamp"))
    assert open_repository().find(TARGET).version == 1
    (owner.place / "metadata/timestamp.json").write_bytes(before)
    with pytest.raises(RepositoryRefused, match="1000000"):
        open_repository().find(TARGET)
    owner.repository.rotate("timestamp")
    assert open_repository().find(TARGET).version == 1


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp"])
def test_devices_follow_to_new_keys(owner: Owner, open_repository: Open, tmp_path: Path, role: str) -> None:
    assert open_repository().find(TARGET).version == 1
    owner.repository.rotate(role)
    owner.publish(good_model(tmp_path / "two.tflite", "two"))
    assert open_repository().find(TARGET).version == 2


def test_a_frozen_repository_is_called_so(tmp_path: Path) -> None:
    owner = Owner(tmp_path / "frozen", {"root": 1, "targets": 1, "snapshot": 1, "timestamp": -1})
    with pytest.raises(RepositoryRefused, match=r"(?s)expired.*its owner must sign it anew"):
        Repository(
            str(owner.place),
            root_file=owner.repository.root_file,
            folder=tmp_path / "device",
            transport=Transport(),
        ).find(TARGET)


def test_renewing_thaws_it_with_the_online_keys_alone(tmp_path: Path) -> None:
    frozen = Owner(tmp_path / "frozen", {"root": 1, "targets": 1, "snapshot": 1, "timestamp": -1})
    for role in ("root", "targets"):
        (frozen.repository.keys / f"{role}.key").unlink()
    PublishedRepository(frozen.place, frozen.repository.keys).renew()
    repository = Repository(
        str(frozen.place),
        root_file=frozen.repository.root_file,
        folder=tmp_path / "device",
        transport=Transport(),
    )
    with pytest.raises(RepositoryRefused, match="no target"):
        repository.find(TARGET)


def test_mix_and_match_of_two_releases_is_refused(
    owner: Owner, open_repository: Open, tmp_path: Path
) -> None:
    """New timestamp and snapshot with the targets of before, under the new name."""
    owner.publish(good_model(tmp_path / "two.tflite", "two"))
    metadata = owner.place / "metadata"
    shutil.copy(metadata / "2.targets.json", metadata / "3.targets.json")
    with pytest.raises(RepositoryRefused, match="Expected targets v3, got v2"):
        open_repository().find(TARGET)


def test_an_older_snapshot_under_a_new_timestamp_is_refused(
    owner: Owner, open_repository: Open, tmp_path: Path
) -> None:
    owner.publish(good_model(tmp_path / "two.tflite", "two"))
    metadata = owner.place / "metadata"
    shutil.copy(metadata / "2.snapshot.json", metadata / "3.snapshot.json")
    with pytest.raises(RepositoryRefused, match=r"(?i)version"):
        open_repository().find(TARGET)


@pytest.mark.parametrize("file", ["timestamp.json", "2.snapshot.json", "2.targets.json", "2.root.json"])
def test_endless_metadata_is_read_no_further_than_its_limit(
    owner: Owner, open_repository: Open, file: str
) -> None:
    (owner.place / "metadata" / file).touch()
    with Server(owner.place) as server:
        server.endless = file
        with pytest.raises(RepositoryRefused, match="exceeding the maximum allowed length"):
            open_repository(server.url).find(TARGET)


def test_an_endless_model_is_read_no_further_than_what_was_signed(
    owner: Owner, open_repository: Open, tmp_path: Path
) -> None:
    with Server(owner.place) as server:
        server.endless = "door.tflite"
        repository = open_repository(server.url)
        offer = repository.find(TARGET)
        with pytest.raises(RepositoryRefused, match=rf"beyond the {offer.size_bytes} bytes signed for it"):
            repository.download(offer)
    assert sum(file.stat().st_size for file in (tmp_path / "device/parts").iterdir()) == 0


def test_a_truncated_model_is_waited_for(owner: Owner, open_repository: Open) -> None:
    (file,) = (owner.place / "targets/models").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:1000])
    repository = open_repository()
    offer = repository.find(TARGET)
    with pytest.raises(RepositoryUnreachable, match=rf"ended after 1000 of {offer.size_bytes} bytes"):
        repository.download(offer)
    file.write_bytes(whole)
    repository = open_repository()
    assert repository.download(repository.find(TARGET)).read_bytes() == whole


def test_a_damaged_unfinished_download_is_thrown_away_and_begun_anew(
    owner: Owner, open_repository: Open, tmp_path: Path
) -> None:
    repository = open_repository()
    offer = repository.find(TARGET)
    part = tmp_path / f"device/parts/{offer.sha256}.part"
    part.parent.mkdir()
    for rubbish in (b"x" * 500, b"x" * offer.size_bytes):
        part.write_bytes(rubbish)
        with pytest.raises(RepositoryRefused, match="hash"):
            repository.download(offer)
    part.write_bytes(b"x" * (offer.size_bytes + 1))
    assert repository.download(offer).read_bytes() == (tmp_path / "one.tflite").read_bytes()


def test_a_server_that_drips_is_given_up(owner: Owner, open_repository: Open, monkeypatch: Any) -> None:
    """Slow retrieval: here every speed is too slow."""
    monkeypatch.setattr(transport_module, "SLOWEST_BYTES_PER_S", 10**12)
    with Server(owner.place) as server, pytest.raises(RepositoryUnreachable, match="too slow to go on"):
        open_repository(server.url, patience_s=-1.0).find(TARGET)


def test_new_root_keys_are_followed_only_when_the_old_ones_signed_them(
    owner: Owner, open_repository: Open, tmp_path: Path
) -> None:
    open_repository().find(TARGET)
    stranger = Owner(tmp_path / "stranger")
    forged: Metadata[Any] = Metadata.from_file(str(stranger.repository.root_file))
    forged.signed.version = 2
    (owner.place / "metadata/2.root.json").write_bytes(stranger.repository._signed(forged, "root"))
    with pytest.raises(RepositoryRefused, match="root was signed by 0/1 keys"):
        open_repository().find(TARGET)


@pytest.mark.parametrize("rubbish", [b"", b"{", b"[]", b"\xff" * 100, b'{"signed": {}}', b"[" * 10_000])
def test_rubbish_in_place_of_metadata_is_refused(owner: Owner, open_repository: Open, rubbish: bytes) -> None:
    (owner.place / "metadata/timestamp.json").write_bytes(rubbish)
    with pytest.raises((RepositoryRefused, RepositoryUnreachable)):
        open_repository().find(TARGET)


@pytest.mark.parametrize("name", ["timestamp.json", "snapshot.json", "targets.json", "root.json"])
def test_what_a_pulled_plug_left_of_the_devices_own_metadata_is_no_obstacle(
    owner: Owner, open_repository: Open, tmp_path: Path, name: str
) -> None:
    open_repository().find(TARGET)
    for rubbish in (b"", b"\0" * 300):
        (tmp_path / "device/tuf" / name).write_bytes(rubbish)
        (tmp_path / "device/tuf/tmpabcdef").write_bytes(b"half")
        assert open_repository().find(TARGET).version == 1
    assert not list((tmp_path / "device/tuf").glob("tmp*"))


def test_a_version_that_is_no_number_is_refused(owner: Owner, open_repository: Open, tmp_path: Path) -> None:
    owner.publish(good_model(tmp_path / "two.tflite", "two"), version=-1)
    with pytest.raises(RepositoryRefused, match="expected a whole number"):
        open_repository().find(TARGET)


def test_a_missing_root_file_is_named(owner: Owner, tmp_path: Path) -> None:
    with pytest.raises(RepositoryUnreachable, match=r"updates\.root_file .*none\.json: No such file"):
        Repository(
            str(owner.place), root_file=tmp_path / "none.json", folder=tmp_path / "d", transport=Transport()
        )


def test_a_disk_is_looked_for_where_it_is_mounted(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "a stick/edgewise/metadata").mkdir(parents=True)
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"proc /proc proc rw 0 0\n/dev/none1 {str(tmp_path / 'a stick').replace(' ', chr(92) + '040')} vfat rw 0 0\n"
    )
    monkeypatch.setattr(transport_module, "MOUNTS", mounts)
    assert find_places(("/dev/none1",)) == [str(tmp_path / "a stick/edgewise")]
    assert find_places(("/dev/none2", str(tmp_path / "nowhere/*"))) == []
    assert find_places(("https://host/x/",)) == ["https://host/x"]
    assert is_web("http://a") and not is_web("/a")


def test_a_delta_is_fetched_where_it_pays_and_gives_the_very_file(
    owner: Owner, open_repository: Open, tmp_path: Path
) -> None:
    owner.publish(large(tmp_path / "two.tflite", "two"))
    three = owner.publish(large(tmp_path / "three.tflite", "three"))
    with Server(owner.place) as server:
        repository = open_repository(server.url)
        offer = repository.find(TARGET)
        made = repository.download(offer, base=tmp_path / "two.tflite")
        assert made.read_bytes() == (tmp_path / "three.tflite").read_bytes()
        fetched = [path for path, _ in server.requests if "targets/" in path]
    assert len(fetched) == 1 and fetched[0].endswith(".bsdiff")
    assert (owner.place / fetched[0].lstrip("/")).stat().st_size < three.size_bytes / 10
    assert not list(tmp_path.glob("device/parts/*")) or made.parent == tmp_path / "device/parts"


@pytest.mark.parametrize("spoil", ["another base", "damaged", "truncated", "gone", "of another file"])
def test_a_delta_that_does_not_work_out_gives_way_to_the_whole_file(
    owner: Owner, open_repository: Open, tmp_path: Path, spoil: str
) -> None:
    two = owner.publish(large(tmp_path / "two.tflite", "two"))
    owner.publish(large(tmp_path / "three.tflite", "three"))
    (delta,) = owner.place.glob(f"targets/deltas/**/*.{two.sha256[:16]}-*.bsdiff")
    base = tmp_path / ("one.tflite" if spoil == "another base" else "two.tflite")
    if spoil == "damaged":
        delta.write_bytes(bytes(delta.stat().st_size))
    elif spoil == "truncated":
        delta.write_bytes(delta.read_bytes()[:20])
    elif spoil == "gone":
        delta.unlink()
    elif spoil == "of another file":  # signed by a careless owner
        repository = owner.repository
        metadata = repository._latest("targets")
        (name,) = [name for name in metadata.signed.targets if name.startswith("deltas/")]
        wrong = bsdiff4.diff((tmp_path / "two.tflite").read_bytes(), (tmp_path / "two.tflite").read_bytes())
        info = TargetFile.from_data(name, wrong, ["sha256"])
        metadata.signed.targets[name] = info
        (delta.parent / f"{info.hashes['sha256']}.{Path(name).name}").write_bytes(wrong)
        repository._release_targets(metadata)
    opened = open_repository()
    made = opened.download(opened.find(TARGET), base=base)
    assert made.read_bytes() == (tmp_path / "three.tflite").read_bytes()


def test_a_delta_that_does_not_pay_is_not_published(owner: Owner, tmp_path: Path) -> None:
    for number in range(2):
        path = tmp_path / f"noise-{number}.tflite"
        path.write_bytes(random.Random(number).randbytes(10_000))
        owner.publish(path, target="models/noise.tflite")
    assert not list(owner.place.glob("targets/deltas/**/*.bsdiff"))


def large(path: Path, name: str) -> Path:
    """The same weights under another name, as after another calibration."""
    return write_tiny_model(path, card=tiny_card(name=name, size_wh=(64, 64)), size_wh=(64, 64))
