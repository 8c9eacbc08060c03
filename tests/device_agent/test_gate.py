"""The gate: nothing leaves but what is allowed, redacted and on record."""

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

import edgewise
from edgewise.model_card import ImagePreprocess
from edgewise_agent.errors import RedactionFailed
from edgewise_agent.privacy import (
    AuditLog,
    Destination,
    FaceBlur,
    Gate,
    Names,
    PrivacySettings,
    RedactedPayload,
    Refusal,
    answer_snapshot_request,
    destination_of,
    erase_snapshots,
    privacy_problems,
    read_audit,
    verify_audit,
)
from edgewise_agent.snapshots import Encoded, SnapshotSettings, SnapshotStore, encode_input
from edgewise_messages import decode_notice, encode_notice, join_snapshot
from edgewise_messages.snapshots import SnapshotChunk

BROKER = "mqtts://broker.example:8883"
HERE = Destination(BROKER)
TEXT = Encoded("text/plain", b"a reading")
YUNET_INPUT = ImagePreprocess((640, 640), "letterbox", colour="bgr")


def gate(folder: Path, *, blur: FaceBlur | None = None, **settings: Any) -> Gate:
    chosen = PrivacySettings(**{"raw_leaves": True, "allowed_brokers": (BROKER,), **settings})
    return Gate(chosen, AuditLog(folder, max_bytes=10**6), blur=blur, now_ms=lambda: 7)


def reason(answer: RedactedPayload | Refusal) -> str:
    assert isinstance(answer, Refusal)
    return answer.reason


@pytest.fixture(scope="module")
def blur(yunet: Path) -> Any:
    found = FaceBlur(yunet)
    yield found
    found.close()


def test_by_default_nothing_leaves(tmp_path: Path) -> None:
    closed = Gate(PrivacySettings(), AuditLog(tmp_path, max_bytes=10**6))
    assert "raw_leaves is false" in reason(closed.release(TEXT, to=HERE, why="test"))
    assert list(read_audit(tmp_path)) == []


@pytest.mark.parametrize(
    ("settings", "to", "leaves"),
    [
        ({}, Destination("mqtts://broker.example"), True),
        ({}, Destination("MQTTS://Broker.Example:8883"), True),
        ({}, Destination("mqtt://broker.example:8883"), False),
        ({}, Destination("mqtts://broker.example.evil.com"), False),
        ({}, Destination("mqtts://user@broker.example:8884"), False),
        ({"allowed_brokers": (), "allowed_regions": ("eu",)}, Destination("mqtts://x", "eu"), True),
        ({"allowed_brokers": (), "allowed_regions": ("eu",)}, Destination("mqtts://x", "us"), False),
        ({"allowed_brokers": (), "allowed_regions": ("eu",)}, Destination("mqtts://x"), False),
        ({"allowed_brokers": ()}, HERE, False),
    ],
)
def test_inputs_go_to_listed_places_only(
    tmp_path: Path, settings: dict[str, Any], to: Destination, leaves: bool
) -> None:
    answer = gate(tmp_path, **settings).release(TEXT, to=to, why="test")
    assert isinstance(answer, RedactedPayload) is leaves
    assert len(list(read_audit(tmp_path))) == leaves


def test_a_region_is_looked_up_by_url() -> None:
    settings = PrivacySettings(regions={"mqtt://a:1883": "eu"})
    assert destination_of("MQTT://A", settings).region == "eu"
    assert destination_of("mqtt://b", settings).region == ""


def test_what_leaves_is_on_record_first_with_its_digest(tmp_path: Path) -> None:
    answer = gate(tmp_path).release(TEXT, to=HERE, why="command 7", snapshot="s-1")
    assert isinstance(answer, RedactedPayload) and answer.data == TEXT.data
    (line,) = read_audit(tmp_path)
    assert line | {"prev": ""} == {
        "n": 1, "prev": "", "ts_ms": 7, "to": BROKER, "region": "", "why": "command 7", "snapshot": "s-1",
        "media": "text/plain", "size_bytes": 9, "sha256": answer.sha256, "faces_blurred": 0,
        "redact": ["faces", "audio"],
    }  # fmt: skip
    assert verify_audit(tmp_path, expected=answer.audit).problems == ()


def test_without_a_record_nothing_leaves(tmp_path: Path) -> None:
    closed = gate(tmp_path / "audit")
    shutil.rmtree(tmp_path / "audit")
    (tmp_path / "audit").write_text("no folder any more")
    assert "cannot be put on record" in reason(closed.release(TEXT, to=HERE, why="test"))
    settings = PrivacySettings(raw_leaves=True, allowed_brokers=(BROKER,))
    assert "no audit log" in reason(Gate(settings, None).release(TEXT, to=HERE, why="test"))


