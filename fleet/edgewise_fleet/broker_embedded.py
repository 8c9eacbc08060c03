"""The broker that a fleet server starts when it was given none: mosquitto if installed, else amqtt.

It is a child process that ends when its standard input closes, so it also ends, in order, when this process
is killed: mosquitto then saves what it holds and the next start finds it.
"""

import fcntl
import getpass
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

from edgewise_fleet.broker_url import BrokerUrl
from edgewise_fleet.errors import BrokerFailed
from edgewise_fleet.ports import answers, free_port

log = logging.getLogger(__name__)

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
RESTART_MIN_S, RESTART_MAX_S = 1.0, 30.0

# The child replaces the shell and so has the shell's process id; the watcher beside it ends the child once
# standard input closes. Works on every Unix and needs no signal from a dying parent.
GUARD = 'exec 3<&0; { cat <&3 >/dev/null; kill -TERM $$ 2>/dev/null; } & exec 3<&- </dev/null; exec "$@"'

MOSQUITTO_CONF = """\
listener {port} {host}
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval 60
max_inflight_messages 1000
max_queued_messages 0
max_packet_size 1048576
log_dest file {folder}/mosquitto.log
log_type error
log_type warning
"""


def find_mosquitto() -> str | None:
    """The mosquitto program: on PATH, or where Debian puts it, which is not on every user's PATH."""
    return shutil.which("mosquitto") or shutil.which(
        "mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
    )


class EmbeddedBroker:
    """One broker process, started again if it ends by itself."""

    def __init__(self, *, host: str, port: int, folder: Path, mosquitto: str | None = None) -> None:
        self.program = "mosquitto" if mosquitto else "amqtt"
        self._host = host
        self._folder = folder
        self._port = port
        self._mosquitto = mosquitto
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="broker-watcher", daemon=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._ownership: BinaryIO | None = None

    @property
    def url(self) -> BrokerUrl:
        """Where this machine reaches it."""
        return BrokerUrl(
            host={"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host), port=self._port
        )

    @property
    def process_id(self) -> int | None:
        """The running process, None while there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start it and wait until it answers. Raises PortTaken or BrokerFailed."""
        # Debian starts mosquitto as a service when it is installed, so that is the likely one.
        remedy = (
            f"if that is a broker, use it with --broker {self.url}, or choose another port with --mqtt-port"
        )
        self._own_folder()
        self._port = free_port(self._host, self._port, purpose="embedded broker", remedy=remedy)
        self._process = self._spawn()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(self.url.host, self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise BrokerFailed(
                    f"embedded broker: {self.program} did not come up: {self._last_words()};"
                    " start a broker yourself and name it with --broker"
                )
            time.sleep(0.05)
        self._watcher.start()

    def stop(self) -> None:
        """End it; mosquitto saves what it still holds."""
        self._stopping.set()
        process = self._process
        if process is not None:
            _end(process)
        if self._watcher.is_alive():
            self._watcher.join()
        if self._ownership is not None:
            self._ownership.close()

    def _own_folder(self) -> None:
        """Take the folder; wait for the broker of a server that was just killed, which is still saving.

        The broker inherits the lock, so that it is free only once that process has ended too.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._ownership = (self._folder / "lock").open("ab")
        except OSError as error:
            raise BrokerFailed(f"embedded broker: {self._folder}: {error.strerror}") from error
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while True:
            try:
                return fcntl.flock(self._ownership, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self._ownership.close()
                    raise BrokerFailed(
                        f"embedded broker: the broker of an earlier server still uses {self._folder}; end it first"
                    ) from None
                time.sleep(0.05)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with (self._folder / "output.log").open("wb") as output:
            return subprocess.Popen(
                ["/bin/sh", "-c", GUARD, "edgewise-broker", *self._command()],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=[self._ownership.fileno()] if self._ownership else [],
                # Ctrl-C in the terminal is for us alone; we end the broker after the last record is stored.
                start_new_session=True,
            )

    def _command(self) -> list[str]:
        if self._mosquitto is None:
            return [sys.executable, "-m", "edgewise_fleet.broker_amqtt", self._host, str(self._port)]
        config = MOSQUITTO_CONF.format(port=self._port, host=self._host, folder=self._folder.absolute())
        if os.geteuid() == 0:
            # As root mosquitto would become a user of its own, who may not write beside the store.
            config += f"user {getpass.getuser()}\n"
        path = self._folder / "mosquitto.conf"
        path.write_text(config, encoding="utf-8")
        return [self._mosquitto, "-c", str(path)]

    def _watch(self) -> None:
        wait_s = RESTART_MIN_S
        while self._process is not None:
            started = time.monotonic()
            code = self._process.wait()
            _close_input(self._process)
            if time.monotonic() - started > RESTART_MAX_S:
                wait_s = RESTART_MIN_S
            if self._stopping.is_set() or self._stopping.wait(wait_s):
                return
            log.warning("embedded broker: %s ended with code %s, starting it again", self.program, code)
            wait_s = min(RESTART_MAX_S, wait_s * 2)
            self._process = self._spawn()
            if self._stopping.is_set():
                _end(self._process)

    def _last_words(self) -> str:
        for name in ("mosquitto.log", "output.log"):
            path = self._folder / name
            lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
            if lines:
                return lines[-1]
        return "it ended without a word"


def _close_input(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None and not process.stdin.closed:
        process.stdin.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    _close_input(process)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
