"""ONNX's own one-operator tests, converted and compared: onnx_node_tests.py [--engine NAME] [--only TEXT].

Every test that onnx.backend.test.case generates gets one outcome:
equal      converted, and the same answer as the test expects, twice in a row
refused    the converter says so, with a reason
WRONG      anything else: another answer, a file that does not load, state left between calls, a crash
Left out, and counted apart, are tests that onnxruntime's CPU provider does not pass either and those with types that
TFLite does not have. Inputs that are constants by nature (shapes, axes, weights) are frozen.
"""

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx_engines import WAYS, Engine, Reading, Refused, open_engine
from onnx_node_page import Outcome, report, write_page

CONSTANT_INPUTS: dict[str, tuple[int, ...]] = {
    "Reshape": (1,), "Slice": (1, 2, 3, 4), "Pad": (1, 2, 3), "Resize": (1, 2, 3), "Upsample": (1,), "Squeeze": (1,),
    "Unsqueeze": (1,), "Tile": (1,), "Expand": (1,), "TopK": (1,), "ConstantOfShape": (0,), "Range": (0, 1, 2),
    "OneHot": (1,), "Split": (1,), "CumSum": (1,), "CumProd": (1,), "Dropout": (1, 2), "Trilu": (1,),
    "CenterCropPad": (1,),
    "Conv": (1, 2), "ConvTranspose": (1, 2), "ConvInteger": (1, 3), "QLinearConv": (1, 2, 3, 4, 5, 6, 7, 8),
    "BatchNormalization": (1, 2, 3, 4), "InstanceNormalization": (1, 2), "LayerNormalization": (1, 2),
    "GroupNormalization": (1, 2), "RMSNormalization": (1,), "Gemm": (2,), "PRelu": (1,), "LSTM": (1, 2, 3, 4, 7),
    "GRU": (1, 2, 3, 4), "RNN": (1, 2, 3, 4), "QuantizeLinear": (1, 2), "DequantizeLinear": (1, 2), "Clip": (1, 2),
    "DFT": (1, 2), "BlackmanWindow": (0,), "HannWindow": (0,), "HammingWindow": (0,),
    "MelWeightMatrix": (0, 1, 2, 3, 4), "AffineGrid": (1,),
    "Col2Im": (1, 2), "MaxUnpool": (2,), "NonMaxSuppression": (2, 3, 4), "STFT": (1, 2, 3),
    "QLinearMatMul": (1, 2, 3, 4, 5, 6, 7), "MatMulInteger": (2, 3),
}  # fmt: skip
REDUCTIONS = ("ReduceMax", "ReduceMin", "ReduceMean", "ReduceSum", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
              "ReduceLogSumExp", "ReduceSumSquare")  # fmt: skip
CONSTANT_INPUTS |= dict.fromkeys(REDUCTIONS, (1,))
TFLITE_TYPES = {
    onnx.TensorProto.FLOAT, onnx.TensorProto.INT8, onnx.TensorProto.UINT8, onnx.TensorProto.INT16,
    onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.BOOL,
}  # fmt: skip
PATIENCE_S = 100.0
CRASHING_WAYS = ("plain", "simplified")
"""Ways of converters whose files bring LiteRT down now and then."""


