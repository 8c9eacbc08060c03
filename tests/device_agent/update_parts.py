"""An owner with a real repository, good and bad models, and a device that updates from it."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from device_agent.folder_model import FolderModel
from PIL import Image

from edgewise import tiny_model
from edgewise.golden import GoldenCase
from edgewise.model_file import write_model
from edgewise.testing import tiny_card, tiny_golden, write_tiny_model
from edgewise_agent.updates.model_store import ModelStore, Running
from edgewise_agent.updates.model_updater import ModelUpdater
from edgewise_agent.updates.opening import open_current
from edgewise_agent.updates.places import Places
from edgewise_agent.updates.settings import UpdateSettings
from edgewise_agent.updates.transport import Transport
from edgewise_agent.updates.trial import ChildTrial, Trial
from edgewise_fleet.publishing import Published, PublishedRepository
from edgewise_messages import Severity

TARGET = "models/door.tflite"
COLOURS = {"a": "red", "b": "lime", "c": "blue"}
FULLY_CONNECTED, BATCH_TO_SPACE_ND = 9, 37


def good_model(path: Path, name: str) -> Path:
    """Each name is another file."""
    return write_tiny_model(path, card=tiny_card(name=name))


def lying_model(path: Path) -> Path:
    """Its golden cases promise other answers."""
    card = tiny_card(name="liar")
    wrong = [
        GoldenCase(case.inputs, {name: np.flip(values).copy() for name, values in case.outputs.items()})
        for case in tiny_golden(card)
    ]
    return write_tiny_model(path, card=card, golden=wrong)


def crashing_model(path: Path) -> Path:
    """Kills the runtime that opens it: an operator whose input is absent."""
    card = tiny_card(name="crash", size_wh=(2, 2))
    data = tiny_model.tflite_model((2, 2), 3)
    both = bytes((FULLY_CONNECTED, FULLY_CONNECTED))
    inputs = np.array([0, 1, 2], "<i4").tobytes()
    assert (data.count(both), data.count(inputs)) == (1, 1)
    data = data.replace(both, bytes((BATCH_TO_SPACE_ND, BATCH_TO_SPACE_ND)))
    data = data.replace(inputs, np.array([-1, 1, 2], "<i4").tobytes())
    golden = tiny_golden(card)
    write_model(path, data, card=replace(card, golden=replace(card.golden, cases=len(golden))), golden=golden)
    return path


def slow_model(path: Path) -> Path:
    """Right, and many times slower: it looks at 3136 times as many pixels."""
    return write_tiny_model(path, card=tiny_card(name="slow", size_wh=(448, 448)), size_wh=(448, 448))


def disagreeing_model(path: Path) -> Path:
    """Sound by its own word, and calls everything otherwise."""
    return write_tiny_model(path, card=replace(tiny_card(name="other"), labels=("green", "blue", "red")))


def write_photos(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, colour in COLOURS.items():
        Image.new("RGB", (32, 32), colour).save(folder / f"{name}.png")
    return folder


@dataclass
class Owner:
    """Publishes into a folder."""

    folder: Path
    expiry_days: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        more = {"expiry_days": dict(self.expiry_days)} if self.expiry_days else {}
        self.repository = PublishedRepository(self.folder / "repository", self.folder / "keys", **more)
        self.repository.create()

    @property
    def place(self) -> Path:
        return self.repository.folder

    def publish(
        self, model: Path, target: str = TARGET, version: int | None = None, *, delta: bool = True
    ) -> Published:
        return self.repository.publish(model, target=target, version=version, delta=delta)

    def target_file(self, published: Published) -> Path:
        target = Path(published.target)
        return self.place / "targets" / target.parent / f"{published.sha256}.{target.name}"


@dataclass
class Device:
    """One pipeline over three pictures. `start` is what an agent does at its start."""

    folder: Path
    settings: UpdateSettings
    factory: Path
    photos: Path
    boot: str = "boot-1"
    trial: Trial | None = None
    events: list[tuple[str, str]] = field(default_factory=list)
    is_stopping: bool = False

    def start(self) -> Running:
        self.store = ModelStore(self.folder / "models/door", self.factory, boot=self.boot)
        self.store.recover()
        self.live, running = open_current(self.store, lambda it: FolderModel(it.path, [self.photos]))
        transport = Transport(should_stop=lambda: self.is_stopping)
        self.manager = ModelUpdater(
            self.store,
            self.live,
            self.settings,
            source=Places(self.settings, folder=self.folder / "updates", transport=transport),
            trial=self.trial or ChildTrial(self.settings),
            tell=self._tell,
            target=self.settings.target,
            agent_stops=lambda: self.is_stopping,
        )
        return running

    def stop(self) -> None:
        """In order."""
        self.manager.stop()
        self.live.close()

    def step(self) -> float:
        """One step of the manager and some live inputs."""
        self.live.work(6)
        return self.manager.step()

    def settle(self, steps: int = 40, *, guarded: bool = False) -> Running:
        """Until nothing more is to be done; ``guarded`` as the manager's own thread, which outlives every error."""
        for _ in range(steps):
            self.live.work(6)
            if (self.manager._guarded_step() if guarded else self.manager.step()) > 1.0:
                break
        return self.manager.running()

    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    def answers(self) -> list[str]:
        """What the live model says of the three pictures, in any order."""
        return sorted(self.live.work(3))

    def _tell(self, name: str, message: str, severity: Severity, data: Mapping[str, Any]) -> None:
        assert json.dumps(data)
        self.events.append((name, message))


def settings_for(owner: Owner | None, **changes: Any) -> UpdateSettings:
    """Short watches and few inputs."""
    quick = UpdateSettings(
        repository=(str(owner.place),) if owner else (),
        root_file=owner.repository.root_file if owner else None,
        target=TARGET,
        shadow_inputs=12,
        watch_inputs=12,
        watch_s=0.0,
        max_slowdown=1000.0,  # of pictures of 32 pixels the noise is larger than the model; slow ones are tested apart
    )
    return msgspec.structs.replace(quick, **changes)


class Server:
    """A web server over a folder, which can be told to misbehave. A context manager."""

    def __init__(self, folder: Path) -> None:
        self.cut_after: int | None = None
        """Close the connection after so many bytes of a body, once."""
        self.endless = ""
        """A path that never ends."""
        self.ranges = True
        self.requests: list[tuple[str, str]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, folder, self))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, folder: Path, server: Server, *more: Any) -> None:
        self._folder = folder
        self._told = server
        super().__init__(*more)

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-")[6:-1]) if self._told.ranges else 0
        self._told.requests.append((self.path, self.headers.get("Range", "")))
        file = self._folder / self.path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        body = file.read_bytes()[start:]
        self.send_response(206 if start else 200)
        is_endless = self._told.endless and self.path.endswith(self._told.endless)
        if not is_endless:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut, self._told.cut_after = (
            self._told.cut_after if "targets/" in self.path else None,
            (None if "targets/" in self.path else self._told.cut_after),
        )
        try:
            self.wfile.write(body if cut is None else body[:cut])
            while is_endless:
                self.wfile.write(b"x" * 65536)
        except OSError:
            pass

    def log_message(self, *text: object) -> None:
        pass
