"""Which devices there are to convert for: one data file each, read on demand."""

import difflib
import tomllib
from dataclasses import dataclass
from importlib import resources

from edgewise_converters.errors import UnknownTarget


@dataclass(frozen=True)
class Target:
    """One device, or one class of devices."""

    name: str
    title: str
    architecture: str
    cpu: str
    runtimes: tuple[str, ...]
    """The runtimes that must run the file before it is written, by their names in `edgewise.backends`."""
    precision: str
    """What `--precision auto` tries first when there are samples to calibrate on."""
    precision_without_samples: str
    """What `--precision auto` tries first when there are none."""
    fp16_arithmetic: bool
    """Whether its processor computes in float16 (ARMv8.2 FP16): fp16 files then say that they may be."""
    no_onnxruntime: str = ""
    """Why onnxruntime cannot run there; "" where it can."""


def target_names() -> list[str]:
    """Every target, sorted."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_target(name: str) -> Target:
    """The target of that name. Raises UnknownTarget with the nearest names."""
    names = target_names()
    if name not in names:
        near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UnknownTarget(f"target: got '{name}', expected one of {', '.join(names)}{hint}")
    data = tomllib.loads(resources.files(__name__).joinpath(f"{name}.toml").read_text())
    return Target(name=name, **{**data, "runtimes": tuple(data["runtimes"])})