def main() -> int:
    """Run all tests; 1 when any is WRONG."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="only tests whose name has this in it")
    parser.add_argument("--engine", choices=WAYS, default="edgewise", help="the converter to test")
    parser.add_argument(
        "--keep", type=Path, help="add every outcome to this file, and do not repeat those in it"
    )
    parser.add_argument("--json", action="store_true", help="print every outcome as JSON")
    parser.add_argument("--table", type=Path, help="write that engine's part of this page of Markdown")
    options = parser.parse_args()
    outcomes = run_ways(options.only, WAYS[options.engine], options.keep)
    if options.json:
        print(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    else:
        report(outcomes)
    if options.table:
        write_page(options.table, outcomes, options.engine)
    return 1 if any(outcome.verdict == "WRONG" for outcome in outcomes) else 0


def run_ways(only: str, ways: Sequence[str], keep: Path | None) -> list[Outcome]:
    """An outcome a test: equal where one way of the converter is right, else what the last one comes to.

    Every later way gets only the tests that no earlier one was right in.
    """
    names = [name for name in test_names() if only in name]
    kept = read_kept(keep)
    for way in ways:
        settled = {name for (name, _), outcome in kept.items() if outcome.verdict in ("equal", "left out")}
        todo = [name for name in names if (name, way) not in kept and name not in settled]
        for outcome in run_all(todo, way):
            kept[outcome.name, way] = outcome = replace(outcome, way=way)
            if keep is not None:
                with keep.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(outcome)) + "\n")
    by_name = [[kept[name, way] for way in ways if (name, way) in kept] for name in names]
    return [next((o for o in found if o.verdict == "equal"), found[-1]) for found in by_name if found]


def read_kept(path: Path | None) -> dict[tuple[str, str], Outcome]:
    """By test and way, the outcomes in a file of JSON lines."""
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {(row["name"], row["way"]): Outcome(**row) for row in rows}


def test_names() -> list[str]:
    """Every test that onnx generates; generating them takes seconds and warns."""
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases

    return [case.name for case in collect_testcases(None)]


def run_all(names: Sequence[str], way: str) -> Iterator[Outcome]:
    """Outcomes in the order of the tests; a crash of the worker is the outcome of the test it was at."""
    position = 0
    while position < len(names):
        mine, theirs = multiprocessing.Pipe()
        worker = multiprocessing.get_context("spawn").Process(
            target=work, args=(theirs, names[position:], way), daemon=True
        )
        worker.start()
        theirs.close()
        try:
            while position < len(names):
                if not mine.poll(PATIENCE_S):
                    yield Outcome(names[position], "?", "WRONG", f"no answer within {PATIENCE_S:g} s")
                    position += 1
                    break
                yield mine.recv()
                position += 1
                if sys.stderr.isatty():
                    print(f"\r{way} {position}/{len(names)}", end="", file=sys.stderr)
        except EOFError:
            yield Outcome(names[position], "?", "WRONG", "the process crashed")
            position += 1
        finally:
            worker.kill()
            worker.join()


def work(pipe: Connection, names: Sequence[str], way: str) -> None:
    """In the child: send an outcome for each test."""
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases

    cases = {case.name: case for case in collect_testcases(None)}
    engine = open_engine(way)
    for name in names:
        pipe.send(judge_apart(cases[name], engine) if way in CRASHING_WAYS else judge(cases[name], engine))


def judge_apart(case: Any, engine: Engine) -> Outcome:
    """The same in a forked process, for files that crash the runtime: a new worker takes seconds to start."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(int(PATIENCE_S * 0.9))
        os.write(writable, json.dumps(asdict(judge(case, engine))).encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    node = case.model.graph.node[0]
    return (
        Outcome(**json.loads(said)) if said else Outcome(case.name, node.op_type, "WRONG", "LiteRT crashed")
    )


def judge(case: Any, engine: Engine) -> Outcome:
    """The outcome of one test."""
    node = case.model.graph.node[0] if case.model.graph.node else None
    operator = case.name.removeprefix("test_") if node is None else node.op_type
    reason = left_out(case)
    if reason:
        return Outcome(case.name, operator, "left out", reason)
    try:
        verdict, reason = convert_and_compare(case, engine)
    except Exception as error:  # whatever is raised is the finding
        said = str(error).splitlines()[0] if str(error) else ""
        verdict, reason = "WRONG", f"{type(error).__name__}: {said}"
    return Outcome(case.name, operator, verdict, reason[:200])


def left_out(case: Any) -> str:
    """Why a test does not count, or ""."""
    graph = case.model.graph
    for value in (*graph.input, *graph.output):
        if not value.type.HasField("tensor_type"):
            return "a sequence, optional or map"
        if value.type.tensor_type.elem_type not in TFLITE_TYPES:
            return f"type {onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)}"
    import onnxruntime

    session_options = onnxruntime.SessionOptions()
    session_options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            case.model.SerializeToString(), session_options, providers=["CPUExecutionProvider"]
        )
        for inputs, outputs in case.data_sets:
            feeds = dict(zip([value.name for value in graph.input], map(as_array, inputs), strict=True))
            for got, want in zip(session.run(None, feeds), map(as_array, outputs), strict=True):
                np.testing.assert_allclose(got, want, rtol=case.rtol, atol=case.atol)
    except Exception as error:
        return f"onnxruntime: {str(error).splitlines()[0][:80]}"
    return ""


