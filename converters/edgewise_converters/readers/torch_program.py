"""The one place that knows torch: programs of torch.export, as ONNX to convert and as the truth to compare with.

torch and onnxscript are imported only when such a program is given. Opening a program runs parts of torch on what
the file says; torch does not promise that a hostile file is harmless, so only files from a trusted hand belong here.
"""

import os
import pickle
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.errors import RuntimeMissing, SourceError
from edgewise_converters.onnx_session import Reference as OnnxReference

_MARKS = ("archive_format", "serialized_exported_program.json")
"""Files that an archive of torch.export.save holds, in its newer and its older form."""
_SAFE_UNPICKLING = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""An environment variable of torch.load: nothing but tensors and plain containers is unpickled."""


def save_module(module: Any, example: Sequence[Any], path: Path, *, dynamic_shapes: Any = None) -> Path:
    """Write a torch module as a program (.pt2) that can be converted; returns ``path``.

    ``example`` are arguments for one call; ``dynamic_shapes`` is that of torch.export.export. Raises SourceError for
    what torch cannot export.
    """
    torch = _torch(path)
    try:
        with _quiet():
            program = torch.export.export(module.eval(), tuple(example), dynamic_shapes=dynamic_shapes)
            torch.export.save(program, path)
    except Exception as error:  # torch raises many kinds, from its tracer and from the module itself
        raise SourceError(
            f"{type(module).__name__}: torch.export cannot export it: {_line(error)}"
        ) from error
    return path


def export_onnx(path: Path, folder: Path) -> Path:
    """The program as an ONNX file in ``folder``. Raises SourceError, and RuntimeMissing without torch."""
    torch, program = _load(path)
    written = folder / f"{path.stem}.onnx"
    try:
        with _quiet():
            torch.onnx.export(program, dynamo=True, verbose=False).save(str(written))
    except Exception as error:  # as above
        raise SourceError(f"{path}: torch.onnx cannot export it: {_line(error)}") from error
    return written


class TorchReference:
    """A program computed by torch itself; its inputs and outputs bear the names of its ONNX export."""

    def __init__(self, path: Path, *, exported: Path | None = None) -> None:
        self._torch, self._program = _load(path)
        self._module = self._program.module()
        with tempfile.TemporaryDirectory() as folder:
            session = OnnxReference(exported or export_onnx(path, Path(folder)), optimized=False)
            self.inputs, self.outputs = session.inputs, session.outputs
            session.close()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name. Raises SourceError."""
        flat = [self._torch.from_numpy(np.array(inputs[spec.name], spec.dtype)) for spec in self.inputs]
        tree = self._torch.utils._pytree
        try:
            arguments, named = tree.tree_unflatten(flat, self._program.call_spec.in_spec)
            with self._torch.no_grad(), _quiet():
                answers = tree.tree_leaves(self._module(*arguments, **named))
        except Exception as error:  # as above
            raise SourceError(f"torch cannot run the original model: {_line(error)}") from error
        return {s.name: a.detach().numpy() for s, a in zip(self.outputs, answers, strict=True)}

    def close(self) -> None:
        """Give the weights back."""
        self._program = self._module = None


def _torch(path: Path) -> Any:
    try:
        import onnxscript  # noqa: F401 - only whether it is there
        import torch
        import torch.utils._pytree
    except ImportError as error:
        raise RuntimeMissing(
            f"{path}: a torch program needs torch and onnxscript, and {error.name} is not installed here: "
            "pip install 'edgewise[train]', or export the model to ONNX where torch is"
        ) from error
    return torch


def _load(path: Path) -> tuple[Any, Any]:
    """torch itself, and the program."""
    _check_archive(path)
    torch = _torch(path)
    try:
        with _quiet(), _only_weights():
            return torch, torch.export.load(str(path))
    except pickle.UnpicklingError as error:
        raise SourceError(
            f"{path}: holds pickled objects other than tensors, which are not opened; expected tensors only"
        ) from error
    except Exception as error:  # torch raises many kinds for broken archives
        raise SourceError(f"{path}: torch cannot load it: {_line(error)}") from error


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise SourceError(f"{path}: damaged: {error}") from error
    if not any(name.rpartition("/")[2] in _MARKS for name in names):
        holds_weights = any(name.endswith("data.pkl") for name in names)
        found = "weights or a pickled module, not a network" if holds_weights else "a zip of another kind"
        raise SourceError(
            f"{path}: holds {found} (or is cut off), expected an .onnx, a .tflite or what torch.export.save "
            "writes (.pt2)"
        )


@contextmanager
def _only_weights() -> Iterator[None]:
    """Have torch.load unpickle tensors only, for as long as this lasts."""
    before = os.environ.get(_SAFE_UNPICKLING)
    os.environ[_SAFE_UNPICKLING] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE_UNPICKLING]
        else:
            os.environ[_SAFE_UNPICKLING] = before


@contextmanager
def _quiet() -> Iterator[None]:
    """torch warns of its own changes, which nobody here can do anything about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
