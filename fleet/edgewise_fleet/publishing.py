"""The update repository (TUF), as its owner sees it: the only place in the fleet that knows python-tuf.

Four roles sign. ``root`` says whose keys count, ``targets`` which models there are: their keys can lie offline, they
are needed only to publish. ``snapshot`` says what belongs together and ``timestamp`` that it is fresh: these are
signed anew all the time (`PublishedRepository.renew`), by a machine that need not have the other two. Who steals
only them can show devices nothing that was not published.

``<repository>/metadata/*.json`` and ``<repository>/targets/...`` are what devices read, from the folder, a web server
or a stick; ``timestamp.json`` is written last, so that a device sees the old state or the new one.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from edgewise_fleet.errors import FleetError, RepositoryProblem
from edgewise_fleet.keys import make_key, read_key
from edgewise_fleet.model_delta import make_delta

ROLES = (Root.type, Targets.type, Snapshot.type, Timestamp.type)
SUFFIXES = (".tflite", ".onnx")
DELTAS = "deltas"
DELTA_LIMIT_BYTES = 128 << 20
"""Making a delta of larger files takes more memory than a desk has."""
EXPIRY_DAYS: Mapping[str, int] = {Root.type: 3650, Targets.type: 365, Snapshot.type: 30, Timestamp.type: 7}
"""After that without a `renew` devices say that the repository is frozen."""


@dataclass(frozen=True)
class Published:
    """What a publish did."""

    target: str
    version: int
    sha256: str
    size_bytes: int
    root_file: Path
    """What a new device is given once, as updates.root_file."""


@dataclass(frozen=True)
class PublishedRepository:
    """A repository's folder and the folder with its keys, one file for each role."""

    folder: Path
    keys: Path
    expiry_days: Mapping[str, int] = field(default_factory=lambda: dict(EXPIRY_DAYS))

    @property
    def metadata(self) -> Path:
        """Where the signed metadata lies."""
        return self.folder / "metadata"

    @property
    def root_file(self) -> Path:
        """The first root, for new devices."""
        return self.metadata / "1.root.json"

    def create(self) -> None:
        """Make keys that are missing, and an empty repository. Raises RepositoryProblem, KeyProblem."""
        if self.root_file.exists():
            raise RepositoryProblem(f"{self.folder}: there is a repository already")
        for role in ROLES:
            if not self._key(role).exists():
                make_key(self._key(role))
        root = Root(expires=self._expiry(Root.type), consistent_snapshot=True)
        for role in ROLES:
            root.add_key(self._signer(role).public_key, role)
        with _saying(self.folder):
            self.metadata.mkdir(parents=True, exist_ok=True)
            (self.folder / "targets").mkdir(exist_ok=True)
            self._write("1.root.json", self._signed(Metadata(root), Root.type))
            targets = Metadata(Targets(expires=self._expiry(Targets.type)))
            self._write("1.targets.json", self._signed(targets, Targets.type))
            snapshot = Metadata(Snapshot(expires=self._expiry(Snapshot.type)))
            self._write("1.snapshot.json", self._signed(snapshot, Snapshot.type))
            timestamp = Metadata(Timestamp(expires=self._expiry(Timestamp.type)))
            self._write("timestamp.json", self._signed(timestamp, Timestamp.type))

    def publish(
        self, model: Path, *, target: str | None = None, version: int | None = None, delta: bool = True
    ) -> Published:
        """Sign a model file under a name, by default ``models/<its name>``; the version is one more than the last.

        With ``delta`` one from the version before goes with it, where that is worth it. Needs the keys of targets,
        snapshot and timestamp. Raises RepositoryProblem, KeyProblem.
        """
        name = target or f"models/{model.name}"
        _check_name(name)
        with _saying(self.folder):
            metadata: Metadata[Targets] = self._latest(Targets.type)
            known = metadata.signed.targets.get(name)
            number = version if version is not None else _version_of(known) + 1
            info = TargetFile.from_file(name, str(model), ["sha256"])
            sha256 = info.hashes["sha256"]
            self._copy(model, self._target_file(name, sha256), sha256)
            custom: dict[str, Any] = {"version": number}
            if known and delta:
                custom["deltas"] = self._add_delta(metadata.signed, name, known.hashes["sha256"], sha256)
            info.unrecognized_fields["custom"] = custom
            metadata.signed.targets[name] = info
            self._release_targets(metadata)
        return Published(name, number, sha256, info.length, self.root_file)

    def _add_delta(self, targets: Targets, name: str, old: str, new: str) -> dict[str, str]:
        """Digest of the old file to the delta's target; deltas to earlier versions of the name go."""
        _drop_deltas(targets, name)
        if old == new or not self._target_file(name, old).exists():
            return {}
        files = [self._target_file(name, digest).read_bytes() for digest in (old, new)]
        data = make_delta(*files) if max(map(len, files)) <= DELTA_LIMIT_BYTES else None
        if data is None:
            return {}
        target = f"{_delta_folder(name)}{old[:16]}-{new[:16]}.bsdiff"
        info = TargetFile.from_data(target, data, ["sha256"])
        file = self._target_file(target, info.hashes["sha256"])
        file.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(file, data)
        targets.targets[target] = info
        return {old: target}

    def _target_file(self, name: str, sha256: str) -> Path:
        """Where TUF's consistent snapshots have it."""
        return self.folder / "targets" / Path(name).parent / f"{sha256}.{Path(name).name}"

    def withdraw(self, target: str) -> int:
        """Take a name and its deltas out; devices that run it go on. Return the version that it had.

        Raises RepositoryProblem, KeyProblem.
        """
        with _saying(self.folder):
            metadata: Metadata[Targets] = self._latest(Targets.type)
            known = metadata.signed.targets.pop(target, None)
            if known is None:
                raise RepositoryProblem(
                    f"{self.folder}: no target {target!r} in it; it has {', '.join(self.targets()) or 'none'}"
                )
            _drop_deltas(metadata.signed, target)
            self._release_targets(metadata)
        return _version_of(known)

    def renew(self) -> None:
        """Sign snapshot and timestamp anew, before they expire; needs their two keys only."""
        with _saying(self.folder):
            snapshot: Metadata[Snapshot] = self._latest(Snapshot.type)
            self._release_snapshot(snapshot)

    def rotate(self, role: str) -> None:
        """Give a role a new key, when the old one was lost or stolen; needs root's key. The old one is kept aside.

        Devices follow, since the new root is signed by the old one. Raises RepositoryProblem, KeyProblem.
        """
        if role not in ROLES:
            raise RepositoryProblem(f"role {role!r}: expected one of {', '.join(ROLES)}")
        with _saying(self.folder):
            metadata = self._newest_root()
            before = self._signer(Root.type)
            metadata.signed.version += 1
            metadata.signed.expires = self._expiry(Root.type)
            self._set_aside(role, f"before-{metadata.signed.version}")
            make_key(self._key(role))
            for key_id in list(metadata.signed.roles[role].keyids):
                metadata.signed.revoke_key(key_id, role)
            metadata.signed.add_key(self._signer(role).public_key, role)
            metadata.sign(before)
            metadata.sign(self._signer(Root.type), append=True)
            self._write(
                f"{metadata.signed.version}.root.json", metadata.to_bytes(JSONSerializer(compact=False))
            )
            if role == Targets.type:
                self._release_targets(self._latest(Targets.type))
            else:
                self._release_snapshot(self._latest(Snapshot.type))

    def targets(self) -> dict[str, tuple[int, str, int]]:
        """Models by name: version, SHA-256 and size in bytes."""
        with _saying(self.folder):
            metadata: Metadata[Targets] = self._latest(Targets.type)
        return {
            name: (_version_of(info), info.hashes["sha256"], info.length)
            for name, info in sorted(metadata.signed.targets.items())
            if not name.startswith(f"{DELTAS}/")
        }

    def _release_targets(self, metadata: Metadata[Targets]) -> None:
        metadata.signed.version += 1
        metadata.signed.expires = self._expiry(Targets.type)
        self._write(f"{metadata.signed.version}.targets.json", self._signed(metadata, Targets.type))
        snapshot: Metadata[Snapshot] = self._latest(Snapshot.type)
        snapshot.signed.meta["targets.json"] = MetaFile(version=metadata.signed.version)
        self._release_snapshot(snapshot)

    def _release_snapshot(self, snapshot: Metadata[Snapshot]) -> None:
        snapshot.signed.version += 1
        snapshot.signed.expires = self._expiry(Snapshot.type)
        self._write(f"{snapshot.signed.version}.snapshot.json", self._signed(snapshot, Snapshot.type))
        timestamp: Metadata[Timestamp] = self._latest(Timestamp.type)
        timestamp.signed.version += 1
        timestamp.signed.expires = self._expiry(Timestamp.type)
        timestamp.signed.snapshot_meta = MetaFile(version=snapshot.signed.version)
        self._write("timestamp.json", self._signed(timestamp, Timestamp.type))

    def _newest_root(self) -> Metadata[Root]:
        newest = max(int(file.name.split(".")[0]) for file in self.metadata.glob("*.root.json"))
        return Metadata.from_file(str(self.metadata / f"{newest}.root.json"))

    def _latest(self, role: str) -> Metadata[Any]:
        """What is released now: numbered files beyond it were cut off before they counted."""
        timestamp: Metadata[Any] = Metadata.from_file(str(self.metadata / "timestamp.json"))
        if role == Timestamp.type:
            return timestamp
        version = timestamp.signed.snapshot_meta.version
        snapshot: Metadata[Any] = Metadata.from_file(str(self.metadata / f"{version}.snapshot.json"))
        if role == Snapshot.type:
            return snapshot
        version = snapshot.signed.meta["targets.json"].version
        return Metadata.from_file(str(self.metadata / f"{version}.targets.json"))

    def _signed(self, metadata: Metadata[Any], role: str) -> bytes:
        metadata.sign(self._signer(role))
        return metadata.to_bytes(JSONSerializer(compact=False))

    def _signer(self, role: str) -> CryptoSigner:
        return CryptoSigner(read_key(self._key(role)))

    def _key(self, role: str) -> Path:
        return self.keys / f"{role}.key"

    def _set_aside(self, role: str, mark: str) -> None:
        for file in (self._key(role), self.keys / f"{role}.key.pub"):
            if file.exists():
                file.rename(file.with_name(f"{file.name}.{mark}"))

    def _expiry(self, role: str) -> datetime:
        return datetime.now(UTC).replace(microsecond=0) + timedelta(days=self.expiry_days[role])

    def _write(self, name: str, data: bytes) -> None:
        _write_whole(self.metadata / name, data)

    def _copy(self, model: Path, to: Path, sha256: str) -> None:
        """The digest is of what was copied, so that a file that changes meanwhile is not published."""
        to.parent.mkdir(parents=True, exist_ok=True)
        beside = to.with_name(f".{secrets.token_hex(4)}.part")
        try:
            shutil.copyfile(model, beside)
            with beside.open("rb") as stream:
                got = hashlib.file_digest(stream, "sha256").hexdigest()
                os.fsync(stream.fileno())
            if got != sha256:
                raise RepositoryProblem(f"{model}: it changed while it was being published; publish it again")
            beside.replace(to)
        except BaseException:
            with suppress(OSError):
                beside.unlink()
            raise


