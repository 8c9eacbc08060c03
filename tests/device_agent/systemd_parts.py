"""A small Debian with a running systemd, in a container of its own: made by debootstrap, booted by systemd-nspawn.

The container shares the machine's network, so it reaches a broker on 127.0.0.1, and nothing else. Its tree is made
once and kept; every boot has a layer of its own above it, which goes with it.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from model_sources.wheels import cache_folder

SUITE = "bookworm"
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv"
BOOT_S, SHUTDOWN_S = 60.0, 60.0
PYTHON = "/opt/edgewise/bin/python3"
SITE_PACKAGES = "opt/edgewise/lib/python3.11/site-packages"
REPOSITORY = Path(__file__).parents[2]


def why_not() -> str:
    """Why no container can be made here; empty when one can."""
    missing = [
        program for program in ("debootstrap", "systemd-nspawn", "nsenter") if not shutil.which(program)
    ]
    if missing:
        return f"needs {', '.join(missing)} (apt install debootstrap systemd-container)"
    return "" if os.geteuid() == 0 else "needs root"


def base_tree() -> Path:
    """Debian with systemd and Python, without Edgewise."""
    tree = cache_folder() / f"debian-{SUITE}-systemd"
    if not tree.exists():
        beside = tree.with_name(f"{tree.name}.part")
        shutil.rmtree(beside, ignore_errors=True)
        words = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(beside)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["chroot", str(beside), "python3", "-m", "venv", "/opt/edgewise"], check=True)
        beside.rename(tree)
    return tree


class Container:
    """Booted until `end`. ``folder`` is for its layer, and must not be on an overlay itself."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        for part in (self.root, folder / "upper", folder / "work"):
            part.mkdir(parents=True)
        layers = f"lowerdir={base_tree()},upperdir={folder / 'upper'},workdir={folder / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(self.root)], check=True)
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def install_edgewise(self, folder: Path) -> None:
        """This checkout with what an agent needs, as a wheel."""
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qqq"]
        subprocess.run([*pip, "wheel", "--no-deps", "-w", str(folder), str(REPOSITORY)], check=True)
        (wheel,) = folder.glob("edgewise-*.whl")
        target = str(self.root / SITE_PACKAGES)
        subprocess.run([*pip, "install", "--target", target, "--upgrade", f"{wheel}[agent]"], check=True)

    def boot(self) -> str:
        """What systemd says of itself once it is up, such as "running"; empty when it does not come up."""
        words = ["systemd-nspawn", "-q", "-D", str(self.root), "--boot", "--register=no", "--keep-unit"]
        self._nspawn = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        give_up_s = time.monotonic() + BOOT_S
        while time.monotonic() < give_up_s and self._nspawn.poll() is None:
            pids = children.read_text().split()
            if pids:
                self._leader = int(pids[0])
                said = self.run("systemctl", "is-system-running", check=False).strip()
                if said in ("running", "degraded"):
                    return said
            time.sleep(0.5)
        return ""

    def run(self, *words: str, check: bool = True) -> str:
        """What a command inside prints."""
        inside = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-p", "-n", "-C", "--", *words]
        done = subprocess.run(inside, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def edgewise(self, *words: str, check: bool = True) -> str:
        """Our command inside."""
        code = "import sys; from edgewise.cli import main; sys.exit(main())"
        return self.run(PYTHON, "-P", "-c", code, *words, check=check)

    def property_of(self, unit: str, name: str) -> str:
        """As `systemctl show` tells."""
        return self.run("systemctl", "show", unit, "--property", name, "--value").strip()

    def end(self) -> None:
        """Shut down, and take the layer away."""
        if self._nspawn is not None:
            if self._leader and self._nspawn.poll() is None:
                self.run("systemctl", "poweroff", check=False)
            try:
                self._nspawn.wait(SHUTDOWN_S)
            except subprocess.TimeoutExpired:
                self._nspawn.send_signal(signal.SIGKILL)
                self._nspawn.wait()
        subprocess.run(["umount", str(self.root)], check=True)
