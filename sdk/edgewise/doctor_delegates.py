"""What the doctor says of delegates: which could be used here, and what is missing for the others."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from edgewise.child import Child
from edgewise.delegate import EDGE_TPU, GPU, KNOWN
from edgewise.errors import BackendUnavailable

CORAL_USB_IDS = ("1a6e:089a", "18d1:9302")
"""Vendor and product of the Coral USB Accelerator before and after its firmware is loaded."""
CORAL_PCIE = "dev/apex_0"
"""The device of the gasket driver: Coral's PCIe and M.2 boards."""
WORKER = "edgewise.doctor_worker"

TryDelegate = Callable[[str], str]
"""Why a delegate of this name cannot be started here, or ""."""


@dataclass(frozen=True)
class DelegateState:
    """One delegate, in words."""

    name: str
    value: str
    problem: str = ""
    remedy: str = ""


def edge_tpu_state(root: Path, reason: str) -> DelegateState:
    """``root`` holds /sys and /dev; ``reason`` is why the library cannot be started. No accelerator is no problem."""
    where = _coral_at(root)
    is_missing = "cannot be loaded" in reason
    if where and reason:
        remedy = KNOWN[EDGE_TPU].remedy
        if not is_missing:
            remedy = "let this user open it (group plugdev or apex), unplug it and plug it in again"
        return DelegateState(EDGE_TPU, f"accelerator on {where}", reason.partition(";")[0], remedy)
    if where:
        return DelegateState(EDGE_TPU, f"works, accelerator on {where}")
    library = "its library is not installed" if is_missing else "its library is installed"
    return DelegateState(EDGE_TPU, f"not here: no Coral accelerator on USB or PCIe; {library}")


def gpu_state(reason: str) -> DelegateState:
    """A GPU is never needed."""
    if not reason:
        return DelegateState(GPU, "its delegate starts")
    if "cannot be loaded" in reason:
        return DelegateState(GPU, "no delegate: no Python package brings one, and the processor does without")
    return DelegateState(GPU, f"its delegate does not start: {reason.partition(';')[0]}")


def providers_state(providers: Iterable[str]) -> DelegateState:
    """The execution providers of onnxruntime, for ``delegate=`` of .onnx files."""
    names = [name.removesuffix("ExecutionProvider") for name in providers]
    return DelegateState("providers", f"of onnxruntime: {', '.join(names)}")


def _coral_at(root: Path) -> str:
    if (root / CORAL_PCIE).exists():
        return "PCIe"
    for vendor in root.glob("sys/bus/usb/devices/*/idVendor"):
        try:
            numbers = f"{vendor.read_text().strip()}:{vendor.with_name('idProduct').read_text().strip()}"
        except OSError:
            continue
        if numbers in CORAL_USB_IDS:
            return "USB"
    return ""


def try_delegate_in_process(name: str) -> str:
    """Why a delegate cannot be started, or "". One that crashes takes only its own process with it."""
    with Child(WORKER, Path(name)) as child:
        try:
            return str(child.ask("delegate", name=name)["reason"])
        except BackendUnavailable as error:
            return str(error).removeprefix(f"{name}: ")


def providers_in_process() -> tuple[str, ...]:
    """The execution providers of the onnxruntime that is installed."""
    with Child(WORKER, Path("onnxruntime")) as child:
        try:
            return tuple(child.ask("providers")["providers"])
        except BackendUnavailable:
            return ()
