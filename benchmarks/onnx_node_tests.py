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
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx_engines import Engine, Reading, Refused, engines

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
BESIDE = "\n## Beside it: onnx2tf\n"


@dataclass(frozen=True)
class Outcome:
    """What became of one test."""

    name: str
    operator: str
    verdict: str
    reason: str = ""


def main() -> int:
    """Run all tests; 1 when any is WRONG."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="only tests whose name has this in it")
    parser.add_argument(
        "--engine", choices=("edgewise", "onnx2tf"), default="edgewise", help="the converter to test"
    )
    parser.add_argument("--json", action="store_true", help="print every outcome as JSON")
    parser.add_argument("--table", type=Path, help="write that engine's part of this page of Markdown")
    options = parser.parse_args()
    outcomes = list(run_all(options.only, options.engine))
    if options.json:
        print(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    else:
        report(outcomes)
    if options.table:
        write_page(options.table, outcomes, options.engine)
    return 1 if any(outcome.verdict == "WRONG" for outcome in outcomes) else 0


def run_all(only: str, engine: str = "edgewise") -> Iterator[Outcome]:
    """Outcomes in the order of the tests; a crash of the worker is the outcome of the test it was at."""
    names: list[str] = []
    position = 0
    while True:
        mine, theirs = multiprocessing.Pipe()
        worker = multiprocessing.get_context("spawn").Process(
            target=work, args=(theirs, only, position, engine), daemon=True
        )
        worker.start()
        theirs.close()
        try:
            names = names or mine.recv()
            while position < len(names):
                if not mine.poll(PATIENCE_S):
                    yield Outcome(names[position], "?", "WRONG", f"no answer within {PATIENCE_S:g} s")
                    position += 1
                    break
                yield mine.recv()
                position += 1
                if sys.stderr.isatty():
                    print(f"\r{position}/{len(names)}", end="", file=sys.stderr)
            else:
                return
        except EOFError:
            yield Outcome(names[position], "?", "WRONG", "the process crashed")
            position += 1
        finally:
            worker.kill()
            worker.join()


def work(pipe: Connection, only: str, start: int, engine_name: str) -> None:
    """In the child: send the names, then an outcome for each test from ``start`` on."""
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases

    cases = [case for case in collect_testcases(None) if only in case.name]
    pipe.send([case.name for case in cases]) if start == 0 else None
    ways = engines(engine_name)
    for case in cases[start:]:
        pipe.send(judge(case, ways))


def judge(case: Any, ways: list[Engine]) -> Outcome:
    """The outcome of one test: equal where one way of the converter is right, else what the last one comes to."""
    node = case.model.graph.node[0] if case.model.graph.node else None
    operator = case.name.removeprefix("test_") if node is None else node.op_type
    reason = left_out(case)
    if reason:
        return Outcome(case.name, operator, "left out", reason)
    verdict = ""
    for way in ways:
        try:
            verdict, reason = convert_and_compare(case, way)
        except Exception as error:  # whatever is raised is the finding
            said = str(error).splitlines()[0] if str(error) else ""
            verdict, reason = "WRONG", f"{type(error).__name__}: {said}"
        if verdict == "equal":
            break
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


def report(outcomes: list[Outcome]) -> None:
    """The counts, then what is WRONG."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    counted = sum(n for verdict, n in counts.items() if verdict != "left out")
    for verdict in ("equal", "refused", "WRONG", "left out"):
        share = f"{counts[verdict] / max(counted, 1):.1%}" if verdict != "left out" else ""
        print(f"{verdict:9} {counts[verdict]:5} {share}")
    for outcome in outcomes:
        if outcome.verdict == "WRONG":
            print(f"WRONG {outcome.operator} {outcome.name}: {outcome.reason}")


def write_page(path: Path, outcomes: list[Outcome], engine: str) -> None:
    """Our table, or after it the other engine's counts; what the page says of the other stays."""
    ours, marker, beside = (
        path.read_text(encoding="utf-8").partition(BESIDE) if path.exists() else ("", "", "")
    )
    if engine == "edgewise":
        ours = as_table(outcomes)
    else:
        marker, beside = BESIDE, as_summary(outcomes)
    path.write_text(ours + marker + beside, encoding="utf-8")


def as_summary(outcomes: list[Outcome]) -> str:
    """The counts of an engine beside ours, as Markdown."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    counted = sum(number for verdict, number in counts.items() if verdict != "left out")
    wrong = [outcome for outcome in outcomes if outcome.verdict == "WRONG"]
    unrunnable = sum(not outcome.reason.startswith("output ") for outcome in wrong)
    again = sum(outcome.reason.endswith("asked again") for outcome in wrong)
    return f"""
onnx2tf 2.6.9 (its own writer, its own `onnxsim`) by the same runner, each test in a process of its own. It does not
say how the axes of its files lie, so the order in which the answers fit is taken.

| of {counted} tests | |
|---|---|
| converted, and the expected answer twice in a row | {counts["equal"]} ({counts["equal"] / max(counted, 1):.1%}) |
| refused | {counts["refused"]} |
| exit status 0, and another answer | {len(wrong) - unrunnable}, of them {again} in the second call only |
| exit status 0, and a file that is missing or does not run in LiteRT | {unrunnable} |

```sh
.venv/bin/python benchmarks/onnx_node_tests.py --engine onnx2tf --table docs/onnx-operators.md
```
"""


def as_table(outcomes: list[Outcome]) -> str:
    """Counts by operator, as Markdown."""
    by_operator: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        by_operator[outcome.operator][outcome.verdict] += 1
    counts = Counter(outcome.verdict for outcome in outcomes)
    counted = sum(number for verdict, number in counts.items() if verdict != "left out")
    lines = [
        "# ONNX's own tests of one operator each",
        "",
        f"Of {counted} tests, {counts['equal']} ({counts['equal'] / max(counted, 1):.1%}) are converted and give the",
        f"expected answer twice in a row in LiteRT, {counts['refused']} are refused with a reason, and",
        f"{counts['WRONG']} are wrong. Left out are {counts['left out']} that onnxruntime does not pass or whose types",
        "TFLite does not have.",
        "Inputs that are constants by nature (shapes, axes, weights) are frozen. This page is written by",
        "",
        "```sh",
        ".venv/bin/python benchmarks/onnx_node_tests.py --table docs/onnx-operators.md",
        "```",
        "",
        "| operator | equal | refused | wrong | left out |",
        "|---|---|---|---|---|",
    ]
    for operator, counts in sorted(by_operator.items()):
        lines.append(
            f"| {operator} | {counts['equal']} | {counts['refused']} | {counts['WRONG']} | {counts['left out']} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
