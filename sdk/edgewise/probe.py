"""A model is first run where it may crash: in a child, on zeros and on its golden cases."""

from collections.abc import Callable
from typing import Any

from edgewise.backends.options import PLAIN, RuntimeOptions
from edgewise.backends.selection import open_backend, prepare
from edgewise.child_limits import ChildLimits
from edgewise.child_process import run_in_child
from edgewise.delegate import Delegate
from edgewise.errors import InvalidInput, ModelFileError
from edgewise.model_file import ModelFile, read_model
from edgewise.opened import OpenedModel


def probe_model(
    file: ModelFile,
    *,
    backend: str | None,
    threads: int,
    options: RuntimeOptions = PLAIN,
    limits: ChildLimits,
) -> str:
    """The runtime in which a child could open the file, run it on zeros and pass its golden cases, if it has any.

    Raises ModelCrashed when the child dies, hangs or runs out of memory; ModelFileError when it cannot run, or
    an answer is not the kept one; BackendUnavailable, CardError.
    """
    order = {
        "path": str(file.path),
        "backend": backend,
        "threads": threads,
        "delegate": options.delegate.to_dict() if options.delegate else None,
        # Drivers of accelerators reserve more address space than there is memory.
        "is_unlimited": options.delegate is not None and limits.memory_bytes is None,
    }
    name: str = run_in_child("edgewise.probe:try_model", order, limits=limits, what=f"{file.path}: probe")
    return name


def try_model(order: dict[str, Any], limit_memory: Callable[[], None]) -> str:
    """The child's job: the name of the runtime that could."""
    file = read_model(order["path"])
    prepare(file.format, name=order["backend"])
    if not order.get("is_unlimited"):
        limit_memory()
    options = RuntimeOptions(Delegate(**order["delegate"])) if order.get("delegate") else PLAIN
    opened = OpenedModel(
        file,
        open_backend(
            file.path, file.format, name=order["backend"], threads=order["threads"], options=options
        ),
    )
    _run_zeros(opened)
    opened.require_proof()
    return opened.backend_name


def _run_zeros(opened: OpenedModel) -> None:
    """One call on zeros. Sizes that the caller chooses are 1, which not every model takes."""
    try:
        opened.run(opened.zeros())
    except InvalidInput as error:
        if not any(spec.is_dynamic for spec in opened.inputs):
            raise ModelFileError(
                f"{opened.file.path}: it cannot run on zeros: {error}; get another file, or convert it again"
            ) from error
