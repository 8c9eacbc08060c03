from edgewise.tensors import Array

def resize(
    image: Array,
    out: Array,
    down_starts: Array,
    down_weights: Array,
    across_starts: Array,
    across_weights: Array,
    scale: Array | None,
    bias: Array | None,
    /,
) -> None: ...