def test_sound_stays_while_it_is_to_be_redacted(tmp_path: Path) -> None:
    sound = Encoded("audio/wav", b"RIFF")
    assert "sound does not leave" in reason(gate(tmp_path).release(sound, to=HERE, why="test"))
    assert isinstance(gate(tmp_path, redact=("faces",)).release(sound, to=HERE, why="test"), RedactedPayload)


def test_without_a_face_detector_no_picture_leaves(tmp_path: Path, astronaut_photo: Path) -> None:
    given = encode_input(astronaut_photo)
    assert "no privacy.face_model" in reason(gate(tmp_path).release(given, to=HERE, why="test"))
    assert list(read_audit(tmp_path)) == []


def test_a_broken_picture_stays(tmp_path: Path, blur: FaceBlur) -> None:
    for data in (b"", b"not a picture", b"\xff\xd8\xff\xe0" + bytes(100)):
        answer = gate(tmp_path, blur=blur).release(Encoded("image/jpeg", data), to=HERE, why="test")
        assert "cannot be redacted" in reason(answer)


def test_a_detector_that_fails_keeps_the_picture_here(tmp_path: Path, astronaut_photo: Path) -> None:
    class Fails:
        def blur(self, picture: Image.Image) -> tuple[Image.Image, int]:
            raise RedactionFailed("no")

    class Breaks:
        def blur(self, picture: Image.Image) -> tuple[Image.Image, int]:
            raise ZeroDivisionError

    settings = PrivacySettings(raw_leaves=True, allowed_brokers=(BROKER,))
    for fake in (Fails(), Breaks()):
        closed = Gate(settings, AuditLog(tmp_path, max_bytes=10**6), blur=fake)
        answer = closed.release(encode_input(astronaut_photo), to=HERE, why="test")
        assert "cannot be redacted" in reason(answer)
    assert list(read_audit(tmp_path)) == []


