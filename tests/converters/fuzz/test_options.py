"""Whatever is written behind an option, the command says in one line what is wrong with it, or does it."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from converters.onnx_cases import case, model_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewise import cli
from edgewise_converters import Request, SourceError, convert

SETTINGS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
ODD_NUMBERS = (
    "0", "1", "-1", "3", "8", "1e3", "nan", "inf", "-inf", "1e400", "99999999999999999999", "2147483648", "4294967296",
    "0x10", "1_000", " 5", "", "9" * 5000, "٣", "1.5", "127", "255",
)  # fmt: skip
ODD_TEXT = st.text(alphabet=";=,.:-+0123456789einfamstdxy \n\té{}[]'\"", max_size=30)
NUMBERS = st.lists(st.sampled_from(ODD_NUMBERS), max_size=5).map(",".join)
NAMES = st.sampled_from(("x", "x2", "y", "", "batch", "height", "=", "x=1"))
PREPROCESS = st.one_of(
    ODD_TEXT,
    st.tuples(st.sampled_from(("imagenet", "unit", "signed", "raw", "mean", "")), st.sampled_from(
        ("resize", "crop", "resample", "colour", "mean", "std")), st.one_of(NUMBERS, ODD_TEXT)).map(
        lambda parts: f"{parts[0]};{parts[1]}={parts[2]}"
    ),
    st.tuples(NUMBERS, NUMBERS).map(lambda pair: f"mean={pair[0]};std={pair[1]}"),
)  # fmt: skip
ASSIGNED = st.one_of(ODD_TEXT, st.tuples(NAMES, st.one_of(NUMBERS, ODD_TEXT)).map("=".join))
PATHS = st.one_of(
    st.sampled_from(
        (
            "",
            ".",
            "..",
            "a\0b",
            "x" * 300,
            "y" * 300 + ".tflite",
            "/dev/null",
            "/proc/self/mem",
            "~",
            "*",
            "-",
        )
    ),
    ODD_TEXT,
)
OPTIONS = {
    "--preprocess": PREPROCESS,
    "--shape": ASSIGNED,
    "--value": ASSIGNED,
    "--layout": ASSIGNED,
    "--target": ODD_TEXT,
    "--precision": ODD_TEXT,
    "--calibration": ODD_TEXT,
    "--task": ODD_TEXT,
    "--samples": PATHS,
    "--labels": PATHS,
    "--out": PATHS,
}


@pytest.fixture(scope="module")
def open_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a picture of any size, and a number."""
    model = model_of(
        case("a = Conv<pads=[1,1,1,1]>(x, w) y = Mul(a, x2)", x=(1, 3, 8, 8), x2=(1,), w=(2, 3, 3, 3))
    )
    del model.graph.input[0].type.tensor_type.shape.dim[2:]
    for name in ("height", "width"):
        model.graph.input[0].type.tensor_type.shape.dim.add().dim_param = name
    path = tmp_path_factory.mktemp("options") / "open.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("option", OPTIONS)
@settings(SETTINGS)
@given(data=st.data())
def test_odd_option_is_understood_or_refused_in_one_line(
    option: str,
    data: st.DataObject,
    open_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    text = data.draw(OPTIONS[option])
    words = {"--target": "rpi4", "--out": str(tmp_path / "a.tflite"), "--shape": "x=1,3,8,8", option: text}
    if option in ("--preprocess", "--samples"):
        np.save(tmp_path / "some.npy", np.zeros((2, 3, 8, 8), np.float32))
        words["--value"] = "x2=2"
    monkeypatch.chdir(tmp_path)
    arguments = [part for pair in words.items() for part in pair]
    monkeypatch.setattr(sys, "argv", ["edgewise", "convert", str(open_model), *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capfd.readouterr().err
    assert end.value.code in (0, 1, 2), said
    assert "Traceback" not in said and "internal error" not in said, said
    lines = [line for line in said.splitlines() if not line.startswith("note: ")]
    assert end.value.code != 1 or len(lines) == 1, said


@pytest.mark.parametrize("dims", ["1,3,100000,100000", "1,3,2147483648,8", "1,3,99999999999999999999,8"])
def test_shape_that_no_tensor_can_have_is_refused(dims: str, open_model: Path, tmp_path: Path) -> None:
    shape = tuple(map(int, dims.split(",")))
    with pytest.raises(SourceError, match="less than the 2 GB"):
        convert(Request(source=open_model, target="rpi4", shapes={"x": shape}, out=tmp_path / "a.tflite"))
