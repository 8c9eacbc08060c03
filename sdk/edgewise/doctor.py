"""Can this machine run models, and what keeps it from running them well? Each problem comes with its remedy."""

import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from edgewise.child import Child
from edgewise.delegate import EDGE_TPU, GPU
from edgewise.device import ROOT, UNDER_VOLTAGE, VCGENCMD, CpuFeatures, Device, read_device
from edgewise.doctor_delegates import (
    TryDelegate,
    edge_tpu_state,
    gpu_state,
    providers_in_process,
    providers_state,
    try_delegate_in_process,
)
from edgewise.errors import BackendUnavailable
from edgewise.preprocess.compiled import REASON_MISSING
from edgewise.runtime_packages import MISSING, PACKAGES, machine_of_python, why_no_package

WORKER = "edgewise.doctor_worker"
_TFLITE = ("litert", "tflite-runtime")

_HOT_C = 80.0
"""Raspberry Pi documentation, "Frequency management and thermal control": throttling begins at 80 to 85 C."""
_LOW_MEMORY_BYTES = 200_000_000
"""Python, a runtime and a MobileNet take about 100 MB."""
_LOW_DISK_BYTES = 200_000_000
_SLOW_GOVERNOR = "powersave"


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    name: str
    value: str
    problem: str = ""
    """Empty when all is well."""
    remedy: str = ""


@dataclass(frozen=True)
class Examination:
    """All that was found."""

    device: Device
    backends: dict[str, str]
    """Every runtime: "" when it works here, otherwise why not."""
    findings: tuple[Finding, ...]

    @property
    def can_run(self) -> bool:
        """Whether any runtime works."""
        return not all(self.backends.values())

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "can_run": self.can_run}

    def page(self) -> str:
        """For people."""
        lines = []
        for finding in self.findings:
            lines.append(f"{'!' if finding.problem else ' '} {finding.name:<16}{finding.value}".rstrip())
            if finding.problem:
                lines.append(f"{'':<18}problem: {finding.problem}")
                lines.append(f"{'':<18}remedy:  {finding.remedy}")
        problems = sum(1 for finding in self.findings if finding.problem)
        verdict = "models run here" if self.can_run else "no model can run here"
        noun = "problem" if problems == 1 else "problems"
        return "\n".join([*lines, f"{verdict}; {problems or 'no'} {noun}"])


def examine(
    root: Path = ROOT,
    *,
    vcgencmd: str | None = VCGENCMD,
    disk: Path | None = None,
    try_backend: Callable[[str], str] | None = None,
    try_delegate: TryDelegate | None = None,
) -> Examination:
    """Look at this machine. ``root`` holds /proc and /sys; ``disk`` is a path on the disk to look at.

    ``try_backend`` says why the runtime of a name does not work, or "", and ``try_delegate`` the same of a delegate: by
    default they are tried in a process.
    """
    device = read_device(root, vcgencmd=vcgencmd)
    try_one = try_backend or try_in_process
    backends = {name: try_one(name) for name in PACKAGES}
    findings = (
        *backend_findings(backends, machine=machine_of_python(), python=sys.version_info[:2]),
        *delegate_findings(root, backends, try_delegate or try_delegate_in_process),
        _versions(),
        reading_finding(REASON_MISSING),
        *device_findings(device),
        disk_finding(shutil.disk_usage(disk or Path.cwd()).free),
    )
    return Examination(device, backends, findings)


def try_in_process(name: str) -> str:
    """Why a runtime does not work here, or "". One that crashes takes only its own process with it."""
    with Child(WORKER, Path(name)) as child:
        try:
            return str(child.ask("probe", name=name)["reason"])
        except BackendUnavailable as error:
            return str(error).removeprefix(f"{name}: ")


def backend_findings(
    backends: Mapping[str, str], *, machine: str, python: tuple[int, int]
) -> tuple[Finding, ...]:
    """One for each runtime. What does not work is a problem where nothing else does its work."""
    findings = []
    has_tflite = not all(backends[name] for name in _TFLITE)
    for name, reason in backends.items():
        if not reason:
            findings.append(Finding(name, f"works, {PACKAGES[name]} {_version(PACKAGES[name])}"))
            continue
        is_missing = reason.startswith(MISSING)
        is_needed = not has_tflite if name in _TFLITE else not is_missing
        is_broken = not is_missing and not (name == "tflite-runtime" and has_tflite)
        value = MISSING if is_missing else "does not work"
        if is_needed or is_broken:
            remedy = remedy_of(name, reason, machine=machine, python=python)
            findings.append(Finding(name, value, reason, remedy))
        else:
            needed_for = "needed for .onnx files only" if name == "onnxruntime" else "not needed here"
            detail = f"{value}: {needed_for}" if is_missing else f"{reason}: {needed_for}"
            findings.append(Finding(name, detail))
    return tuple(findings)


def delegate_findings(root: Path, backends: Mapping[str, str], try_one: TryDelegate) -> tuple[Finding, ...]:
    """One for each delegate that the runtimes which work here could use."""
    states = []
    if not all(backends[name] for name in _TFLITE):
        states += [edge_tpu_state(root, try_one(EDGE_TPU)), gpu_state(try_one(GPU))]
    if not backends["onnxruntime"]:
        states.append(providers_state(providers_in_process()))
    return tuple(Finding(one.name, one.value, one.problem, one.remedy) for one in states)