def scenes(astronaut: Path) -> dict[str, Image.Image]:
    """Each with one face or with twelve."""
    photo = Image.open(astronaut).convert("RGB")
    face = photo.crop((120, 0, 340, 220))
    crowd = Image.new("RGB", (900, 600), (120, 130, 110))
    for place in range(12):
        side = 60 + 12 * place
        crowd.paste(face.resize((side, side)), ((place % 4) * 220, (place // 4) * 200))
    return {
        "as it is": photo,
        "on its side": photo.rotate(90),
        "upside down": photo.rotate(180),
        "small": photo.resize((200, 200)),
        "dark": photo.point(lambda value: value * 0.2),
        "out of focus": photo.filter(ImageFilter.GaussianBlur(4)),
        "tilted": photo.rotate(40),
        "crowd": crowd,
    }


@pytest.mark.parametrize(
    "name", ["as it is", "on its side", "upside down", "small", "dark", "out of focus", "tilted", "crowd"]
)
def test_no_detector_finds_a_face_in_what_leaves(
    tmp_path: Path, blur: FaceBlur, yunet: Path, faces: Path, astronaut_photo: Path, name: str
) -> None:
    picture = scenes(astronaut_photo)[name]
    answer = gate(tmp_path, blur=blur).release(encode_input(np.asarray(picture)), to=HERE, why="test")
    assert isinstance(answer, RedactedPayload) and answer.faces >= (12 if name == "crowd" else 1)
    left = Image.open(io.BytesIO(answer.data))
    assert left.size == picture.size
    # BlazeFace gives the helmet in the corner, which is no face, 0.64.
    other = ImagePreprocess((128, 128), "letterbox", mean=(127.5,), std=(127.5,))
    with (
        edgewise.load(yunet, preprocess=YUNET_INPUT, head="yunet", score_threshold=0.6) as first,
        edgewise.load(faces / "face_detection_front.tflite", preprocess=other, score_threshold=0.7) as second,
    ):
        for turned in (left.rotate(angle, expand=True) for angle in (0, 90, 180, 270)):
            assert len(first.predict(turned)) == 0
            assert len(second.predict(turned)) == 0


def test_a_covered_face_keeps_a_few_colours_only(blur: FaceBlur, astronaut_photo: Path) -> None:
    picture, _ = blur.blur(Image.open(astronaut_photo))
    face = np.asarray(picture)[75:150, 185:265].reshape(-1, 3)
    assert len(np.unique(face, axis=0)) <= 16


def test_what_is_no_face_stays_as_it_was(blur: FaceBlur, coffee_photo: Path) -> None:
    before = np.asarray(Image.open(coffee_photo).convert("RGB"), np.int16)
    after = np.asarray(blur.blur(Image.open(coffee_photo))[0], np.int16)
    assert (np.abs(after - before).max(axis=2) == 0).mean() > 0.5


def test_metadata_does_not_leave(tmp_path: Path, coffee_photo: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "home of the owner"
    stream = io.BytesIO()
    Image.open(coffee_photo).convert("RGB").save(stream, "JPEG", exif=exif, comment=b"home of the owner")
    assert b"home of the owner" in stream.getvalue()
    given = Encoded("image/jpeg", stream.getvalue())
    answer = gate(tmp_path, redact=()).release(given, to=HERE, why="test")
    assert isinstance(answer, RedactedPayload)
    assert b"home of the owner" not in answer.data and b"Exif" not in answer.data


def test_a_file_that_is_no_face_detector_is_refused(
    nudenet: Path, efficientnet_lite0: Path, tmp_path: Path
) -> None:
    for path in (nudenet, efficientnet_lite0, tmp_path / "none.onnx"):
        with pytest.raises(RedactionFailed, match=r"privacy\.face_model .*: got no face detector"):
            FaceBlur(path)


def test_a_request_is_answered_with_parts_that_fit_into_messages(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "snapshots", SnapshotSettings(min_free_mb=0))
    big = Encoded("text/plain", bytes(range(256)) * 1200)
    store.keep(TEXT, rule="cat", ts_ms=1_795_000_000_000)
    store.keep(big, rule="dog", ts_ms=1_795_000_000_001)
    door = gate(tmp_path)
    answer = answer_snapshot_request({"rule": "dog"}, request="c1", store=store, gate=door, to=HERE)
    assert not isinstance(answer, Refusal)
    sent = [encode_notice(chunk) for chunk in answer.chunks]
    assert len(sent) == 3 and all(len(one) < 256 * 1024 for one in sent)
    assert join_snapshot(decode_notice(one, SnapshotChunk) for one in reversed(sent)) == big.data
    assert f"audit record 1 {answer.audit.sha256}" in answer.message
    latest = answer_snapshot_request({}, request="c2", store=store, gate=door, to=HERE)
    assert not isinstance(latest, Refusal) and latest.chunks[0].rule == "dog"
    for arguments, says in (
        ({"id": "../../etc/passwd"}, "no snapshot '../../etc/passwd'"),
        ({"rule": "fox"}, "no snapshot of rule 'fox'"),
        ({"path": "/etc/passwd"}, "got the argument 'path'"),
    ):
        refused = answer_snapshot_request(arguments, request="c3", store=store, gate=door, to=HERE)
        assert isinstance(refused, Refusal) and says in refused.reason


def test_erasing_by_command_leaves_the_audit_log(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "snapshots", SnapshotSettings(min_free_mb=0))
    store.keep(TEXT, rule="cat", ts_ms=1_795_000_000_000)
    door = gate(tmp_path)
    answer_snapshot_request({}, request="c1", store=store, gate=door, to=HERE)
    assert erase_snapshots({}, store=store).startswith("1 snapshots erased")
    assert len(store) == 0 and len(list(read_audit(tmp_path))) == 1
    refused = answer_snapshot_request({}, request="c2", store=store, gate=door, to=HERE)
    assert isinstance(refused, Refusal) and "no snapshot at all" in refused.reason
    with pytest.raises(ValueError, match="expected none"):
        erase_snapshots({"rule": "cat"}, store=store)


def test_names_are_withheld_also_from_messages() -> None:
    path = Path("/home/ann/photos/ann-in-garden.jpg")
    told = Names(names_leave=False)
    assert told.of(path) == "(name withheld)"
    text = f"{path}: broken picture; ann-in-garden.jpg has no end"
    assert "ann" not in told.without(text, [path])
    assert Names(names_leave=True).without(text, [path]) == text


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"raw_leaves": True, "redact": ()}, ["privacy.raw_leaves"]),
        ({"raw_leaves": True, "allowed_brokers": (BROKER,)}, ["privacy.face_model"]),
        ({"allowed_regions": ("eu",)}, ["privacy.allowed_regions"]),
        ({"allowed_regions": ("eu",), "regions": {BROKER: "us"}}, ["privacy.allowed_regions"]),
        ({"allowed_regions": ("eu",), "regions": {BROKER: "eu"}}, []),
        ({"allowed_brokers": ("broker.example",)}, ["privacy"]),
        ({}, []),
    ],
)
def test_contradictions_are_found(settings: dict[str, Any], where: list[str]) -> None:
    found = privacy_problems(PrivacySettings(**settings), broker_urls=[BROKER])
    assert [problem.where for problem in found] == where
