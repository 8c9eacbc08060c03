"""Good files, ways to break them, and a command that must say so in one line.

Each command runs in a fork of this process, which has everything imported but has opened no model, with its memory
limited: a crash, a hang or a greedy allocation ends the fork only.
"""

import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
from converters.onnx_cases import Case, ask_onnxruntime, case, feeds_of, model_of
from PIL import Image

PATIENCE_S = 60.0
_IMPORTED = (
    "ai_edge_litert.interpreter", "edgewise.cli", "edgewise.inspection", "edgewise_converters.drawing",
    "edgewise_converters.pipeline", "edgewise_converters.commands.convert",
)  # fmt: skip
"""What a fork need not import again."""
MOST_BYTES = 2 << 30
"""On top of what the libraries take: the files are some kilobytes."""
PICTURES = 6
_CONV = case(
    "a = Conv<pads=[1,1,1,1]>(x, w, b) c = Relu(a) d = GlobalAveragePool(c) e = Flatten(d) y = Gemm(e, v)",
    x=(1, 3, 12, 12), w=(8, 3, 3, 3), b=(8,), v=(8, 5),
)  # fmt: skip
_CHAIN = case(
    "s = Shape(x) n = Gather<axis=0>(s, i) u = Unsqueeze(n, z) t = Concat<axis=0>(u, m) r = Reshape(x, t) "
    "a = MatMul(r, w) p = Softmax<axis=-1>(a) l = LayerNormalization(p, g) y = Add(l, b)",
    x=(2, 4, 6), i=np.int64(0), z=np.array([0]), m=np.array([-1]), w=(24, 8), g=(8,), b=(8,),
)  # fmt: skip
_QUANTIZED = case(
    "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) k = DequantizeLinear<axis=0>(w, t, u) "
    "y = Conv<pads=[1,1,1,1]>(d, k)",
    x=(1, 2, 8, 8), s=np.float32(0.02), z=np.int8(3), w=np.arange(-36, 36).reshape(4, 2, 3, 3).astype(np.int8),
    t=np.array([0.1, 0.2, 0.3, 0.1], np.float32), u=np.zeros(4, np.int8),
)  # fmt: skip
_RECURRENT = case(
    "y, h, c = LSTM<hidden_size=4>(x, w, r, b)", x=(5, 1, 3), w=(1, 16, 3), r=(1, 16, 4), b=(1, 32)
)
MODELS: dict[str, Case] = {"conv": _CONV, "chain": _CHAIN, "quantized": _QUANTIZED, "recurrent": _RECURRENT}


@dataclass(frozen=True)
class Trial:
    """What is broken, and the command that meets it; `*` stands for the folder of this trial."""

    broken: str
    command: tuple[str, ...]


_TO = ("--target", "rpi4", "--out", "*/out.tflite")
_INT8 = ("convert", "*/conv.onnx", *_TO, "--precision", "int8", "--preprocess", "unit")
TRIALS = (
    *(Trial(f"{name}.onnx", ("convert", f"*/{name}.onnx", *_TO)) for name in MODELS),
    Trial("conv.onnx", (*_INT8, "--samples", "*/photos")),
    Trial("outside.onnx", ("convert", "*/outside.onnx", *_TO)),
    Trial("outside.bin", ("convert", "*/outside.onnx", *_TO)),
    Trial("float.tflite", ("convert", "*/float.tflite", *_TO)),
    Trial("int8.tflite", ("convert", "*/int8.tflite", *_TO)),
    Trial("float.tflite", ("inspect", "*/float.tflite", "--self-test")),
    Trial("int8.tflite", ("inspect", "*/int8.tflite", "--self-test")),
    Trial("many.npy", (*_INT8[:-2], "--samples", "*/many.npy")),
    Trial("many.npz", (*_INT8[:-2], "--samples", "*/many.npz")),
    Trial("packed.npz", (*_INT8[:-2], "--samples", "*/packed.npz")),
    Trial("photos/0.png", (*_INT8, "--samples", "*/photos/0.png")),
    Trial("photos/1.jpg", (*_INT8, "--samples", "*/photos/1.jpg")),
    Trial("labels.txt", ("convert", "*/conv.onnx", *_TO, "--labels", "*/labels.txt")),
)


