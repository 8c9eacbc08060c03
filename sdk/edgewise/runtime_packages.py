"""Which package each runtime comes in, and where there is none. No NumPy: the doctor must live where that does not."""

import os
import sys

PACKAGES = {"litert": "ai-edge-litert", "tflite-runtime": "tflite-runtime", "onnxruntime": "onnxruntime"}
"""By the runtime's name."""
_32_BIT_ARM = ("armv6l", "armv7l", "armv8l")
_NEWEST_PYTHON_OF_TFLITE_RUNTIME = (3, 11)
MISSING = "not installed"
"""What the reason begins with where a runtime is not there at all."""


def machine_of_python() -> str:
    """As `uname -m` has it, but armv8l for a 32-bit Python on a 64-bit kernel: it can load what armv7l can."""
    machine = os.uname().machine
    return "armv8l" if machine == "aarch64" and sys.maxsize < 2**32 else machine


def why_no_package(name: str, *, machine: str, python: tuple[int, int]) -> str:
    """Why the package index has nothing of a runtime for this machine and Python, or ""."""
    package = PACKAGES[name]
    if machine in _32_BIT_ARM and name != "tflite-runtime":
        return f"{package} is made for 64-bit systems only"
    if name == "tflite-runtime" and python > _NEWEST_PYTHON_OF_TFLITE_RUNTIME:
        return "tflite-runtime is made for Python 3.11 at most"
    return ""


def why_missing(name: str) -> str:
    """What to say of a runtime that is not installed here: how to get it, or that it cannot be had."""
    reason = why_no_package(name, machine=machine_of_python(), python=sys.version_info[:2])
    return f"{MISSING}; {reason or f'pip install {PACKAGES[name]}'}"
