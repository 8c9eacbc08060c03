"""What follows a precision that is not good enough."""

import pytest

from edgewise_converters.onnx_out.choice import PRECISIONS as OF_ONNX
from edgewise_converters.precisions import PRECISIONS, following


def test_auto_goes_from_int8_over_protected_layers_and_int16_on_culprits_to_float() -> None:
    walked = ["int8"]
    while (after := following(walked[-1])) is not None:
        walked.append(after)
    assert walked == ["int8", "mixed", "mixed16", "dynamic", "fp16", "fp32"]


def test_onnx_files_pass_over_int16_which_onnxruntime_has_no_kernels_for() -> None:
    assert following("mixed", OF_ONNX) == "dynamic"


@pytest.mark.parametrize("possible", [PRECISIONS, OF_ONNX])
def test_every_precision_leads_to_another_of_its_format(possible: tuple[str, ...]) -> None:
    for precision in set(possible) - {"auto", "fp32", "source"}:
        assert following(precision, possible) in possible
