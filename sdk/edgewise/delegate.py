"""What else may compute a model's operators than this processor's own kernels: a delegate, or an execution provider."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

EDGE_TPU, GPU = "edgetpu", "gpu"


@dataclass(frozen=True)
class KnownDelegate:
    """One that goes by a short name."""

    library: str
    remedy: str


KNOWN = {
    EDGE_TPU: KnownDelegate(
        "libedgetpu.so.1",
        "plug the Coral accelerator in and install its library (sudo apt install libedgetpu1-std, from Coral's "
        "package source)",
    ),
    GPU: KnownDelegate(
        "libtensorflowlite_gpu_delegate.so",
        "no Python package brings TensorFlow Lite's GPU delegate: build it from TensorFlow's sources for this board "
        "and give its path, or use the processor, which on a Raspberry Pi is the usual way",
    ),
}
"""Of .tflite files."""


@dataclass(frozen=True)
class Delegate:
    """A delegate with its options, for `load`."""

    library: str
    """edgetpu, gpu, or the path or name of a shared library for .tflite files; for .onnx files the name of an
    execution provider of the onnxruntime that is installed, such as xnnpack."""
    options: Mapping[str, str] = field(default_factory=dict)
    """As the delegate's documentation says; handed over as text."""

    @property
    def name(self) -> str:
        """How it is called in reports: the short name, or the library's file name."""
        return self.library if self.library in KNOWN else Path(self.library).name

    @property
    def file(self) -> str:
        """What the dynamic linker is asked for."""
        if self.library in KNOWN:
            return KNOWN[self.library].library
        path = Path(self.library)
        return str(path.absolute()) if path.exists() else self.library

    @property
    def remedy(self) -> str:
        """What to do where its library is not to be had."""
        known = KNOWN.get(self.library)
        return known.remedy if known else "give the path of a delegate's shared library built for this system"

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `Delegate(**...)` is the way back."""
        return asdict(self)


AnyDelegate: TypeAlias = str | os.PathLike[str] | Delegate


def as_delegate(given: AnyDelegate | None) -> Delegate | None:
    """What `load` was given."""
    return given if given is None or isinstance(given, Delegate) else Delegate(os.fspath(given))


def parse_delegate(library: str | None, options: list[str]) -> Delegate | None:
    """A command line's ``--delegate`` and its ``--delegate-option KEY=VALUE``. Raises InvalidInput."""
    from edgewise.errors import InvalidInput

    pairs = [text.partition("=") for text in options]
    for text, (key, sign, _) in zip(options, pairs, strict=True):
        if not key or not sign:
            raise InvalidInput(f"--delegate-option: got '{text}', expected KEY=VALUE")
    if library is None:
        if options:
            raise InvalidInput("--delegate-option: got no --delegate that it could be for")
        return None
    return Delegate(library, {key: value for key, _, value in pairs})
