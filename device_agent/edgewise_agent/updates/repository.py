"""The update repository (TUF), as the device sees it: the only place in the agent that knows python-tuf.

python-tuf checks signatures, versions, expiry and digests; here is where the bytes come from, and that a download
goes on where it ended. Layout: ``<place>/metadata/*.json`` and ``<place>/targets/...``.
"""

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from urllib.parse import quote

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import TargetFile
from tuf.ngclient import Updater
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from edgewise.atomic_file import write_bytes
from edgewise_agent.errors import (
    AgentError,
    DeltaUnusable,
    RepositoryRefused,
    RepositoryUnreachable,
    UpdateError,
)
from edgewise_agent.updates.model_delta import apply_delta, is_possible
from edgewise_agent.updates.model_store import file_sha256, sync_folder
from edgewise_agent.updates.transport import NotThere, Transport, is_web

log = logging.getLogger("edgewise.agent.updates")

ROOT_LIMIT_BYTES = 512_000
SYNC_EVERY_BYTES = 4 << 20
"""What a pulled plug can cost of a download."""
CONFIG = UpdaterConfig(
    max_root_rotations=64,
    max_delegations=8,
    root_max_length=ROOT_LIMIT_BYTES,
    timestamp_max_length=16_384,
    snapshot_max_length=2_000_000,
    targets_max_length=5_000_000,
)
"""No metadata file is read further than this."""


@dataclass(frozen=True)
class Offer:
    """A model in the repository, as its owner signed it."""

    target: str
    size_bytes: int
    sha256: str
    version: int
    info: TargetFile
    deltas: Mapping[str, str] = field(default_factory=dict)
    """From the SHA-256 of an older model to the target that makes this one of it."""


class Repository:
    """One repository for one attempt: what it says is fetched once. Not safe between threads."""

    def __init__(self, place: str, *, root_file: Path, folder: Path, transport: Transport) -> None:
        """``folder`` keeps metadata and unfinished downloads. Raises RepositoryRefused or RepositoryUnreachable."""
        self._place = place.rstrip("/")
        self._folder = folder / "tuf"
        self._fetcher = _Fetcher(transport, folder / "parts")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._folder.mkdir(exist_ok=True)
            with root_file.open("rb") as stream:
                root = stream.read(ROOT_LIMIT_BYTES)
            self._clear_pieces()
            with self._judging():
                self._updater = Updater(
                    metadata_dir=str(self._folder),
                    metadata_base_url=f"{self._place}/metadata/",
                    target_base_url=f"{self._place}/targets/",
                    fetcher=self._fetcher,
                    config=CONFIG,
                    bootstrap=root,
                )
        except OSError as error:
            if isinstance(error, AgentError):
                raise
            raise RepositoryUnreachable(
                f"updates.root_file {root_file}: {error.strerror or error}"
            ) from error

    def find(self, target: str) -> Offer:
        """Ask for a target. Raises RepositoryRefused, also when there is none of this name, RepositoryUnreachable."""
        with self._judging():
            info = self._updater.get_targetinfo(target)  # the first one fetches and checks all metadata
            self._sync()
        if info is None:
            raise RepositoryRefused(f"{self._place}: no target {target!r} in it")
        sha256 = info.hashes.get("sha256", "")
        if len(sha256) != hashlib.sha256().digest_size * 2:
            raise RepositoryRefused(f"{self._place}: target {target!r} is signed without a SHA-256")
        version = (info.custom or {}).get("version", 0)
        if not isinstance(version, int) or isinstance(version, bool) or version < 0:
            raise RepositoryRefused(
                f"{self._place}: target {target!r}: version {version!r:.40}, expected a whole number"
            )
        return Offer(target, info.length, sha256.lower(), version, info, _deltas_of(info))

    def download(self, offer: Offer, *, base: Path | None = None) -> Path:
        """The file, fetched on from where the last attempt ended, its digest checked; yours to move away.

        ``base`` is a model that is here: where the repository has a delta from it, that is fetched instead. Raises
        RepositoryRefused when it is not what was signed, RepositoryUnreachable.
        """
        made = self._from_delta(offer, base) if base is not None and offer.deltas else None
        return made or self._download(offer)

    def _from_delta(self, offer: Offer, base: Path) -> Path | None:
        """None where there is no delta from this base, or it does not work out: then the whole file is fetched."""
        made = self._fetcher.part_of(offer)
        if not is_possible() or (made.exists() and made.stat().st_size):
            return None  # of a whole file that is begun, the rest is fetched
        try:
            target = offer.deltas.get(file_sha256(base))
            if target is None:
                return None
            delta = self.find(target)
            if delta.size_bytes > offer.size_bytes:
                return None
            fetched = self._download(delta).read_bytes()
            write_bytes(made, [apply_delta(base.read_bytes(), fetched, size_bytes=offer.size_bytes)])
            if file_sha256(made) != offer.sha256:
                raise DeltaUnusable(f"{target}: it does not give {offer.sha256[:16]}")
        except (OSError, UpdateError) as error:
            made.unlink(missing_ok=True)
            log.warning("%s: the whole file is fetched: %s", offer.target, error)
            return None
        log.info(
            "%s: made of a delta of %d instead of %d bytes", offer.target, delta.size_bytes, offer.size_bytes
        )
        return made

    def _download(self, offer: Offer) -> Path:
        part = self._fetcher.expect(offer)
        with self._judging():
            try:
                # python-tuf checks what the fetcher hands it and then copies it; that second copy is spared the card.
                self._updater.download_target(offer.info, os.devnull)
            except RepositoryError:
                part.unlink(missing_ok=True)
                raise
        return part

    @contextmanager
    def _judging(self) -> Iterator[None]:
        """Their errors become ours: try again later, or tell somebody."""
        try:
            yield
        except ExpiredMetadataError as error:
            raise RepositoryRefused(
                f"{self._place}: {_said(error)}, by this device's clock ({datetime.now(UTC):%Y-%m-%d %H:%M} UTC): "
                "its owner must sign it anew, or somebody holds updates back"
            ) from error
        except DownloadLengthMismatchError as error:
            raise RepositoryRefused(f"{self._place}: {_said(error)}") from error
        except RepositoryError as error:
            raise RepositoryRefused(f"{self._place}: {_said(error)}") from error
        except DownloadError as error:
            cause = error.__cause__ or error
            raise RepositoryUnreachable(str(cause)) from error
        except OSError as error:
            if isinstance(error, AgentError):
                raise
            raise RepositoryUnreachable(f"{self._folder}: {error.strerror or error}") from error

    def _sync(self) -> None:
        """python-tuf renames without flushing; what we rely on against older metadata must outlive a pulled plug."""
        for file in self._folder.glob("*.json"):
            with suppress(OSError), file.open("rb") as stream:
                os.fsync(stream.fileno())
        sync_folder(self._folder)

    def _clear_pieces(self) -> None:
        """What a kill left of metadata that was being written."""
        for file in self._folder.iterdir():
            if file.suffix != ".json" and not file.is_dir():
                file.unlink()


