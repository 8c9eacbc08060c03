"""Which board this is, what its processor can do, and how warm, how fast and how well fed it is.

Every reading is of files under ``root`` or of `vcgencmd`; what a board does not tell is None or empty.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
VCGENCMD = "vcgencmd"
_VCGENCMD_TIMEOUT_S = 2.0

_MODEL_FILES = ("proc/device-tree/model", "sys/firmware/devicetree/base/model")
_THROTTLED_FILE = "sys/devices/platform/soc/soc:firmware/get_throttled"
_VOLTAGE_SENSOR = "rpi_volt"
"""The kernel's hwmon driver raspberrypi-hwmon: `in0_lcrit_alarm` is 1 after under-voltage."""
_PROCESSOR_ZONES = ("cpu", "soc", "x86_pkg", "bigcore", "littlecore", "package")

THROTTLED_BITS = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
"""Bits 0 to 3 are now, 16 to 19 since boot (Raspberry Pi documentation, `vcgencmd get_throttled`)."""
_SINCE_BOOT_SHIFT = 16
UNDER_VOLTAGE = THROTTLED_BITS[0]

_ARM = "0x41"
_ARM_PARTS = {
    "0xb76": "ARM1176", "0xc07": "Cortex-A7", "0xc08": "Cortex-A8", "0xc09": "Cortex-A9", "0xc0f": "Cortex-A15",
    "0xd01": "Cortex-A32", "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57", "0xd08": "Cortex-A72", "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76", "0xd0d": "Cortex-A77", "0xd41": "Cortex-A78", "0xd44": "Cortex-X1",
    "0xd46": "Cortex-A510", "0xd47": "Cortex-A710", "0xd4d": "Cortex-A715", "0xd80": "Cortex-A520",
    "0xd81": "Cortex-A720",
}  # fmt: skip
"""MIDR_EL1.PartNum, from the technical reference manual of each core."""

_DOT_PRODUCT = frozenset({"asimddp", "avx512_vnni", "avx_vnni"})
_FP16_ARITHMETIC = frozenset({"asimdhp", "avx512_fp16"})
_INT8_MATMUL = frozenset({"i8mm", "amx_int8"})
_NEON = frozenset({"neon", "asimd"})
"""Names of Linux: Documentation/arch/arm64/elf_hwcaps.rst; on x86 the nearest of its flags."""


@dataclass(frozen=True)
class CpuFeatures:
    """What makes a quantized or half-precision model fast; None where the processor does not say."""

    dot_product: bool | None
    """Four products of 8-bit integers in one instruction: int8 pays."""
    fp16_arithmetic: bool | None
    """Half-precision arithmetic: fp16 pays."""
    int8_matmul: bool | None
    """Products of small int8 matrices (i8mm)."""
    neon: bool | None = None
    """ARM's vectors of 128 bits, which the runtimes for ARM need; None on other processors."""


@dataclass(frozen=True)
class Throttling:
    """What holds the board back, in words."""

    now: tuple[str, ...]
    since_boot: tuple[str, ...]


@dataclass(frozen=True)
class Condition:
    """The board at one moment."""

    frequencies_mhz: tuple[float, ...]
    """Of each core; empty where the kernel does not tell."""
    temperature_c: float | None
    """Of the hottest zone that belongs to the processor."""
    throttling: Throttling | None
    """None where no firmware tells."""


@dataclass(frozen=True)
class Device:
    """One board, at one moment."""

    board: str
    """As its device tree says, such as "Raspberry Pi 5 Model B Rev 1.0"; empty where there is none."""
    cpu: str
    """The model of its cores; several, joined by " + ", where they differ."""
    cores: int
    machine: str
    """The instruction set: aarch64, armv7l, x86_64."""
    features: CpuFeatures
    governors: tuple[str, ...]
    """How the kernel chooses the clock; more than one where cores differ, empty where unknown."""
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    load_average: float | None
    """How many programs wanted to run, over the last minute."""
    condition: Condition


def read_device(root: Path = ROOT, *, vcgencmd: str | None = VCGENCMD) -> Device:
    """Read everything about the board. ``vcgencmd`` is the firmware's tool, or None to leave it alone."""
    cpuinfo = _read(root / "proc/cpuinfo")
    memory = _memory_bytes(_read(root / "proc/meminfo"))
    return Device(
        board=board_name(root),
        cpu=cpu_name(cpuinfo),
        cores=sum(1 for _, key, _ in _fields(cpuinfo) if key == "processor") or os.cpu_count() or 1,
        machine=os.uname().machine,
        features=cpu_features(cpuinfo),
        governors=_governors(root),
        memory_total_bytes=memory.get("MemTotal"),
        memory_available_bytes=memory.get("MemAvailable"),
        load_average=_number(_read(root / "proc/loadavg").partition(" ")[0]),
        condition=read_condition(root, vcgencmd=vcgencmd),
    )


