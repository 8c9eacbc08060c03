"""PyTorch's legacy `torch.save` format read without torch, and without running anything in it.

A file is five pickles (magic number, protocol, system facts, the state dict, the storage keys) and then, per
key, an int64 count and that many raw values: `_legacy_load` in torch/serialization.py. A pickle can name any
callable; this reader knows the four names that a state dict needs and refuses every other.
"""

import collections
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from model_sources.wheels import SourceError

Array = npt.NDArray[Any]

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
COUNT_BYTES = 8


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class _View:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_view(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_unused: object
) -> _View:
    return _View(storage, offset, shape, strides)


_KNOWN_NAMES: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_view,
    ("torch", "FloatStorage"): "<f4",
    ("torch", "LongStorage"): "<i8",
}


class _StateDictUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN_NAMES[module, name]
        except KeyError as error:
            raise SourceError(
                f"state dict: refused to load {module}.{name}, no state dict needs it."
            ) from error

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _device, count, *view = pid
        if kind != "storage" or any(view):
            raise SourceError(f"state dict: got a persistent {kind!r}, expected a plain storage.")
        return _Storage(str(key), str(dtype), int(count))


def read_state_dict(path: Path) -> dict[str, Array]:
    """Tensors by name. Raises SourceError when the file is not a legacy state dict."""
    with path.open("rb") as file:
        try:
            magic, protocol, system, state, keys = (_StateDictUnpickler(file).load() for _ in range(5))
        except (pickle.UnpicklingError, EOFError, ValueError) as error:
            raise SourceError(f"{path}: not a PyTorch state dict in the legacy format ({error}).") from error
        if magic != MAGIC_NUMBER or protocol != PROTOCOL_VERSION or not system.get("little_endian"):
            raise SourceError(f"{path}: not a little-endian PyTorch file of protocol {PROTOCOL_VERSION}.")
        views: dict[str, _View] = dict(state)
        storages = {view.storage.key: view.storage for view in views.values()}
        data = {key: _read_storage(file, storages[key], path) for key in keys}
    return {name: _tensor(view, data[view.storage.key]) for name, view in views.items()}


def _read_storage(file: BinaryIO, storage: _Storage, path: Path) -> Array:
    count = int.from_bytes(file.read(COUNT_BYTES), "little")
    dtype = np.dtype(storage.dtype)
    raw = file.read(storage.count * dtype.itemsize)
    if count != storage.count or len(raw) != count * dtype.itemsize:
        raise SourceError(f"{path}: storage {storage.key} is cut short or miscounted.")
    return np.frombuffer(raw, dtype)


def _tensor(view: _View, data: Array) -> Array:
    strides = tuple(stride * data.itemsize for stride in view.strides)
    return np.lib.stride_tricks.as_strided(data[view.offset :], view.shape, strides).copy()
