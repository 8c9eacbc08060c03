"""Open dimensions: by name of input, by name of dimension, and what is assumed."""

import pytest

from edgewise_converters.errors import SourceError
from edgewise_converters.readers.open_shapes import Declared, fix_shapes

BERT: dict[str, Declared] = {"ids": ["batch", "seq"], "mask": ["batch", "seq"]}


def test_a_dimension_is_fixed_wherever_it_occurs() -> None:
    shapes, notices = fix_shapes("bert.onnx", BERT, {"seq": (128,)})
    assert shapes == {"ids": (1, 128), "mask": (1, 128)}
    assert all("batch 1" in text for text in notices) and len(notices) == 2


def test_both_dimensions_by_name() -> None:
    shapes, notices = fix_shapes("bert.onnx", BERT, {"seq": (64,), "batch": (4,)})
    assert shapes == {"ids": (4, 64), "mask": (4, 64)}
    assert "as asked" in notices[0]


def test_the_shape_of_one_input_tells_those_of_others() -> None:
    shapes, _ = fix_shapes("bert.onnx", BERT, {"ids": (2, 16)})
    assert shapes["mask"] == (2, 16)


def test_a_batch_behind_other_axes_follows_the_batch() -> None:
    declared: dict[str, Declared] = {"x": ["b", 576], "state": [2, "b", 128]}
    shapes, _ = fix_shapes("vad.onnx", declared, {})
    assert shapes == {"x": (1, 576), "state": (2, 1, 128)}


def test_time_that_comes_first_is_no_batch() -> None:
    with pytest.raises(SourceError, match=r"'x': its shape \[seq_len,1,8\] is open.*--shape seq_len=\.\.\."):
        fix_shapes("lstm.onnx", {"x": ["seq_len", 1, 8]}, {})


def test_open_dimensions_are_all_named_with_what_to_type() -> None:
    with pytest.raises(
        SourceError, match=r"--shape h=\.\.\. --shape w=\.\.\. \(or --shape x=1,3,\.\.\.,\.\.\.\)"
    ):
        fix_shapes("net.onnx", {"x": ["b", 3, "h", "w"]}, {})


def test_dimensions_without_names_are_asked_for_by_input() -> None:
    with pytest.raises(SourceError, match=r"with --shape x=1,\.\.\.,8$"):
        fix_shapes("net.tflite", {"x": [None, None, 8]}, {})


@pytest.mark.parametrize(
    ("hints", "said"),
    [
        ({"sek": (128,)}, r"inputs are ids, mask, its open dimensions batch, seq \(did you mean seq\?\)"),
        ({"seq": (1, 128)}, "got 2 numbers for a dimension, expected one"),
        ({"ids": (1, 64), "mask": (1, 32)}, "got 32 for dimension 'seq', which is 64 by --shape ids"),
        ({"seq": (8,), "ids": (1, 64)}, "got 64 for dimension 'seq', which is 8 by --shape seq"),
        ({"ids": (1, 2, 3)}, "got 3 dimensions, the model has 2"),
    ],
)
def test_hints_that_do_not_fit_are_refused(hints: dict[str, tuple[int, ...]], said: str) -> None:
    with pytest.raises(SourceError, match=said):
        fix_shapes("bert.onnx", BERT, hints)


def test_fixed_shapes_stay_and_nothing_is_said() -> None:
    assert fix_shapes("net.onnx", {"x": [1, 3, 8, 8], "rate": []}, {}) == (
        {"x": (1, 3, 8, 8), "rate": ()},
        (),
    )


def test_an_input_of_unknown_rank_needs_a_hint() -> None:
    with pytest.raises(SourceError, match=r"'x': its shape \(unknown\) is open.*--shape x=\.\.\."):
        fix_shapes("net.onnx", {"x": None}, {})
    assert fix_shapes("net.onnx", {"x": None}, {"x": (1, 4)})[0] == {"x": (1, 4)}