def open_repository(folder: Path, keys: Path | None, *, create: bool) -> tuple[PublishedRepository, bool]:
    """A repository, and whether it was begun just now. Raises RepositoryProblem, KeyProblem."""
    repository = PublishedRepository(folder, keys or folder.with_name(f"{folder.resolve().name}-keys"))
    if repository.root_file.exists():
        return repository, False
    if not create:
        raise RepositoryProblem(f"{folder}: no repository; `edgewise fleet publish` begins one")
    repository.create()
    return repository, True


@contextmanager
def _saying(folder: Path) -> Iterator[None]:
    """Their errors become ours, with the place."""
    try:
        yield
    except (DeserializationError, RepositoryError) as error:
        raise RepositoryProblem(
            f"{folder}: not a sound repository ({error.__cause__ or error}); name another folder to begin one"
        ) from error
    except OSError as error:
        if isinstance(error, FleetError):
            raise
        raise RepositoryProblem(f"{error.filename or folder}: {error.strerror or error}") from error


def _delta_folder(name: str) -> str:
    return f"{DELTAS}/{name}/"


def _drop_deltas(targets: Targets, name: str) -> None:
    for stale in [target for target in targets.targets if target.startswith(_delta_folder(name))]:
        del targets.targets[stale]


def _version_of(info: TargetFile | None) -> int:
    version = (info.custom or {}).get("version", 0) if info else 0
    return version if isinstance(version, int) else 0


def _check_name(name: str) -> None:
    parts = name.split("/")
    if Path(name).suffix not in SUFFIXES or any(part in ("", ".", "..") for part in parts):
        raise RepositoryProblem(
            f"target {name!r}: expected a name such as models/door.tflite, ending in {' or '.join(SUFFIXES)}"
        )


def _write_whole(path: Path, data: bytes) -> None:
    """Beside, flushed, renamed."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with beside.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
