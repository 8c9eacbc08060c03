"""The one way out for inputs: what is not released here does not leave the device.

In this order: may inputs leave at all, may they go there, can what must not be seen be taken out, is it on record. A no
at any step is a refusal with its reason, and any failure is a no.
"""

import hashlib
import io
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from edgewise.errors import EdgewiseError
from edgewise.preprocess.picture import upright
from edgewise_agent.errors import AuditError, RedactionFailed
from edgewise_agent.privacy.audit import AuditLog, Head
from edgewise_agent.privacy.destinations import Destination, may_get_inputs
from edgewise_agent.privacy.settings import PrivacySettings
from edgewise_agent.snapshots.encoding import JPEG, Encoded, jpeg_bytes

QUALITY = 85

log = logging.getLogger("edgewise.agent.privacy")


class Blur(Protocol):
    """Takes faces out of pictures."""

    def blur(self, picture: Image.Image) -> tuple[Image.Image, int]:
        """A copy without faces, and how many there were. Raises RedactionFailed."""


@dataclass(frozen=True)
class RedactedPayload:
    """Bytes that may leave, and are on record as having left."""

    media: str
    data: bytes
    sha256: str
    faces: int
    """How many were blurred."""
    to: Destination
    audit: Head
    """Where it stands in the audit log; tell it to the fleet."""


@dataclass(frozen=True)
class Refusal:
    """Why an input does not leave."""

    reason: str


class Gate:
    """Safe between threads, of which one at a time is served: the detector runs for one picture."""

    def __init__(
        self,
        settings: PrivacySettings,
        audit: AuditLog | None,
        *,
        blur: Blur | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """Without an audit log nothing leaves; without ``blur`` no picture does while faces are to be blurred."""
        self._settings, self._audit, self._blur, self._now_ms = settings, audit, blur, now_ms
        self._lock = threading.Lock()
        self.released = self.refused = 0

    def release(
        self,
        given: Encoded,
        *,
        to: Destination,
        why: str,
        snapshot: str = "",
        max_bytes: int | None = None,
        is_too_late: Callable[[], bool] = lambda: False,
    ) -> RedactedPayload | Refusal:
        """What may be sent there of an input, already on record; or why nothing may.

        ``why`` and ``snapshot`` (its id, where it is one) are for the record. ``max_bytes`` and ``is_too_late``
        are looked at before that, so that what cannot be sent is not said to have been.
        """
        with self._lock:
            answer = self._decide(given, to, why, snapshot, max_bytes, is_too_late)
            if isinstance(answer, Refusal):
                self.refused += 1
                log.info("not released to %s: %s", to, answer.reason)
            else:
                self.released += 1
            return answer

    def would_refuse(self, to: Destination, *, is_picture: bool) -> str:
        """The reason why nothing could go there now, or "": to know before any work is done."""
        if not self._settings.raw_leaves:
            return "privacy.raw_leaves is false: no input leaves this device"
        if not may_get_inputs(to, self._settings):
            return f"{to} is neither in privacy.allowed_brokers nor in a region of privacy.allowed_regions"
        if self._audit is None:
            return "there is no audit log to write it to"
        if is_picture and "faces" in self._settings.redact and self._blur is None:
            return "faces are to be blurred, and there is no privacy.face_model to find them"
        return ""

    def _decide(
        self,
        given: Encoded,
        to: Destination,
        why: str,
        snapshot: str,
        max_bytes: int | None,
        is_too_late: Callable[[], bool],
    ) -> RedactedPayload | Refusal:
        reason = self.would_refuse(to, is_picture=given.is_picture)
        if reason or self._audit is None:
            return Refusal(reason)
        if given.is_sound and "audio" in self._settings.redact:
            return Refusal("sound does not leave: privacy.redact has 'audio'")
        faces = 0
        try:
            if given.is_picture:
                given, faces = self._redacted(given)
            if max_bytes is not None and len(given.data) > max_bytes:
                return Refusal(f"it has {len(given.data)} bytes, and at most {max_bytes} can be sent")
            if is_too_late():
                return Refusal("redaction took longer than there was time")
            sha256 = hashlib.sha256(given.data).hexdigest()
            head = self._audit.append(
                {
                    "to": to.url, "region": to.region, "why": why[:500], "snapshot": snapshot, "media": given.media,
                    "size_bytes": len(given.data), "sha256": sha256, "faces_blurred": faces,
                    "redact": list(self._settings.redact),
                },
                ts_ms=self._now_ms(),
            )  # fmt: skip
        except AuditError as error:
            return Refusal(f"it cannot be put on record: {error}")
        except (RedactionFailed, EdgewiseError) as error:
            return Refusal(f"it cannot be redacted: {error}")
        except Exception as error:  # whatever else fails, it stays here
            log.exception("redaction failed")
            return Refusal(f"it cannot be redacted: {error!r}")
        return RedactedPayload(given.media, given.data, sha256, faces, to, head)

    def _redacted(self, given: Encoded) -> tuple[Encoded, int]:
        """Always written anew: a file's metadata may hold a place, an owner or a thumbnail with the faces."""
        picture, faces = upright(io.BytesIO(given.data)), 0
        if "faces" in self._settings.redact:
            if self._blur is None:
                raise RedactionFailed("there is no face detector")
            picture, faces = self._blur.blur(picture)
        return Encoded(JPEG, jpeg_bytes(picture, quality=QUALITY)), faces
