"""onnx2tf: an ONNX file in, the float32 TFLite file that it writes out."""

from pathlib import Path

import numpy as np

from edgewise_converters.engines.installation import Installed
from edgewise_converters.engines.limited_process import Limits, run_limited
from edgewise_converters.errors import EngineError
from edgewise_converters.tflite.schema import operator_kinds

_WORKER = Path(__file__).with_name("onnx2tf_worker.py")
_TEST_IMAGES = "calibration_image_sample_data_20x128x128x3_float32.npy"
"""It looks for this file beside it, and downloads it otherwise, whenever an input may be a picture."""
_TEST_IMAGES_SHAPE = (20, 128, 128, 3)
_SEED = 0


def convert_apart(engine: Installed, model: Path, folder: Path, *, limits: Limits) -> Path:
    """The float32 file made of ``model``, which is overwritten; everything else it writes stays in ``folder``.

    Raises EngineError when it fails, writes nothing, or writes operators that small runtimes do not have.
    """
    images = np.random.default_rng(_SEED).random(_TEST_IMAGES_SHAPE, np.float32)
    np.save(folder / _TEST_IMAGES, images)
    original = model.read_bytes()
    try:
        return _run(engine, model, folder, limits, "simplified")
    except EngineError as first:
        model.write_bytes(original)
        try:
            return _run(engine, model, folder, limits, "plain")
        except EngineError:
            raise first from None


def _run(engine: Installed, model: Path, folder: Path, limits: Limits, way: str) -> Path:
    name = f"{engine.name} {engine.version}"
    out = folder / way
    # It runs an `onnxsim` that it finds on PATH: it must be the one of its own environment.
    variables = {"PATH": f"{engine.python.parent}:/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "3"}
    words: list[str | Path] = [engine.python, "-I", _WORKER, model, out, way]
    run_limited(name, words, folder=folder, limits=limits, variables=variables)
    written = sorted(out.glob("*_float32.tflite"))
    if not written:
        raise EngineError(f"{name}: ended well, but wrote no float32 file")
    _check_operators(name, written[0].read_bytes())
    return written[0]


def _check_operators(name: str, network: bytes) -> None:
    kinds = {kind for kind in operator_kinds(network) if kind.startswith(("CUSTOM", "UNKNOWN"))}
    if kinds:
        raise EngineError(
            f"{name}: its file holds operators that are no TFLite builtins: {', '.join(sorted(kinds))}"
        )
