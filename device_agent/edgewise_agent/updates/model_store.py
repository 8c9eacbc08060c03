"""The models of one pipeline: two slots, the factory model, and what becomes of a candidate.

``state.json`` is the pointer: one rename changes which model is current, so there is never none and never two. A slot
that the state does not speak of is empty for us, whatever lies in it. The model file that the settings name is
never touched and is the last resort.

```
<state>/models/<pipeline>/state.json
<state>/models/<pipeline>/a/<digest>.tflite
<state>/models/<pipeline>/b/...
```
"""

import hashlib
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from edgewise.atomic_file import write_bytes
from edgewise_agent.errors import StoreError
from edgewise_agent.updates.store_state import (
    Candidate,
    Place,
    SlotModel,
    Stage,
    StoreState,
    Wanted,
    Watch,
    decode_state,
    encode_state,
)

ATTEMPTS = 3
"""A machine that went down so often while a model was tried is taken as that model's doing."""
STATE_NAME = "state.json"
STATE_LIMIT_BYTES = 1 << 20
SUFFIXES = (".tflite", ".onnx")
SHADOW = "shadow"

log = logging.getLogger("edgewise.agent.models")


@dataclass(frozen=True)
class Running:
    """The model to run, and why this one."""

    path: Path
    place: Place
    reason: str
    sha256: str = ""
    """Empty for the factory model."""
    version: int = 0


