"""Types that a kernel lacks: what only moves elements may do so in another type."""

from collections.abc import Callable

import numpy as np

from edgewise_converters.lower.lowering import Lowering
from edgewise_converters.tflite.graph import Tensor


def as_int32(
    low: Lowering, tensor: Tensor, name: str, compute: Callable[[Tensor], Tensor], *, lacks: tuple[type, ...]
) -> Tensor:
    """``compute(tensor)``, in int32 and back where the kernel lacks the tensor's type."""
    if not any(tensor.dtype == dtype for dtype in lacks):
        return compute(tensor)
    wide = low.emit("CAST", [tensor], tensor.shape, f"{name}/int32", dtype=np.int32)
    result = compute(wide)
    return low.emit("CAST", [result], result.shape, f"{name}/narrow", dtype=tensor.dtype.type)
