"""What benchmarks say, of real models in real processes. No time is asserted."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from edgewise import tiny_model
from edgewise.benchmark import Plan, benchmark_files, describe_changes
from edgewise.benchmark_result import latency_of
from edgewise.benchmark_text import page
from edgewise.device import Condition, Throttling
from edgewise.errors import BackendUnavailable, CardError, InvalidInput, ModelFileError
from edgewise.testing import FakeEnergyMeter, write_tiny_model

COOL = Condition((1500.0,) * 4, 50.0, Throttling((), ()))
QUICK = Plan(runs=20, warmup=1, seconds=5.0)


def steady() -> Condition:
    """A board on which nothing changes."""
    return COOL


def in_turn(*conditions: Condition) -> Callable[[], Condition]:
    """A board that goes through these conditions and stays in the last."""
    each: Iterator[Condition] = chain(conditions, repeat(conditions[-1]))
    return lambda: next(each)


def test_percentiles_are_numpys() -> None:
    samples = [float(value) for value in np.random.default_rng(0).gamma(2.0, 3.0, 37)]
    latency = latency_of(samples)
    expected = np.percentile(samples, [50, 90, 95, 99])
    assert [latency.p50_ms, latency.p90_ms, latency.p95_ms, latency.p99_ms] == pytest.approx(list(expected))
    assert (latency.runs, latency.min_ms, latency.max_ms) == (37, min(samples), max(samples))
    assert latency.mean_ms == pytest.approx(np.mean(samples))
    assert latency_of([4.0]).p99_ms == 4.0


def test_a_file_is_measured_in_a_process_of_its_own(tiny: Path) -> None:
    benchmark = benchmark_files([tiny], QUICK, condition=steady)
    (file,) = benchmark.files
    assert (file.backend, file.input, file.stages) == ("litert", "its first golden case", None)
    assert file.warm.runs == 20
    assert 0 < file.warm.min_ms <= file.warm.p50_ms <= file.warm.p99_ms <= file.warm.max_ms
    assert file.cold.total_ms == file.cold.load_ms + file.cold.first_ms
    assert file.throughput_per_s == pytest.approx(1000 / file.warm.mean_ms)
    assert file.peak_memory_bytes is not None
    assert file.memory_before_bytes is not None
    assert file.peak_memory_bytes >= file.memory_before_bytes > 0


def test_one_files_memory_is_not_seen_in_anothers(tmp_path: Path) -> None:
    large = write_tiny_model(tmp_path / "large.tflite", size_wh=(1500, 1500))
    small = write_tiny_model(tmp_path / "small.tflite")
    plan = Plan(runs=2, warmup=0, seconds=5.0)
    first, second = benchmark_files([large, small], plan, condition=steady).files
    assert first.peak_memory_bytes is not None
    assert second.peak_memory_bytes is not None
    assert first.peak_memory_bytes - second.peak_memory_bytes > large.stat().st_size / 2


def test_a_picture_splits_the_time_in_three(tiny: Path, tmp_path: Path) -> None:
    picture = tmp_path / "leaf.png"
    Image.new("RGB", (64, 64), "lime").save(picture)
    (file,) = benchmark_files([tiny], replace(QUICK, image=picture), condition=steady).files
    assert file.input == "leaf.png"
    assert file.stages is not None
    parts = (file.stages.preprocess, file.stages.invoke, file.stages.postprocess)
    assert sum(part.mean_ms for part in parts) == pytest.approx(file.warm.mean_ms)


def test_energy_is_shared_among_the_calls_of_the_rounds(tiny: Path) -> None:
    meter = FakeEnergyMeter(6.0, 10.0)
    benchmark = benchmark_files([tiny], QUICK, meter=meter, condition=steady)
    (file,) = benchmark.files
    assert meter.stretches == 10
    assert any("energy was counted over 0." in remark for remark in benchmark.remarks)
    assert not meter.is_running
    assert file.energy_mj == pytest.approx((5 * 6.0 + 5 * 10.0) / 20)


def test_energy_that_was_lost_once_is_not_known(tiny: Path) -> None:
    benchmark = benchmark_files([tiny], QUICK, meter=FakeEnergyMeter(6.0, None), condition=steady)
    assert benchmark.files[0].energy_mj is None
    assert "energy        not known: a fake meter" in page(benchmark)


def test_rounds_of_several_files_take_turns(tiny: Path, tiny_onnx: Path) -> None:
    told: list[str] = []
    benchmark_files(
        [tiny, tiny_onnx], QUICK, condition=steady, progress=lambda text, share: told.append(text)
    )
    rounds = [text for text in told if text.startswith("round")]
    assert rounds[:4] == [
        "round 1: tiny.tflite",
        "round 1: tiny.onnx",
        "round 2: tiny.tflite",
        "round 2: tiny.onnx",
    ]


def test_seconds_bound_the_runs(tiny: Path) -> None:
    plan = Plan(runs=10_000_000, warmup=0, seconds=0.05)
    assert 0 < benchmark_files([tiny], plan, condition=steady).files[0].warm.runs < 10_000_000


def test_several_files_become_a_table_with_ratios(tiny: Path, tiny_onnx: Path) -> None:
    benchmark = benchmark_files([tiny, tiny_onnx], QUICK, condition=steady)
    first, second = (file.warm.p50_ms for file in benchmark.files)
    (row,) = (line for line in page(benchmark).splitlines() if line.startswith("p50"))
    assert row.split() == ["p50", "ms", f"{first:.2f}", f"{second:.2f}", f"{second / first:.2f}x"]
    assert benchmark.files[1].backend == "onnxruntime"


def test_everything_goes_into_json(tiny: Path) -> None:
    values = json.loads(json.dumps(benchmark_files([tiny], QUICK, condition=steady).to_dict()))
    assert values["files"][0]["warm"]["runs"] == 20
    assert values["files"][0]["path"] == str(tiny)
    assert values["files"][0]["cold"]["total_ms"] > 0


def test_throttling_that_comes_up_during_the_run_is_said(tiny: Path) -> None:
    capped = Condition((600.0,) * 4, 84.0, Throttling(("throttled",), ("throttled",)))
    remarks = benchmark_files([tiny], QUICK, condition=in_turn(COOL, COOL, capped)).remarks
    assert "the clock changed during the run: 600 to 1500 MHz" in remarks
    assert "the board was held back during the run: throttled" in remarks
    assert "it warmed up from 50 to 84 C during the run" in remarks


def test_a_steady_board_gives_no_remark_and_a_silent_one_says_so() -> None:
    assert describe_changes([COOL, COOL]) == ()
    (remark,) = describe_changes([Condition((), None, None)] * 2)
    assert "neither its clock nor throttling" in remark


def with_open_sizes(path: Path, sizes: dict[int, str]) -> Path:
    """The tiny .onnx model, with names in place of some of its input's sizes."""
    model = onnx.load_from_string(tiny_model.onnx_model((4, 4), 3))
    for axis, name in sizes.items():
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    onnx.save(model, path)
    return path