class _Fetcher(FetcherInterface):
    """Metadata through memory, targets through a file that survives."""

    def __init__(self, transport: Transport, parts: Path) -> None:
        self._transport = transport
        self._parts = parts
        self._expected: Offer | None = None

    def part_of(self, offer: Offer) -> Path:
        """Where it is fetched to."""
        return self._parts / f"{offer.sha256}.part"

    def expect(self, offer: Offer) -> Path:
        """The next file asked for is this target; unfinished ones of other targets are deleted."""
        self._expected = offer
        part = self.part_of(offer)
        self._parts.mkdir(exist_ok=True)
        for old in self._parts.iterdir():
            if old != part:
                old.unlink()
        return part

    def _fetch(self, url: str) -> Iterator[bytes]:
        """For metadata."""
        try:
            for _, piece in self._transport.read(_located(url)):
                yield piece
        except NotThere as error:
            raise DownloadHTTPError(str(error), 404) from error
        except RepositoryUnreachable as error:
            raise DownloadError(str(error)) from error

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """A file that python-tuf then checks."""
        if self._expected is None:
            with super().download_file(url, max_length) as file:
                yield file
            return
        offer, self._expected = self._expected, None
        with self.part_of(offer).open("a+b") as file:
            self._complete(file, url, max_length)
            file.seek(0)
            yield file

    def _complete(self, file: IO[bytes], url: str, max_length: int) -> None:
        start = file.seek(0, os.SEEK_END)
        if start > max_length:
            start = file.truncate(0)
        if start == max_length:
            return
        unsynced = 0
        try:
            for position, piece in self._transport.read(_located(url), start=start):
                if position != start:  # the server began anew
                    start = file.truncate(position)
                start += len(piece)
                if start > max_length:
                    file.truncate(0)
                    raise DownloadLengthMismatchError(
                        f"{url}: it goes on beyond the {max_length} bytes signed for it"
                    )
                file.write(piece)
                unsynced += len(piece)
                if unsynced >= SYNC_EVERY_BYTES:
                    _flush(file)
                    unsynced = 0
        except RepositoryUnreachable as error:
            raise DownloadError(str(error)) from error
        finally:
            _flush(file)
        if start < max_length:
            raise DownloadError(f"{url}: it ended after {start} of {max_length} bytes")


def _deltas_of(info: TargetFile) -> dict[str, str]:
    """What the owner says there is; anything of another shape is nothing."""
    deltas = (info.custom or {}).get("deltas", {})
    if not isinstance(deltas, dict):
        return {}
    return {str(digest): target for digest, target in deltas.items() if isinstance(target, str)}


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _located(url: str) -> str:
    """A target's name may hold blanks and the like."""
    return quote(url, safe=":/?&=%@+,;~") if is_web(url) else url


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