def as_array(value: Any) -> np.ndarray:
    """A test's datum as an array."""
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def freeze(model: onnx.ModelProto, inputs: list[np.ndarray]) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The model with its constant inputs as initializers, and the feeds that are left."""
    frozen = onnx.ModelProto()
    frozen.CopyFrom(model)
    arrays = dict(zip([value.name for value in model.graph.input], inputs, strict=True))
    constant = {
        node.input[index]
        for node in model.graph.node
        for index in CONSTANT_INPUTS.get(node.op_type, ())
        if index < len(node.input) and node.input[index] in arrays
    }
    if len(constant) == len(arrays):
        constant = set()
    del frozen.graph.input[:]
    frozen.graph.input.extend(value for value in model.graph.input if value.name not in constant)
    frozen.graph.initializer.extend(numpy_helper.from_array(arrays[name], name) for name in sorted(constant))
    for (
        value
    ) in frozen.graph.input:  # tests declare open dimensions here and there; the data says which they are
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        shape.dim.extend(onnx.TensorShapeProto.Dimension(dim_value=size) for size in arrays[value.name].shape)
    return frozen, {name: array for name, array in arrays.items() if name not in constant}


def convert_and_compare(case: Any, engine: Engine) -> tuple[str, str]:
    """equal, refused or WRONG, and why."""
    inputs, outputs = case.data_sets[0]
    model, feeds = freeze(case.model, [as_array(value) for value in inputs])
    expected = dict(zip([value.name for value in model.graph.output], map(as_array, outputs), strict=True))
    complaints = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.onnx"
        onnx.save(model, path)
        try:
            for reading in engine.convert(path, feeds, expected):
                complaints.append(complaint_of(reading, feeds, expected, case))
                if not complaints[-1]:
                    return "equal", ""
        except Refused as error:
            return "refused", str(error)
    return "WRONG", complaints[0]


def complaint_of(
    reading: Reading, feeds: dict[str, np.ndarray], expected: dict[str, np.ndarray], case: Any
) -> str:
    """What is wrong with an answer or with the same question's second answer, or ""."""
    for call in ("", " when asked again"):
        answers = reading.answer(feeds)
        for name, want in expected.items():
            complaint = differs(answers[name], want, case)
            if complaint:
                return f"output {name}: {complaint}{call}"
    return ""


def differs(got: np.ndarray, want: np.ndarray, case: Any) -> str:
    """What is different, or ""."""
    if got.shape != want.shape:
        return f"shape {got.shape}, expected {want.shape}"
    if np.allclose(got, want, rtol=max(case.rtol, 1e-4), atol=max(case.atol, 1e-5), equal_nan=True):
        return ""
    if want.dtype.kind != "f":
        return f"{int(np.sum(got != want))} of {want.size} values"
    noise = float(np.nansum(np.square(np.float64(got) - want)))
    signal = float(np.nansum(np.square(np.float64(want))))
    return f"{10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30)):.1f} dB"


if __name__ == "__main__":
    sys.exit(main())
