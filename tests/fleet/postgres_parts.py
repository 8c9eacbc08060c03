"""A real PostgreSQL of the tests' own, on a free port of 127.0.0.1."""

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from fleet.real_parts import WAIT_S, unused_port, wait_until


def find_binaries() -> Path:
    """The folder of initdb and postgres; Debian keeps them off the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    for folder in [*folders, *([Path(on_path).parent] if on_path else [])]:
        if (folder / "initdb").exists():
            return folder
    raise AssertionError("the tests need PostgreSQL; scripts/test installs it")


@dataclass
class Postgres:
    """One cluster. PostgreSQL does not run as root, so root runs it as the user `postgres`."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="edgewise-postgres-")))
    port: int = field(default_factory=unused_port)
    process: subprocess.Popen[bytes] | None = None
    settings: tuple[str, ...] = ("fsync=off", "full_page_writes=off")
    """A killed process loses nothing by these, only a machine does; benchmarks leave them out."""
    initdb: tuple[str, ...] = ()
    """Further options when it is made."""

    def create(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        subprocess.run(
            [*self._as_user(), find_binaries() / "initdb", "-D", self.folder / "data", "-U", "postgres",
             "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", *self.initdb],
            check=True, stdout=subprocess.DEVNULL, cwd="/",
        )  # fmt: skip

    def start(self) -> None:
        options = [word for setting in self.settings for word in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._as_user(), find_binaries() / "postgres", "-D", self.folder / "data", "-p", str(self.port),
                 "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}", *options],
                stderr=log, cwd="/",
            )  # fmt: skip
        wait_until(self._answers, "PostgreSQL answers")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast shutdown. SIGQUIT: immediate, as after a crash."""
        if self.process is not None:
            # setpriv becomes the server, so this is its process.
            self.process.send_signal(how)
            self.process.wait(WAIT_S)
            self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The address of an empty one."""
        name = f"fleet_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def _as_user(self) -> list[str]:
        return (
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
        )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True
