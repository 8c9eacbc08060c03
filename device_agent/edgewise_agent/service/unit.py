"""The systemd unit of the agent: what it may touch is written down, and all else is forbidden."""

import shlex
from dataclasses import dataclass
from pathlib import Path

MEMORY_MAX_MB = 256
WATCHDOG_S = 60
STATE_HOME = Path("/var/lib")
"""Where StateDirectory= makes folders (systemd.exec(5))."""

_HARDENING = """\
# What it may not do (systemd.exec(5)); `systemd-analyze security` lists all of it.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
PrivateTmp=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
UMask=0077
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
"""
_DEVICES = """\
# What it may open under /dev: cameras, microphones, I2C, serial lines, and the firmware's mailbox for vcgencmd.
DevicePolicy=closed
DeviceAllow=char-video4linux rw
DeviceAllow=char-media rw
DeviceAllow=char-alsa rw
DeviceAllow=char-i2c rw
DeviceAllow=char-ttyUSB rw
DeviceAllow=char-ttyACM rw
DeviceAllow=char-ttyAMA rw
DeviceAllow=char-vcio rw
DeviceAllow=char-dma_heap rw
DeviceAllow=char-usb_device rw
"""
GROUPS = ("video", "audio", "i2c", "gpio", "dialout", "plugdev")
"""Groups of Raspberry Pi OS that may use those devices; a group that a system lacks would make the start fail."""


@dataclass(frozen=True)
class UnitOptions:
    """What the unit is for."""

    python: Path
    """The interpreter of the environment in which edgewise is installed."""
    config: Path
    state_dir: Path
    is_user_unit: bool = False
    """A unit of `systemctl --user`: no other user, no devices, no root's protections, which it could not set."""
    user: str = ""
    """Whose rights it has; empty for a user that systemd makes for the time it runs."""
    groups: tuple[str, ...] = ()
    memory_max_mb: int = MEMORY_MAX_MB
    watchdog_s: int = WATCHDOG_S


def unit_text(options: UnitOptions) -> str:
    """The unit file."""
    wanted_by = "default.target" if options.is_user_unit else "multi-user.target"
    parts = [_head(options), _service(options)]
    parts += [] if options.is_user_unit else [_rights(options), _HARDENING, _homes(options), _DEVICES]
    return "".join(parts) + f"\n[Install]\nWantedBy={wanted_by}\n"


def _head(options: UnitOptions) -> str:
    network = (
        ""
        if options.is_user_unit
        else "Wants=network-online.target\nAfter=network-online.target time-sync.target\n"
    )
    return (
        "# Written by `edgewise agent install`.\n"
        "[Unit]\n"
        "Description=Edgewise agent: runs a model on this device and reports to its fleet\n"
        f"{network}"
        "# A start that fails again and again: thirty times in ten minutes, then it is left for a person. Before that\n"
        "# the agent gives up both slots and the factory model, if those are why: three times six kills at most.\n"
        "StartLimitIntervalSec=600\n"
        "StartLimitBurst=30\n"
    )


def _service(options: UnitOptions) -> str:
    words = (str(options.python), "-P", "-m", "edgewise_agent.lean", "--config", str(options.config))
    return (
        "\n[Service]\n"
        "Type=notify\n"
        "NotifyAccess=main\n"
        f"ExecStart={' '.join(map(_quoted, words))}\n"
        f"Environment={' '.join(_environment())}\n"
        f"WatchdogSec={options.watchdog_s}\n"
        "TimeoutStartSec=120\n"
        "TimeoutStopSec=30\n"
        "Restart=always\n"
        "RestartSec=5\n"
        f"MemoryMax={options.memory_max_mb}M\n"
        "MemorySwapMax=0\n"
        "TasksMax=64\n"
        "OOMPolicy=stop\n"
        # In memory, and kept over restarts of the service: whether an inference was at hand when it died.
        "RuntimeDirectory=edgewise-agent\n"
        "RuntimeDirectoryMode=0700\n"
        "RuntimeDirectoryPreserve=yes\n"
    )


def _environment() -> list[str]:
    from edgewise_agent.lean import ENVIRONMENT

    return [f"{name}={value}" for name, value in ENVIRONMENT.items()]


def _rights(options: UnitOptions) -> str:
    lines = [f"User={options.user}"] if options.user else ["DynamicUser=yes"]
    if options.groups:
        lines.append(f"SupplementaryGroups={' '.join(options.groups)}")
    if options.state_dir.parent == STATE_HOME:
        lines += [f"StateDirectory={options.state_dir.name}", "StateDirectoryMode=0750"]
    else:
        lines.append(f"ReadWritePaths={_quoted(str(options.state_dir))}")
    return "# Who it is, and the only place where it may write.\n" + "".join(f"{line}\n" for line in lines)


def _homes(options: UnitOptions) -> str:
    """/home may be closed only where nothing of the agent lies in it."""
    lies_in_home = any(
        str(path).startswith(("/home/", "/root/", "/run/user/"))
        for path in (options.python, options.config, options.state_dir)
    )
    return f"ProtectHome={'read-only' if lies_in_home else 'yes'}\n"


def _quoted(word: str) -> str:
    """systemd.service(5), "Command lines": % and $ stand for other things unless doubled."""
    plain = word.replace("%", "%%").replace("$", "$$")
    return (
        plain if shlex.quote(plain) == plain else '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )
