"""Nets that are ill in a known way, and whether the diagnosis finds the layer, the cause and what helps."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from converters.onnx_cases import case, model_of

from edgewise.drift_baseline import Histogram
from edgewise.tensors import Array
from edgewise_converters.diagnosis import Diagnosis, LayerDiagnosis, diagnose, diagnose_pair
from edgewise_converters.diagnosis.causes import Evidence, causes_of
from edgewise_converters.errors import InvalidSamples, SourceError
from edgewise_converters.layer_facts import LayerFacts
from edgewise_converters.original import Original
from edgewise_converters.pipeline import convert
from edgewise_converters.quantize import store_float16
from edgewise_converters.request import Request
from edgewise_converters.tflite.writer import serialize

EDGEWISE = Path(sys.executable).with_name("edgewise")
RNG = np.random.default_rng(0)
SAME_DB = 1.0
"""Levels measured on other samples, in the same network, differ by this little."""


def weights(*shape: int) -> Array:
    """Seeded weights of a usual size."""
    return (RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def asked(folder: Path, body: str, samples: Array, constants: dict[str, Array], **options: Any) -> Request:
    """A model of one input and samples for it."""
    onnx.save(model_of(case(body, x=(1, *samples.shape[1:]), **constants)), folder / "net.onnx")
    np.save(folder / "samples.npy", samples)
    plain: dict[str, Any] = {"target": "rpi4", "precision": "int8", "calibration": "minmax"}
    return Request(source=folder / "net.onnx", samples=folder / "samples.npy", **{**plain, **options})


def pictures(count: int = 50) -> Array:
    """Plain noise, [count, 8, 10, 10]."""
    return RNG.standard_normal((count, 8, 10, 10)).astype(np.float32)


def layer(found: Diagnosis, name: str) -> LayerDiagnosis:
    """The layer of that name."""
    return next(one for one in found.layers if one.name == name)


def causes(found: Diagnosis, name: str) -> dict[str, str]:
    """Names and facts of what is wrong with a layer."""
    return {cause.name: cause.facts for cause in layer(found, name).causes}


CHAIN = "a = Conv<pads=[1,1,1,1]>(x, u) b = Relu(a) c = Conv<pads=[1,1,1,1]>(b, v) d = Relu(c) y = Conv(d, w)"


def chain() -> dict[str, Array]:
    """Weights of three ordinary convolutions."""
    return {"u": weights(16, 8, 3, 3), "v": weights(16, 16, 3, 3), "w": weights(4, 16, 1, 1)}


def test_the_layer_with_an_outlier_channel_is_first_and_leaving_int8_helps(tmp_path: Path) -> None:
    constants = chain()
    constants["v"][3] *= 300
    constants["w"][:, 3] /= 300  # what comes out is as if nothing had happened
    found = diagnose(asked(tmp_path, CHAIN, pictures(), constants))
    worst = found.layers[0]
    assert worst.name == "d" and worst.share is not None and worst.share > 0.5
    assert "outlier channel" in causes(found, "d")
    assert worst.fix is not None and worst.fix.before_db == pytest.approx(found.outputs_db)
    assert worst.fix.gain_db > 3
    assert [one.alone_db for one in found.layers] == sorted(one.alone_db or 0 for one in found.layers)


def test_noise_alone_adds_up_to_about_the_noise_of_all(tmp_path: Path) -> None:
    found = diagnose(asked(tmp_path, CHAIN, pictures(), chain()))
    together = -10 * np.log10(sum(10 ** (-(one.alone_db or 0) / 10) for one in found.layers))
    assert together == pytest.approx(found.outputs_db, abs=3)
    assert sum(one.share or 0 for one in found.layers) == pytest.approx(1)
    for fix in found.applied:
        assert fix.after_db > fix.before_db


@pytest.fixture
def rare_peaks() -> Array:
    """Pictures of which two, one of them held out, have one place far out."""
    samples = RNG.standard_normal((50, 8, 40, 40)).astype(np.float32)
    samples[0, :, 0, 0] = 60
    samples[1] = samples[0]
    return samples


def test_a_range_that_cuts_is_named_with_what_it_cuts(tmp_path: Path, rare_peaks: Array) -> None:
    found = diagnose(asked(tmp_path, CHAIN, rare_peaks, chain(), calibration="percentile"))
    assert "lie outside of" in causes(found, "b")["range cut"]
    assert "long tail" not in causes(found, "b")


def test_a_long_tail_is_named_where_the_range_covers_it(tmp_path: Path, rare_peaks: Array) -> None:
    found = diagnose(asked(tmp_path, CHAIN, rare_peaks, chain(), calibration="minmax"))
    assert "of its range" in causes(found, "b")["long tail"]
    assert "range cut" not in causes(found, "b")


def test_unequal_inputs_of_a_concatenation_are_named() -> None:
    facts = facts_of("CONCATENATION", low=-10.0, high=10.0, minimum=-10.0, maximum=10.0)
    inputs = tuple(facts_of("CONV_2D", low=-r, high=r, minimum=-r, maximum=r) for r in (10.0, 0.5))
    (cause,) = causes_of(Evidence(facts, inputs))
    assert cause.name == "unequal concat inputs" and "20.0 times" in cause.facts


def test_tiny_depthwise_weights_are_named(tmp_path: Path) -> None:
    constants = {"u": weights(8, 1, 3, 3), "w": weights(4, 8, 1, 1)}
    constants["u"][2:] *= 0.004
    constants["w"][:, 2:] *= 250
    body = "a = Conv<pads=[1,1,1,1], group=8>(x, u) y = Conv(a, w)"
    found = diagnose(asked(tmp_path, body, pictures(), constants))
    assert "75%" in causes(found, "a")["tiny depthwise weights"]


def test_a_saturated_activation_is_named(tmp_path: Path) -> None:
    body = "a = Conv<pads=[1,1,1,1]>(x, u) b = Clip(a, low, high) y = Conv(b, w)"
    ends = {"low": np.float32(0), "high": np.float32(6)}
    constants = {"u": 40 * weights(16, 8, 3, 3), "w": weights(4, 16, 1, 1), **ends}
    found = diagnose(asked(tmp_path, body, pictures(), constants))
    assert "or 6" in causes(found, "b")["saturated activation"]


def test_a_bias_too_large_for_int32_is_named(tmp_path: Path) -> None:
    body = "a = Conv<pads=[1,1,1,1]>(x, u, bias) y = Relu(a)"
    constants = {"u": 1e-6 * weights(8, 8, 3, 3), "bias": np.full(8, 50, np.float32)}
    found = diagnose(asked(tmp_path, body, pictures(), constants))
    assert "instead of" in causes(found, "y")["bias too large"]


def test_few_samples_are_named(tmp_path: Path) -> None:
    few = diagnose(asked(tmp_path, CHAIN, pictures(12), chain()))
    assert any(note.startswith("12 samples only") for note in few.notes)
    samples = pictures()
    samples[::5] *= 4  # what is held out
    beyond = diagnose(asked(tmp_path, CHAIN, samples, chain()))
    assert any(note.startswith("too few samples") for note in beyond.notes)
    enough = diagnose(asked(tmp_path, CHAIN, pictures(), chain()))
    assert not any("samples" in note for note in enough.notes)


def facts_of(kind: str, **changed: Any) -> LayerFacts:
    """A healthy layer but for what is changed."""
    values: dict[str, Any] = {
        "name": "a", "kind": kind, "precision": "int8", "shape": (1, 4), "snr_db": 40.0, "minimum": -1.0,
        "maximum": 1.0, "low": -1.0, "high": 1.0, "grid_db": 45.0, "clipped": 0.0, "clipping_part": 0.0,
        "at_ends": 0.0, "channel_ratio": 1.0, "faint_channels": 0.0, "histogram": Histogram((-1.0, 1.0), (4,)),
    }  # fmt: skip
    return LayerFacts(**{**values, **changed})


def test_a_healthy_layer_has_no_cause() -> None:
    assert causes_of(Evidence(facts_of("CONV_2D"), (facts_of("RELU"),))) == ()


def test_an_outlier_channel_harms_8_bits_and_not_16() -> None:
    (cause,) = causes_of(Evidence(facts_of("ADD", channel_ratio=20.0), ()))
    assert cause.name == "outlier channel" and "13 of 256 steps" in cause.facts
    assert causes_of(Evidence(facts_of("ADD", channel_ratio=20.0, precision="int16x8"), ())) == ()


def test_a_softmax_in_int8_is_unsuited_and_in_float_is_not() -> None:
    (cause,) = causes_of(Evidence(facts_of("SOFTMAX"), ()))
    assert cause.name == "unsuited pattern"
    assert (
        causes_of(Evidence(facts_of("SOFTMAX", precision="float32", low=None, high=None, grid_db=None), ()))
        == ()
    )


def test_a_written_file_is_measured_layer_by_layer(tmp_path: Path) -> None:
    request = asked(tmp_path, CHAIN, pictures(), chain(), out=tmp_path / "net.tflite")
    written = convert(request)
    found = diagnose_pair(request, written.path)
    assert found.outputs_db == pytest.approx(written.agreement["litert"].worst_db, abs=SAME_DB)
    assert {one.name for one in found.layers} == {"b", "d", "y"} and found.unmatched == 0
    assert [one.snr_db for one in found.layers] == sorted(one.snr_db for one in found.layers)


def test_layers_of_a_file_with_other_names_are_matched_by_their_order(tmp_path: Path) -> None:
    request = asked(tmp_path, CHAIN, pictures(), chain())
    with Original(request.source) as original:
        graph = store_float16(original.lower(lambda _: None)[1].graph)
    for number, tensor in enumerate(graph.tensors()):
        tensor.name = f"other_{number}"
    (tmp_path / "other.tflite").write_bytes(serialize(graph, description="other names", metadata={}))
    found = diagnose_pair(request, tmp_path / "other.tflite")
    assert found.notes == ("names differ: 2 layers are matched by their order, kind and shape",)
    assert [one.name for one in found.layers] == ["y", "d", "b"]
    assert all(50 < one.snr_db < 90 for one in found.layers)


def test_what_cannot_be_diagnosed_is_refused_in_words(tmp_path: Path) -> None:
    request = asked(tmp_path, CHAIN, pictures(), chain())
    with pytest.raises(SourceError, match=r"expected a \.tflite file"):
        diagnose_pair(request, request.source)
    with pytest.raises(InvalidSamples, match="--samples"):
        diagnose(Request(source=request.source, target="rpi4", precision="int8"))


def test_the_command_prints_json_and_lines(tmp_path: Path) -> None:
    request = asked(tmp_path, CHAIN, pictures(), chain())
    command = [
        EDGEWISE,
        "diagnose",
        request.source,
        "--samples",
        tmp_path / "samples.npy",
        "--calibration",
        "minmax",
    ]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert {one["name"] for one in json.loads(done.stdout)["layers"]} == {"b", "d", "y"}
    done = subprocess.run([*command, "--top", "1"], capture_output=True, text=True, check=True)
    assert "  1. " in done.stdout and "and 2 quieter layers" in done.stdout and "dB" in done.stdout
