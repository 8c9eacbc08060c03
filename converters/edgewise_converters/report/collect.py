"""Looks at a conversion once it is done: its graphs, its layers, some of its samples."""

import base64
import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from edgewise.errors import EdgewiseError
from edgewise.tasks.classification import softmax
from edgewise.tensors import Array
from edgewise_converters.errors import ConversionError
from edgewise_converters.layer_facts import LayerFacts, measure_layers
from edgewise_converters.layers import CONVERSIONS, layer_name, precision_of
from edgewise_converters.lower import LoweredGraph
from edgewise_converters.report.findings import Answer, Example, Findings, Node
from edgewise_converters.report.journal import Journal
from edgewise_converters.request import Result
from edgewise_converters.tflite.structure import structure_of
from edgewise_converters.tflite.writer import serialize
from edgewise_converters.verify import Case, Layouts, open_runtime, run_case, to_stored

_LAYER_CASES = 16
_EXAMPLES = 12
_PICTURE_SIZE = 176
_JPEG_QUALITY = 70


def collect(
    source: Path,
    result: Result,
    journal: Journal,
    lower: Callable[[], LoweredGraph],
    layouts: Layouts,
    cases: list[Case],
    values: Mapping[str, Array],
) -> Findings:
    """Gather what the page shows. ``lower`` gives the float graph anew; ``cases`` are those verified on.

    ``values`` are inputs of the original that are always the same.
    """
    network = result.path.read_bytes()
    is_tflite = result.path.suffix == ".tflite"
    distinct = list({id(case): case for case in cases}.values())
    looked_at = distinct[:_LAYER_CASES]
    return Findings(
        source_name=source.name,
        result=result,
        journal=journal,
        before=source_nodes(source),
        after=_tflite_nodes(network) if is_tflite else source_nodes(result.path),
        layers=_layers(lower, network, looked_at, layouts)
        if is_tflite
        else _onnx_layers(source, network, looked_at, values),
        layers_measured_on=len(looked_at),
        examples=_examples(network, result, distinct, layouts),
    )


def source_nodes(path: Path) -> tuple[Node, ...]:
    """The operators of an ONNX or TFLite file as they stand; none of a format without a graph to read."""
    if path.suffix == ".tflite":
        return _tflite_nodes(path.read_bytes())
    if path.suffix != ".onnx":
        return ()
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    return tuple(Node(node.op_type, node.name or node.output[0]) for node in graph.node)


def _tflite_nodes(network: bytes) -> tuple[Node, ...]:
    graph, _ = structure_of(network)
    producers = graph.producers()
    return tuple(
        Node(
            operator.kind,
            layer_name(operator.output),
            "" if operator.kind in CONVERSIONS else precision_of(operator, producers),
            operator.output.shape,
        )
        for operator in graph.operators
        if operator.outputs
    )


def _layers(
    lower: Callable[[], LoweredGraph], network: bytes, cases: list[Case], layouts: Layouts
) -> tuple[LayerFacts, ...]:
    twin = serialize(lower().graph, description="float", metadata={})
    feeds = ({n: a.transpose(layouts.inputs[n]) for n, a in case.feed.items()} for case in cases)
    return measure_layers(twin, network, feeds)


def _onnx_layers(
    source: Path, network: bytes, cases: list[Case], values: Mapping[str, Array]
) -> tuple[LayerFacts, ...]:
    if source.suffix != ".onnx":
        return ()
    from edgewise_converters.onnx_layers import measure_onnx_layers

    try:
        return measure_onnx_layers(source, network, (case.feed for case in cases), values)
    except ConversionError:
        return ()  # onnxruntime cannot run every graph with its inner tensors as outputs


def _examples(network: bytes, result: Result, cases: list[Case], layouts: Layouts) -> tuple[Example, ...]:
    """The samples whose answers differ, then those the written file is least sure of."""
    if result.card.drift is None or result.card.drift.answers is None:
        return ()
    labels, logits = result.card.labels, result.card.outputs[0].activation == "logits"
    backend = open_runtime(network, result.card.runtimes[0])
    compared = []
    for case in cases:
        answers = run_case(backend, to_stored(backend, case.feed, layouts), layouts)
        before, after = (_answer(outputs.values(), labels, logits) for outputs in (case.expected, answers))
        compared.append((before.label == after.label, after.score, case, before, after))
    backend.close()
    compared.sort(key=lambda entry: entry[:2])
    return tuple(_example(case, before, after, labels) for _, _, case, before, after in compared[:_EXAMPLES])


def _answer(outputs: Iterable[Array], labels: tuple[str, ...], logits: bool) -> Answer:
    scores = np.asarray(next(iter(outputs)), np.float32).ravel()
    if logits:
        scores = softmax(scores)
    return Answer(_label(int(np.argmax(scores)), labels), float(scores.max()))


def _label(index: int, labels: tuple[str, ...]) -> str:
    return labels[index] if index < len(labels) else f"#{index}"


def _example(case: Case, before: Answer, after: Answer, labels: tuple[str, ...]) -> Example:
    sample = case.sample
    picture = _thumbnail(sample.file) if sample is not None and sample.file is not None else ""
    truth = "" if sample is None or sample.truth is None else _label(sample.truth, labels)
    return Example(sample.name if sample else "", picture, truth, before, after)


def _thumbnail(file: Path) -> str:
    """A JPEG of the whole picture as a data URI."""
    try:
        with Image.open(file) as opened:
            opened.draft("RGB", (_PICTURE_SIZE * 2, _PICTURE_SIZE * 2))
            small = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, EdgewiseError):
        return ""
    small.thumbnail((_PICTURE_SIZE, _PICTURE_SIZE))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