def read_condition(root: Path = ROOT, *, vcgencmd: str | None = VCGENCMD) -> Condition:
    """Clock, temperature and throttling as they are now."""
    return Condition(_frequencies_mhz(root), _temperature_c(root), _throttling(root, vcgencmd))


def board_name(root: Path = ROOT) -> str:
    """What the device tree says; empty where there is none."""
    names = (_read(root / name).rstrip("\0").strip() for name in _MODEL_FILES)
    return next((name for name in names if name), "")


def cpu_name(cpuinfo: str) -> str:
    """The model of the cores, from the text of /proc/cpuinfo; empty where it does not say."""
    implementers: dict[int, str] = {}
    names: dict[str, None] = {}
    stated: dict[str, None] = {}
    for block, key, value in _fields(cpuinfo):
        if key == "CPU implementer":
            implementers[block] = value
        elif key == "CPU part":
            maker = implementers.get(block, "")
            known = _ARM_PARTS.get(value) if maker == _ARM else None
            names[known or f"implementer {maker} part {value}"] = None
        elif key == "model name":
            stated[value] = None
    return " + ".join(names or stated)


def cpu_features(cpuinfo: str) -> CpuFeatures:
    """What every core can do, from the text of /proc/cpuinfo."""
    named = [(key, set(value.split())) for _, key, value in _fields(cpuinfo) if key in ("Features", "flags")]
    if not named:
        return CpuFeatures(None, None, None)
    common = set.intersection(*(names for _, names in named))
    is_arm = named[0][0] == "Features"
    return CpuFeatures(
        dot_product=bool(common & _DOT_PRODUCT),
        fp16_arithmetic=bool(common & _FP16_ARITHMETIC),
        int8_matmul=bool(common & _INT8_MATMUL),
        neon=bool(common & _NEON) if is_arm else None,
    )


def parse_throttled(text: str) -> Throttling | None:
    """What `vcgencmd get_throttled` prints, such as ``throttled=0x50005``; None when it is something else."""
    try:
        flags = int(text.strip().rpartition("=")[2], 16)
    except ValueError:
        return None
    return Throttling(_words(flags), _words(flags >> _SINCE_BOOT_SHIFT))


def ask_firmware(program: str | None, *arguments: str) -> str:
    """What `vcgencmd` answers; empty where there is none, or it fails or hangs."""
    if not program or not any(Path(folder, program).exists() for folder in os.get_exec_path()):
        return ""
    import subprocess  # only boards with this firmware need it

    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_VCGENCMD_TIMEOUT_S,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return done.stdout


def _words(flags: int) -> tuple[str, ...]:
    return tuple(word for bit, word in enumerate(THROTTLED_BITS) if flags >> bit & 1)


def _throttling(root: Path, vcgencmd: str | None) -> Throttling | None:
    text = _read(root / _THROTTLED_FILE) or ask_firmware(vcgencmd, "get_throttled")
    stated = parse_throttled(text) if text else None
    if stated is not None:
        return stated
    for sensor in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if _read(sensor / "name").strip() == _VOLTAGE_SENSOR:
            is_low = _read(sensor / "in0_lcrit_alarm").strip() == "1"
            return Throttling((), (UNDER_VOLTAGE,) if is_low else ())
    return None


def _governors(root: Path) -> tuple[str, ...]:
    files = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"))
    return tuple(dict.fromkeys(text for text in (_read(file).strip() for file in files) if text))


def _frequencies_mhz(root: Path) -> tuple[float, ...]:
    files = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    readings = (_number(_read(file)) for file in files)
    return tuple(khz / 1000 for khz in readings if khz)


def _temperature_c(root: Path) -> float | None:
    readings = []
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        if _read(zone / "type").strip().lower().startswith(_PROCESSOR_ZONES):
            millidegrees = _number(_read(zone / "temp"))
            if millidegrees is not None:
                readings.append(millidegrees / 1000)
    return max(readings, default=None)


def _memory_bytes(meminfo: str) -> dict[str, int]:
    """Lines such as ``MemTotal:  948012 kB`` (proc(5): the unit is always kB)."""
    memory = {}
    for _, key, value in _fields(meminfo):
        kilobytes = _number(value.split()[0]) if value else None
        if kilobytes is not None:
            memory[key] = int(kilobytes) * 1024
    return memory


def _fields(text: str) -> Iterator[tuple[int, str, str]]:
    """Lines ``key : value`` with the number of their block; blocks are separated by empty lines."""
    block = 0
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            yield block, key.strip(), value.strip()
        elif not line.strip():
            block += 1


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read(path: Path) -> str:
    """The text of a small file; empty when it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