class Workshop:
    """Good files in ``folder``/good; each trial works on a copy."""

    def __init__(self, folder: Path) -> None:
        for name in _IMPORTED:
            import_module(name)
        self._good = folder / "good"
        self._folder = folder / "trial"
        self._good.mkdir()
        # In a fork, so that this process never opens a model: threads of a runtime do not survive a fork.
        if _in_fork(lambda: _make(self._good), self._good / "making.txt") != 0:
            raise RuntimeError((self._good / "making.txt").read_text())

    def judge(self, seed: int) -> tuple[str, str]:
        """Break a file by ``seed`` and run its command: refused, equal (it survived) or WRONG, and what was said."""
        rng = random.Random(seed)
        trial = TRIALS[seed % len(TRIALS)]
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.copytree(self._good, self._folder)
        file = self._folder / trial.broken
        how, data = break_bytes(rng, file.read_bytes())
        file.write_bytes(data)
        words = [word.replace("*", str(self._folder)) for word in trial.command]
        before = _files(self._folder)
        errors = self._folder.with_suffix(".txt")
        code = _in_fork(lambda: _command(words), errors)
        left = _files(self._folder) - before
        word, reason = _verdict(code, errors.read_text(errors="replace"), left)
        return word, f"{trial.command[0]} with {trial.broken} {how}: {reason}"


def break_bytes(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    """How the bytes were broken, and the broken bytes."""
    way = rng.choice(("cut", "bits", "bits", "bits", "zeros", "noise", "gone", "twice"))
    place = rng.randrange(len(data))
    length = min(rng.choice((1, 4, 16, 64, 256)), len(data) - place)
    if way == "cut":
        return f"cut at {place}", data[:place]
    if way == "bits":
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8))):
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return "with bits flipped", bytes(changed)
    middle = {
        "zeros": bytes(length),
        "noise": rng.randbytes(length),
        "gone": b"",
        "twice": data[place : place + length] * 2,
    }[way]
    return f"with {length} bytes at {place} {way}", data[:place] + middle + data[place + length :]


def _verdict(code: int, said: str, left: set[str]) -> tuple[str, str]:
    lines = [line for line in said.splitlines() if line and not line.startswith("note: ")]
    if code == 0:
        return "equal", ""
    if code != 1 or "Traceback" in said or any(line.startswith("internal error") for line in lines):
        return "WRONG", f"exit code {code}: {said[-600:]}"
    if left:
        return "WRONG", f"left behind: {sorted(left)}"
    if len(lines) == 1 and lines[0].startswith("error: "):
        return "refused", lines[0].removeprefix("error: ")
    return "refused" if _self_test_failed(said) else "WRONG", f"{len(lines)} lines: {said[-600:]}"


def _self_test_failed(said: str) -> bool:
    """`inspect --self-test` shows its page whether or not the answers are right; nothing is on standard error."""
    return not said.strip()


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def _in_fork(act: Callable[[], int], errors: Path) -> int:
    """The exit code of ``act`` in a fork, minus the signal that ended it, with its standard error in a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            _redirect(errors)
            code = act()
        finally:
            os._exit(code)
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGALRM


def _redirect(errors: Path) -> None:
    """In the fork: standard error to a file, standard output away, memory limited."""
    file = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _command(words: list[str]) -> int:
    from edgewise import cli

    sys.argv = ["edgewise", *words]
    try:
        cli.main()
    except SystemExit as end:
        sys.stderr.flush()
        return int(end.code or 0)


def _make(folder: Path) -> int:
    """Write the good files. Runs in a fork."""
    from edgewise_converters import Request, convert

    for name, this in MODELS.items():
        onnx.save(_typed(this), folder / f"{name}.onnx")
    onnx.save(
        _typed(_CONV),
        folder / "outside.onnx",
        save_as_external_data=True,
        location="outside.bin",
        size_threshold=0,
    )
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for i in range(PICTURES):
        picture = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
        picture.save(folder / "photos" / f"{i}.{'jpg' if i % 2 else 'png'}")
    many = rng.standard_normal((20, 3, 12, 12)).astype(np.float32)
    np.save(folder / "many.npy", many)
    np.savez(folder / "many.npz", x=many)
    np.savez_compressed(folder / "packed.npz", x=many)
    (folder / "labels.txt").write_text("ant\nbée\ncat\ndog\neel\n", encoding="utf-8")
    for name, precision in (("float", "fp32"), ("int8", "int8")):
        convert(Request(
            source=folder / "conv.onnx", target="rpi4", precision=precision, out=folder / f"{name}.tflite",
            samples=folder / "many.npy", labels=folder / "labels.txt",
        ))  # fmt: skip
    return 0


def _typed(this: Case) -> onnx.ModelProto:
    model = model_of(this)
    answers = ask_onnxruntime(model, feeds_of(this)[0])
    for value in model.graph.output:
        dtype = onnx.helper.np_dtype_to_tensor_dtype(answers[value.name].dtype)
        value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, dtype, answers[value.name].shape))
    return model
