"""Writes the unit: where it belongs, never over another, and says what to type next."""

import grp
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from edgewise.atomic_file import write_bytes
from edgewise_agent.errors import InstallRefused
from edgewise_agent.service.unit import GROUPS, MEMORY_MAX_MB, STATE_HOME, WATCHDOG_S, UnitOptions, unit_text
from edgewise_agent.settings.config import load_settings

UNIT_NAME = "edgewise-agent.service"
SYSTEM_UNITS = Path("/etc/systemd/system")


@dataclass(frozen=True)
class Plan:
    """What would be written where."""

    path: Path
    text: str
    next_steps: tuple[str, ...]


def plan(
    config: Path,
    *,
    is_user_unit: bool,
    user: str = "",
    memory_max_mb: int = MEMORY_MAX_MB,
    watchdog_s: int = WATCHDOG_S,
    folder: Path | None = None,
) -> Plan:
    """From a settings file that is sound. Changes nothing. Raises InvalidSettings or InstallRefused."""
    settings = load_settings(config)
    if user == "root":
        raise InstallRefused(
            "--user-name root: the agent needs no rights of root; name another user, or none"
        )
    state_dir = settings.device.state_dir.absolute()
    if not (is_user_unit or user or state_dir.parent == STATE_HOME):
        raise InstallRefused(
            f"device.state_dir {state_dir}: the user that systemd makes for the agent can write in a folder of "
            f"{STATE_HOME} only; set it to {STATE_HOME / 'edgewise-agent'}, or name the folder's owner with --user-name"
        )
    options = UnitOptions(
        python=Path(sys.executable),
        config=config.absolute(),
        state_dir=state_dir,
        is_user_unit=is_user_unit,
        user=user,
        groups=() if is_user_unit else existing_groups(),
        memory_max_mb=memory_max_mb,
        watchdog_s=watchdog_s,
    )
    place = folder or (user_units() if is_user_unit else SYSTEM_UNITS)
    return Plan(place / UNIT_NAME, unit_text(options), _next_steps(options))


def write(planned: Plan, *, force: bool) -> None:
    """Raises InstallRefused where there is one already and not ``force``, or where it may not write."""
    try:
        former = planned.path.read_text(errors="replace") if planned.path.exists() else None
        if former is None or force:
            planned.path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(planned.path, [planned.text.encode()])
            planned.path.chmod(0o644)
    except OSError as error:
        hint = "; run it with sudo, or use --user" if isinstance(error, PermissionError) else ""
        raise InstallRefused(f"{planned.path}: {error.strerror or error}{hint}") from error
    if former is not None and former != planned.text and not force:
        raise InstallRefused(
            f"{planned.path}: exists already, with other contents; --force replaces it, --print shows the new one"
        )


def existing_groups() -> tuple[str, ...]:
    """Those of GROUPS that this system has."""
    known = {group.gr_name for group in grp.getgrall()}
    return tuple(name for name in GROUPS if name in known)


def user_units() -> Path:
    """Where `systemctl --user` looks (systemd.unit(5))."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    return Path(base) / "systemd/user"


def _next_steps(options: UnitOptions) -> tuple[str, ...]:
    if options.is_user_unit:
        return (
            "systemctl --user daemon-reload",
            f"systemctl --user enable --now {UNIT_NAME}",
            "loginctl enable-linger    # so that it runs without a login, too",
        )
    steps = ["sudo systemctl daemon-reload", f"sudo systemctl enable --now {UNIT_NAME}"]
    if options.state_dir.parent != STATE_HOME:
        steps.insert(0, f"sudo install -d -o {options.user} {options.state_dir}")
    return tuple(steps)
