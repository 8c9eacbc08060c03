"""New settings from afar, on trial: kept when the broker is reached with them, undone when not.

They are changed in a copy in the state folder (working_copy.py); the local file is never written. Beside the copy
``agent.toml`` lie, during a trial, ``agent.toml.before`` (the last settings that worked) and ``agent.toml.trial`` (what
is being tried). Each is written beside and renamed, in this order: before, trial, settings. Whatever is cut, one of the
first two says what to do at the next start:

- the settings are still the old ones: the change never happened, the trial is over;
- they are the new ones: the trial goes on, at most `STARTS` times;
- they are neither: somebody edited them meanwhile, and they are kept if they can be read;
- the local file was edited: it counts, and the trial is over.
"""

import hashlib
import logging
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from edgewise.atomic_file import write_bytes
from edgewise_agent.errors import WHOLE_FILE, InvalidSettings, Problem
from edgewise_agent.settings.config import Settings, load_settings, parse_settings
from edgewise_agent.settings.text import changed_text
from edgewise_agent.settings.working_copy import WorkingCopy

STARTS = 3
"""New settings with which the agent ended so often without reaching the broker are undone."""
PROTECTED = ("commands.*", "updates.root_file", "privacy.*", "device.*")
"""What only the local file may say: whom it obeys and trusts, what leaves it, who it is and where its state lies."""
NEVER = "commands."

log = logging.getLogger("edgewise.agent.settings")


class _Trial(Struct, frozen=True):
    """What ``agent.toml.trial`` holds."""

    before_sha256: str
    after_sha256: str
    connect_within_s: float
    state: Literal["trying", "undone"] = "trying"
    starts: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Notice:
    """What to tell the fleet of a trial that is over."""

    event: str
    message: str


class SettingsChange:
    """The settings in force and the trial of new ones. Not safe between threads."""

    def __init__(self, copy: WorkingCopy) -> None:
        self._copy = copy
        self._file = file = copy.file
        self._before = file.with_name(f"{file.name}.before")
        self._trial_file = file.with_name(f"{file.name}.trial")
        self._dropped = ""
        """Why settings changed from afar no longer count, until it is told."""

    @property
    def is_on_trial(self) -> bool:
        """Whether the settings must still prove themselves."""
        trial = self._trial()
        return trial is not None and trial.state == "trying"

    @property
    def connect_within_s(self) -> float:
        """How long they have for it; 0 when none are on trial."""
        trial = self._trial()
        return trial.connect_within_s if trial else 0.0

    def begin(self) -> None:
        """At every start, before the settings are read: put right what a cut left. Raises OSError."""
        self._clear_pieces()
        if self._copy.is_outdated:
            self.drop(f"{self._copy.local} was edited since, or the copy cannot be read")
            self._end()
        trial = self._trial()
        if trial is None:
            self._end()  # one that cannot be read tells nothing
            return
        if trial.state == "undone":
            self._restore()
            return
        digest = _digest(self._file)
        if digest == trial.before_sha256:
            self._end()
        elif digest == trial.after_sha256:
            self._count_start(trial)
        elif not self._is_sound():
            self._undo(trial, "the settings file was damaged while it was on trial")
        else:
            log.info("%s was edited during its trial; it is kept", self._file)
            self._end()

    def propose(
        self, changes: Mapping[str, Any], *, toml: str | None = None, allowed: tuple[str, ...] = ()
    ) -> bytes:
        """The new file, checked; ``toml`` is a whole one, and ``changes`` are made to it or to what is there.

        Raises InvalidSettings with every problem: also a protected setting that is not ``allowed``. Touches nothing.
        """
        now = self._copy.in_force().read_bytes()
        text = toml if toml is not None else now.decode()
        data = changed_text(text, changes, file="new settings").encode()
        settings, problems = parse_settings(data, base=self._copy.base)
        if settings is not None:
            problems = tuple(_protected(now, data, allowed))
        if problems:
            raise InvalidSettings("new settings", problems)
        return data

    def apply(self, data: bytes, *, connect_within_s: float) -> None:
        """Put proposed settings in place, on trial; the agent must restart then.

        Raises OSError, with the old settings in place, or InvalidSettings while another trial is on.
        """
        if self.is_on_trial:
            text = "other new settings are on trial; wait until the broker is reached, or they are undone"
            raise InvalidSettings("new settings", (Problem(WHOLE_FILE, text),))
        now = self._copy.in_force().read_bytes()
        if now == data:
            raise InvalidSettings("new settings", (Problem(WHOLE_FILE, "they are what it has"),))
        self._copy.make()
        write_bytes(self._before, [now])
        trial = _Trial(_sha256(now), _sha256(data), connect_within_s)
        self._write_trial(trial)
        try:
            write_bytes(self._file, [data])
        except BaseException:
            with suppress(OSError):
                self._end()
            raise

    def confirm(self) -> Notice | None:
        """The broker was reached: keep them. None when none were on trial."""
        trial = self._trial()
        if trial is None or trial.state != "trying":
            return None
        self._end()
        return Notice("settings.confirmed", "the broker was reached with the new settings")

    def drop(self, reason: str) -> None:
        """Go back to the local file, for good. Raises OSError."""
        self._copy.drop(reason)
        self._dropped = reason

    def undo(self, reason: str) -> bool:
        """Put the settings before back; the agent must restart then. False when none were on trial."""
        trial = self._trial()
        if trial is None or trial.state != "trying":
            return False
        self._undo(trial, reason)
        return True

    def take_notice(self) -> Notice | None:
        """What to tell of changes that were undone or dropped; call it once the agent runs, and it is told once."""
        if self._dropped:
            reason, self._dropped = self._dropped, ""
            return Notice("settings.dropped", f"the local settings count again: {reason}")
        trial = self._trial()
        if trial is None or trial.state != "undone":
            return None
        self._end()
        return Notice("settings.undone", f"the settings before are back: {trial.reason}")

    def _count_start(self, trial: _Trial) -> None:
        if trial.starts >= STARTS:
            self._undo(trial, f"the agent ended {STARTS} times before it reached the broker")
            return
        self._write_trial(msgspec.structs.replace(trial, starts=trial.starts + 1))

    def _undo(self, trial: _Trial, reason: str) -> None:
        """First say so, then do it: a cut in between is finished by `begin`."""
        self._write_trial(msgspec.structs.replace(trial, state="undone", reason=reason))
        self._restore()
        log.warning("the settings before are back: %s", reason)

    def _restore(self) -> None:
        """From the copy; it goes only when the trial's file has gone, so it is there for as long as it is needed."""
        if self._before.exists() and _digest(self._file) != _digest(self._before):
            write_bytes(self._file, [self._before.read_bytes()])

    def _end(self) -> None:
        if self._trial_file.exists():  # else nothing is asked of a file system that may be read-only
            self._trial_file.unlink(missing_ok=True)

    def _is_sound(self) -> bool:
        try:
            settings, _ = parse_settings(self._file.read_bytes(), base=self._copy.base)
        except OSError:
            return False
        return settings is not None

    def _trial(self) -> _Trial | None:
        try:
            return msgspec.json.decode(self._trial_file.read_bytes(), type=_Trial)
        except (OSError, ValueError):
            return None

    def _write_trial(self, trial: _Trial) -> None:
        write_bytes(self._trial_file, [msgspec.json.encode(trial)])

    def _clear_pieces(self) -> None:
        """What a kill left of files that were being written."""
        for target in (self._file, self._before, self._trial_file):
            for piece in target.parent.glob(f".{target.name}.*.part"):
                with suppress(OSError):
                    piece.unlink()


