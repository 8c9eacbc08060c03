"""GridSample and AffineGrid in both runtimes against onnxruntime."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case, check

X, GRID = (2, 3, 5, 6), (2, 4, 7, 2)
EDGE_DB = 95.0
"""Places are computed in float32 with other roundings than onnxruntime's, times a slope of a few."""
SAMPLES = {
    f"{mode} {padding} {'corners' if corners else 'edges'}": case(
        f'a = Conv(x, w) y = GridSample<mode="{mode}",padding_mode="{padding}",align_corners={corners}>(a, x2)',
        x=X, w=(3, 3, 1, 1), x2=GRID, opset=20, at_least_db=EDGE_DB,
    )
    for mode in ("nearest", "linear", "cubic")
    for padding in ("zeros", "border", "reflection")
    for corners in (0, 1)
} | {
    "volume": case("y = GridSample(x, x2)", x=(1, 2, 3, 4, 5), x2=(1, 2, 3, 4, 3), opset=20, at_least_db=EDGE_DB),
    "before opset 20": case('y = GridSample<mode="bicubic">(x, x2)', x=X, x2=GRID, opset=16, at_least_db=EDGE_DB),
}  # fmt: skip
GRIDS = {
    f"{name} {'corners' if corners else 'edges'}": case(
        f"y = AffineGrid<align_corners={corners}>(x, s)", x=theta, s=np.array(size, np.int64), opset=20
    )
    for name, theta, size in (("plane", (2, 2, 3), (2, 3, 4, 5)), ("volume", (2, 3, 4), (2, 1, 3, 4, 5)))
    for corners in (0, 1)
}  # fmt: skip


@pytest.mark.parametrize("this", SAMPLES.values(), ids=SAMPLES)
def test_grid_sample_answers_as_onnxruntime(this: Case) -> None:
    check(this)


@pytest.mark.parametrize("this", GRIDS.values(), ids=GRIDS)
def test_affine_grid_answers_as_onnxruntime(this: Case) -> None:
    check(this)