class ModelStore:
    """Not safe between threads. Every method that changes something is one rename, and raises StoreError."""

    def __init__(self, folder: Path, factory: Path, *, boot: str | None = None) -> None:
        """``boot`` tells the machine's boots apart; by default the kernel's id. Call `recover` first."""
        self._folder = folder
        self._factory = factory
        self._boot = boot if boot is not None else boot_id()
        self.state = StoreState()
        self.notes: list[str] = []
        """What `recover` had to do, for the fleet to hear."""
        self.blamed = False
        """Whether `recover` blamed a model on trial for how the run before ended."""

    def recover(self) -> Running:
        """At every start: put right what a cut left, and say which model to run."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            sync_folder(self._folder.parent)
        self.read()
        self._judge_factory()
        self._judge_watch()
        self._judge_candidate()
        running = self._sound()
        self._clear_slots()
        return running

    def read(self) -> None:
        """Take what is on the disk for the truth, and judge nothing."""
        self.state = self._read()

    def running(self) -> Running:
        """The current model."""
        state = self.state
        model = state.model(state.current)
        if model is None:
            return Running(self._factory, Place.FACTORY, state.said or "the model that the settings name")
        path = self._path(state.current, model)
        return Running(path, state.current, state.said, model.sha256, model.version)

    def want(self, target: str, *, sha256: str = "", again: bool = False, older: bool = False) -> None:
        """Remember what the fleet asked for; a candidate for something else is dropped."""
        number = self.state.wanted.number + 1 if self.state.wanted else 1
        wanted = Wanted(target=target, sha256=sha256, again=again, older=older, number=number)
        self._write(replace(self.state, wanted=wanted, candidate=None))

    def refusal(self, model: SlotModel) -> str:
        """Why this model is not to be fetched; empty when nothing is against it."""
        state, wanted = self.state, self.state.wanted
        current = state.model(state.current)
        if current is not None and current.sha256 == model.sha256:
            return "it is the current one"
        is_asked = wanted is not None and wanted.target == model.target
        if model.sha256 in state.rejected and not (is_asked and wanted and wanted.again):
            return f"rejected before: {state.rejected[model.sha256]}"
        newest = state.newest_version.get(model.target, 0)
        if model.version < newest and not (is_asked and wanted and wanted.older):
            return f"version {model.version} is older than {newest}, which ran here"
        return ""

    def take_in(self, fetched: Path, model: SlotModel) -> Path:
        """Move a fetched file into the spare slot and make it the candidate. The spare slot's old model goes."""
        import shutil  # with what it imports a third of a megabyte, of use only now

        place = self.state.spare
        kept = {slot: old for slot, old in self.state.slots.items() if slot is not place}
        previous = None if self.state.previous is place else self.state.previous
        self._write(replace(self.state, slots=kept, previous=previous, candidate=None))
        target = self._path(place, model)
        try:
            shutil.rmtree(target.parent, ignore_errors=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            fetched.replace(target)
            sync_folder(target.parent)
        except OSError as error:
            raise _store_error(target, error) from error
        candidate = Candidate(place=place, model=model)
        self._write(replace(self.state, candidate=candidate))
        return target

    def candidate_path(self) -> Path:
        """The candidate's file."""
        assert self.state.candidate is not None
        return self._path(self.state.candidate.place, self.state.candidate.model)

    def begin_trying(self, what: str) -> None:
        """Remember what is done with the candidate, in case the agent does not come back from it."""
        self._write_candidate(trying=what, boot=self._boot)

    def advance(self, stage: Stage) -> None:
        """The candidate has come this far."""
        self._write_candidate(stage=stage, trying="", attempts=0)

    def put_off(self) -> None:
        """The trial was broken off in order; it is done again."""
        self._write_candidate(trying="")

    def reject(self, reason: str) -> None:
        """Drop the candidate and remember why."""
        assert self.state.candidate is not None
        model = self.state.candidate.model
        state = self.state.with_rejected(model.sha256, reason)
        self._write(replace(state, candidate=None, wanted=_spent(state.wanted, model)))
        self._clear_slots()

    def drop(self) -> None:
        """Drop the candidate without blame: its file is not what was fetched."""
        self._write(replace(self.state, candidate=None))
        self._clear_slots()

    def switch(self, before: Watch | None = None) -> Running:
        """Make the candidate the current model, under watch. This is the switch: one rename.

        ``before`` has the figures of the model before, which the new one is held against.
        """
        state, candidate = self.state, self.state.candidate
        assert candidate is not None
        model = candidate.model
        rejected = {digest: why for digest, why in state.rejected.items() if digest != model.sha256}
        self._write(
            replace(
                state,
                current=candidate.place,
                previous=state.current,
                slots={**state.slots, candidate.place: model},
                candidate=None,
                factory=str(self._factory),
                watch=replace(before or Watch(), is_running=True, boot=self._boot),
                wanted=_spent(state.wanted, model),
                rejected=rejected,
                said=f"version {model.version} of {model.target}, being watched",
            )
        )
        return self.running()

    def confirm(self) -> None:
        """The watch ended well."""
        model = self.state.model(self.state.current)
        assert model is not None
        newest = {**self.state.newest_version, model.target: model.version}
        said = f"version {model.version} of {model.target}, confirmed"
        self._write(replace(self.state, watch=None, newest_version=newest, said=said))

    def pause_watch(self) -> None:
        """The agent stops in order: its end is not the watched model's doing."""
        if self.state.watch is not None:
            self._write(replace(self.state, watch=replace(self.state.watch, is_running=False)))

    def roll_back(self, reason: str) -> Running:
        """Go back to the model before, and remember the current one as rejected. One rename."""
        self._step_back(reason, reject=True)
        return self.running()

    def give_up(self, reason: str) -> Running:
        """Go back until there is a model whose file is sound."""
        self._step_back(reason, reject=True)
        return self._sound()

    def _sound(self) -> Running:
        while trouble := self._trouble(running := self.running()):
            self._step_back(trouble, reject=False)
        return running

    def _step_back(self, reason: str, *, reject: bool) -> None:
        state = self.state
        failed = state.model(state.current)
        to = state.previous if state.previous is not None and state.previous in state.slots else Place.FACTORY
        if failed is not None and reject:
            state = state.with_rejected(failed.sha256, reason)
        kept = {place: model for place, model in state.slots.items() if place is not state.current}
        name = f"version {failed.version} of {failed.target}" if failed else "the model before"
        said = f"{name} was taken back: {reason}"
        self.notes.append(said)
        log.warning("%s", said)
        self._write(
            replace(state, current=to, previous=None, slots=kept, watch=None, candidate=None, said=said),
            must=False,
        )
        self._clear_slots()

    def _judge_factory(self) -> None:
        """Who names another model in the settings on the device wants to see it run."""
        state = self.state
        if state.current is not Place.FACTORY and state.factory != str(self._factory):
            said = "the settings name another model than when the last update came"
            self._write(
                StoreState(
                    rejected=state.rejected,
                    newest_version=state.newest_version,
                    wanted=state.wanted,
                    said=said,
                ),
                must=False,
            )

    def _judge_watch(self) -> None:
        """The agent ended during the watch: by the model, unless the machine went down with it."""
        watch = self.state.watch
        if watch is None:
            return
        cuts = watch.cuts + 1 if watch.is_running else watch.cuts
        if watch.is_running and watch.boot == self._boot:
            self.blamed = True
            self._step_back("the agent died while it was watched", reject=True)
        elif cuts >= ATTEMPTS:
            self._step_back(f"the machine went down {ATTEMPTS} times while it was watched", reject=True)
        else:  # before anything is loaded: it may die of that
            watch = replace(watch, is_running=True, boot=self._boot, cuts=cuts)
            self._write(replace(self.state, watch=watch), must=False)

    def _judge_candidate(self) -> None:
        candidate = self.state.candidate
        if candidate is None or not candidate.trying:
            return
        reason = ""
        if candidate.trying == SHADOW and candidate.boot == self._boot:
            reason = "the agent died while it ran beside the current model"
            self.blamed = True
        elif candidate.attempts + 1 >= ATTEMPTS:
            reason = f"the agent ended {ATTEMPTS} times during its {candidate.trying}"
        state = self.state
        if reason:
            self.notes.append(f"version {candidate.model.version} of {candidate.model.target}: {reason}")
            state = replace(state.with_rejected(candidate.model.sha256, reason), candidate=None)
        else:
            again = replace(candidate, attempts=candidate.attempts + 1, trying="")
            state = replace(state, candidate=again)
        self._write(state, must=False)

    def _trouble(self, running: Running) -> str:
        """Why a slot's file cannot be run; the factory model is always taken."""
        if running.place is Place.FACTORY:
            return ""
        try:
            got = file_sha256(running.path)
        except OSError as error:
            return f"its file cannot be read: {error.strerror}"
        return "" if got == running.sha256 else "its file is damaged"

    def _read(self) -> StoreState:
        path = self._folder / STATE_NAME
        try:
            with path.open("rb") as stream:
                return decode_state(stream.read(STATE_LIMIT_BYTES))
        except FileNotFoundError:
            return StoreState()
        except (OSError, ValueError) as error:
            self.notes.append(f"{path}: cannot be read ({error}); the factory model runs")
            log.error("%s", self.notes[-1])
            with suppress(OSError):
                path.replace(path.with_name(f"{STATE_NAME}.damaged"))
            return StoreState(said="the model that the settings name: the store's state was damaged")

    def _write_candidate(self, **changes: object) -> None:
        assert self.state.candidate is not None
        self._write(replace(self.state, candidate=replace(self.state.candidate, **changes)))

    def _write(self, state: StoreState, *, must: bool = True) -> None:
        """With ``must`` off a disk that refuses changes nothing about what is run now; it is done again next time."""
        path = self._folder / STATE_NAME
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_bytes(path, [encode_state(state)])
        except OSError as error:
            if must:
                raise _store_error(path, error) from error
            log.error("%s", _store_error(path, error))
        self.state = state

    def _clear_slots(self) -> None:
        """Nothing lies in a slot but what the state speaks of."""
        spoken = {self._path(place, model) for place, model in self.state.slots.items()}
        if self.state.candidate is not None:
            spoken.add(self.candidate_path())
        with suppress(OSError):
            for place in (Place.A, Place.B):
                for file in [*(self._folder / place).glob("*"), *(self._folder / place).glob(".*.part")]:
                    if file not in spoken:
                        file.unlink()
            for piece in self._folder.glob(f".{STATE_NAME}.*.part"):
                piece.unlink()

    def _path(self, place: Place, model: SlotModel) -> Path:
        return self._folder / place / model.file


def slot_model(*, target: str, sha256: str, version: int) -> SlotModel:
    """How a model of the repository is named in a slot; raises ValueError for a target that is no model file."""
    suffix = Path(target).suffix
    if suffix not in SUFFIXES:
        raise ValueError(f"target {target!r}: expected a name that ends in {' or '.join(SUFFIXES)}")
    return SlotModel(file=f"{sha256[:16]}{suffix}", sha256=sha256, target=target, version=version)


def file_sha256(path: Path) -> str:
    """Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def boot_id() -> str:
    """The kernel's id of this boot; empty where it has none, and every end counts as the agent's own."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def sync_folder(folder: Path) -> None:
    """A rename survives a pulled plug once its folder is on the disk (rename(2), fsync(2))."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _spent(wanted: Wanted | None, model: SlotModel) -> Wanted | None:
    """A leave that was given for one attempt is not there for the next."""
    if wanted is None or wanted.target != model.target:
        return wanted
    return replace(wanted, again=False, older=False)


def _store_error(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: {error.strerror or error}; the model that runs stays")