def load_on_trial(config: Path) -> tuple[Settings, SettingsChange]:
    """The settings that the agent begins with; new ones that cannot be loaded are undone, and the old ones loaded.

    Raises InvalidSettings, also where the state folder cannot be used.
    """
    local = load_settings(config)
    copy = WorkingCopy(config, local.device.state_dir)
    change = SettingsChange(copy)
    try:
        change.begin()
    except OSError as error:
        text = (
            f"{error.filename or copy.file}: {error.strerror or error}; the agent must be able to write there"
        )
        raise InvalidSettings(str(config), (Problem("device.state_dir", text),)) from error

    def load() -> Settings:
        path = copy.in_force()
        return local if path == config else load_settings(path, base=copy.base)

    try:
        return load(), change
    except InvalidSettings as error:
        if not change.undo(str(error)):
            change.drop(str(error))
    return load(), change


def _protected(before: bytes, after: bytes, allowed: tuple[str, ...]) -> list[Problem]:
    old, new = _flat(before), _flat(after)
    changed = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    hint = "protected: change it on the device, or let the device allow it in commands.remote_settings"
    return [
        Problem(name, "protected: it can be changed on the device only" if name.startswith(NEVER) else hint)
        for name in changed
        if _matches(name, PROTECTED) and (name.startswith(NEVER) or not _matches(name, allowed))
    ]


def _flat(data: bytes) -> dict[str, Any]:
    """``section.key`` to value; what is no table stands by its name."""
    try:
        document = tomllib.loads(data.decode())
    except ValueError:
        return {}
    flat: dict[str, Any] = {}
    for section, table in document.items():
        if isinstance(table, dict):
            flat.update({f"{section}.{key}": value for key, value in table.items()})
        else:
            flat[section] = table
    return flat


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _digest(file: Path) -> str:
    try:
        return _sha256(file.read_bytes())
    except OSError:
        return ""


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