def test_an_open_batch_is_one(tmp_path: Path) -> None:
    path = with_open_sizes(tmp_path / "open.onnx", {0: "batch"})
    (file,) = benchmark_files([path], QUICK, condition=steady).files
    assert file.input == "random numbers, 1 x 3 x 4 x 4"


def test_other_open_sizes_are_asked_for(tmp_path: Path) -> None:
    path = with_open_sizes(tmp_path / "open.onnx", {0: "batch", 2: "height"})
    with pytest.raises(
        InvalidInput, match=r"has open sizes .*: say them with --shape image=1x3x\?x4, a number"
    ):
        benchmark_files([path], QUICK, condition=steady)
    plan = replace(QUICK, shapes={"image": (1, 3, 4, 4)})
    (file,) = benchmark_files([path], plan, condition=steady).files
    assert file.input == "random numbers, 1 x 3 x 4 x 4"
    with pytest.raises(
        InvalidInput, match=r"input 'image': got shape \(1, 4, 4, 4\), expected \(-1, 3, -1, 4\)"
    ):
        benchmark_files([path], replace(QUICK, shapes={"image": (1, 4, 4, 4)}), condition=steady)
    with pytest.raises(InvalidInput, match="--shape: got input 'picture', expected one of image"):
        benchmark_files([path], replace(QUICK, shapes={"picture": (1, 3, 4, 4)}), condition=steady)


def test_arrays_are_fed_as_they_are(tiny: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", image=np.zeros((1, 8, 8, 3)))
    (file,) = benchmark_files([tiny], replace(QUICK, arrays=tmp_path / "mine.npz"), condition=steady).files
    assert file.input == "mine.npz"
    np.save(tmp_path / "wrong.npy", np.zeros((1, 9, 8, 3), np.float32))
    with pytest.raises(
        InvalidInput, match=rf"{tiny}: input 'image': got \(1, 9, 8, 3\), expected \(1, 8, 8, 3\)"
    ):
        benchmark_files([tiny], replace(QUICK, arrays=tmp_path / "wrong.npy"), condition=steady)
    with pytest.raises(InvalidInput, match=r"gone\.npz: no such file"):
        benchmark_files([tiny], replace(QUICK, arrays=tmp_path / "gone.npz"), condition=steady)


def test_what_the_child_raises_is_raised_here(tiny: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.tflite"
    foreign.write_bytes(tiny_model.tflite_model((4, 4), 3))
    with pytest.raises(CardError, match="does not say how a picture becomes its input"):
        benchmark_files([foreign], replace(QUICK, image=tmp_path / "x.png"), condition=steady)
    with pytest.raises(BackendUnavailable, match=r"backend for \.tflite: got 'tensorrt'"):
        benchmark_files([tiny], replace(QUICK, backend="tensorrt"), condition=steady)


def test_a_bad_file_is_found_before_anything_is_measured(tiny: Path, tmp_path: Path) -> None:
    meter = FakeEnergyMeter(1.0)
    with pytest.raises(ModelFileError, match=r"gone\.tflite"):
        benchmark_files([tiny, tmp_path / "gone.tflite"], QUICK, meter=meter, condition=steady)
    assert meter.stretches == 0


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"warmup": -1}, {"seconds": 0.0}, {"seconds": float("inf")}])
def test_a_plan_that_measures_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="expected at least 1"):
        Plan(**wrong)  # type: ignore[arg-type]  # keywords by name, checked when called