def remedy_of(name: str, reason: str, *, machine: str, python: tuple[int, int]) -> str:
    """What to do about a runtime that does not work."""
    package = PACKAGES[name]
    if "numpy" in reason.lower():
        return "pip install 'numpy<2'" if name == "tflite-runtime" else "pip install --force-reinstall numpy"
    if no_package := why_no_package(name, machine=machine, python=python):
        where = "use it there, or ai-edge-litert on a 64-bit system"
        return f"{no_package}: {where if name == 'tflite-runtime' else 'install 64-bit Raspberry Pi OS'}"
    if "GLIBC" in reason:
        return f"this system is too old for {package}: install Raspberry Pi OS Bookworm or newer"
    if "SIGILL" in reason:
        return f"{package} uses instructions that this processor lacks: try another version of it"
    return f"pip install {'' if reason.startswith(MISSING) else '--force-reinstall '}{package}"


def device_findings(device: Device) -> tuple[Finding, ...]:
    """What the board says of itself."""
    return (
        Finding("board", device.board or f"not a board with a device tree ({device.machine})"),
        Finding("processor", f"{device.cpu or device.machine}, {device.cores} cores"),
        Finding("features", _features(device.features)),
        _width(device),
        _governor(device),
        _temperature(device),
        _throttling(device),
        _memory(device),
    )


def _features(features: CpuFeatures) -> str:
    named = (
        ("int8 dot product", features.dot_product),
        ("fp16 arithmetic", features.fp16_arithmetic),
        ("i8mm", features.int8_matmul),
        *([("NEON", features.neon)] if features.neon is not None else []),
    )
    words = {True: "yes", False: "no", None: "not known"}
    return ", ".join(f"{name} {words[value]}" for name, value in named)


def _width(device: Device) -> Finding:
    bits = 64 if sys.maxsize > 2**32 else 32
    value = f"{bits}-bit Python on {device.machine}"
    if bits == 32 and any(core in device.cpu for core in ("A53", "A72", "A76")):
        remedy = "install 64-bit Raspberry Pi OS: it has LiteRT, which is faster"
        return Finding("system", value, "a 32-bit system on a 64-bit processor", remedy)
    return Finding("system", value)


def _governor(device: Device) -> Finding:
    if not device.governors:
        return Finding("governor", "not known")
    value = ", ".join(device.governors)
    if _SLOW_GOVERNOR not in device.governors:
        return Finding("governor", value)
    remedy = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    return Finding("governor", value, "the clock stays at its lowest", remedy)


def _temperature(device: Device) -> Finding:
    warmth_c = device.condition.temperature_c
    if warmth_c is None:
        return Finding("temperature", "not known")
    if warmth_c < _HOT_C:
        return Finding("temperature", f"{warmth_c:.1f} C")
    problem = f"from {_HOT_C:.0f} C on the firmware lowers the clock"
    return Finding("temperature", f"{warmth_c:.1f} C", problem, "fit a heat sink or a fan, or lower the load")


def _throttling(device: Device) -> Finding:
    throttling = device.condition.throttling
    if throttling is None:
        return Finding("throttling", "not known: no Raspberry Pi firmware tells")
    seen = tuple(dict.fromkeys(throttling.now + throttling.since_boot))
    if not seen:
        return Finding("throttling", "none since boot")
    now = f"now: {', '.join(throttling.now)}" if throttling.now else "not now"
    value = f"{now}; since boot: {', '.join(throttling.since_boot) or 'none'}"
    remedies = []
    if UNDER_VOLTAGE in seen:
        remedies.append("use the board's own power supply and a short, thick cable")
    if set(seen) - {UNDER_VOLTAGE}:
        remedies.append("cool the board")
    return Finding("throttling", value, "the board runs slower than it could", ", and ".join(remedies))


def _memory(device: Device) -> Finding:
    total, free = device.memory_total_bytes, device.memory_available_bytes
    if total is None or free is None:
        return Finding("memory", "not known")
    value = f"{free / 1e6:.0f} of {total / 1e6:.0f} MB available"
    if free >= _LOW_MEMORY_BYTES:
        return Finding("memory", value)
    return Finding(
        "memory", value, "a model and its runtime may not fit", "end other programs, or add swap (zram)"
    )


def disk_finding(free_bytes: int) -> Finding:
    """What is left of the disk, in bytes."""
    value = f"{free_bytes / 1e9:.1f} GB free"
    if free_bytes >= _LOW_DISK_BYTES:
        return Finding("disk", value)
    return Finding(
        "disk", value, "new models may not fit", "delete what is not needed: sudo apt clean, old models"
    )


def _versions() -> Finding:
    packages = ("edgewise", "numpy", "pillow")
    versions = [f"Python {platform.python_version()}", *(f"{name} {_version(name)}" for name in packages)]
    return Finding("versions", ", ".join(versions))


def reading_finding(reason_missing: str) -> Finding:
    """Whether pictures are read and made smaller by the code in C. Its absence is no problem: it costs time only."""
    if not reason_missing:
        return Finding("picture reading", "compiled")
    remedy = "for it: apt install gcc python3-dev, and pip install --force-reinstall --no-deps edgewise"
    return Finding(
        "picture reading", f"in NumPy and Pillow, slower; the one in C is {reason_missing}; {remedy}"
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
