"""Real small models of each kind, others of their weights, and a pipeline that sees what a test gives it."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import edgewise
import models_and_data
from edgewise.model_card import (
    IMAGE_EMBEDDING,
    TENSORS,
    ImagePreprocess,
    ModelCard,
    TensorCard,
)
from edgewise.streams import Block, Frame, SensorBlock
from edgewise_agent.clock import SystemClock
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.pipelines.model_slot import ModelSlot
from edgewise_agent.pipelines.pipeline import Pipeline
from edgewise_agent.pipelines.settings import DriftSettings, PipelineSettings
from edgewise_agent.pipelines.source_words import SourceWord
from edgewise_agent.recorder import Recorder
from edgewise_agent.updates.live_model import ShadowReport
from edgewise_agent.updates.live_pipeline import LivePipeline
from edgewise_agent.updates.settings import UpdateSettings

RATE_HZ = 16_000
CHUNK, BEFORE = 512, 64
"""What silero-vad takes, and what of the chunk before it wants to see again."""
Item = Frame | Block | SensorBlock
PACE_S = 0.002


def altered(path: Path, model: Path, *, name: str, noise: float = 0.0, seed: int = 1, **card: Any) -> Path:
    """A copy with another name; ``noise`` is added to the weights, in their own standard deviations."""
    file = edgewise.read_model(model)
    assert file.card
    network = onnx.load(model)
    random = np.random.default_rng(seed)
    for kept in _weights(network.graph) if noise else ():
        values = numpy_helper.to_array(kept)
        if values.dtype == np.float32 and values.size > 16:  # no scales of a Resize
            off = random.standard_normal(values.shape) * values.std() * noise
            kept.CopyFrom(numpy_helper.from_array((values + off).astype(np.float32), kept.name))
    edgewise.write_model(
        path, network.SerializeToString(), card=replace(file.card, name=name, golden=None, **card)
    )
    return path


def _weights(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """Of the graph and of the branches of its If nodes."""
    found = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.type == onnx.AttributeProto.TENSOR:
                found.append(attribute.t)
            if attribute.type == onnx.AttributeProto.GRAPH:
                found += _weights(attribute.g)
    return found


def write_pixel_network(path: Path, task: str, weights: np.ndarray, labels: tuple[str, ...] = ()) -> Path:
    """A 1 x 1 convolution over a picture of 8 x 8: a class for each pixel, or with a mean over all an embedding."""
    count = len(weights)
    is_vector = task == IMAGE_EMBEDDING
    shape = (1, count) if is_vector else (1, 8, 8, count)
    nodes = [helper.make_node("MatMul", ["image", "weights"], ["pixels"])]
    if is_vector:
        nodes.append(helper.make_node("ReduceMean", ["pixels"], ["out"], axes=[1, 2], keepdims=0))
    else:
        nodes[0].output[0] = "out"
    graph = helper.make_graph(
        nodes,
        "pixels",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 8, 8, 3])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights.T.astype(np.float32).copy(), "weights")],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    layout = "" if is_vector else "nhwc"
    card = ModelCard(
        name="pixels",
        task=task,
        inputs=(TensorCard("image", (1, 8, 8, 3), "float32", layout="nhwc", image=ImagePreprocess((8, 8))),),
        outputs=(TensorCard("out", shape, "float32", layout=layout),),
        labels=labels,
    )
    edgewise.write_model(path, network.SerializeToString(), card=card)
    return path


def write_listener(path: Path) -> Path:
    """silero-vad as a device runs it: the rate is given, and the last 4 ms are a state beside the LSTM's."""
    network = onnx.load(models_and_data.silero_vad_onnx())
    graph = network.graph
    # The rate is computed: onnxruntime 1.32 crashes on this file's If nodes where their condition is a constant.
    graph.node.insert(0, helper.make_node("Cast", ["rate"], ["sr"], to=TensorProto.INT64))
    graph.node.insert(0, helper.make_node("Add", ["nothing", "rate_hz"], ["rate"]))
    graph.node.insert(0, helper.make_node("ReduceSum", ["zeros"], ["nothing"], keepdims=0))
    graph.node.insert(0, helper.make_node("Mul", ["before", "zero"], ["zeros"]))
    for name, value in {"rate_hz": RATE_HZ, "zero": 0}.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    # The branches of its If nodes know the name "input" too.
    graph.node.insert(0, helper.make_node("Concat", ["before", "sound"], ["input"], axis=1))
    graph.node.append(helper.make_node("Slice", ["input", "from", "to", "axis"], ["after"]))
    for name, value in {"from": -BEFORE, "to": 1 << 30, "axis": 1}.items():
        graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
    state = [kept for kept in graph.input if kept.name == "state"]
    outputs = {kept.name: kept for kept in graph.output}
    del graph.input[:], graph.output[:]
    for kept, sizes in (
        (graph.input, {"sound": ["b", "n"], "before": [1, BEFORE], "state": [2, 1, 128]}),
        (graph.output, {"output": [1, 1], "stateN": [2, 1, 128], "after": [1, BEFORE]}),
    ):
        kept.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in sizes.items()
        )
    assert state and set(outputs) == {"output", "stateN"}
    card = ModelCard(
        name="listener",
        task=TENSORS,
        inputs=tuple(TensorCard(one.name, shape_of(one), "float32") for one in graph.input),
        outputs=tuple(TensorCard(one.name, shape_of(one), "float32") for one in graph.output),
        feedback={"stateN": "state", "after": "before"},
    )
    edgewise.write_model(path, network.SerializeToString(), card=card)
    return path


def shape_of(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(size.dim_value or -1 for size in value.type.tensor_type.shape.dim)


def write_filter(path: Path, weights: np.ndarray) -> Path:
    """Plain tensors: rows of 4 measurements [1, 16, 4] to [1, 16, n]."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", "weights"], ["mixed"]), helper.make_node("Tanh", ["mixed"], ["out"])],
        "filter",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [1, 16, 4])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 16, weights.shape[1]])],
        [numpy_helper.from_array(weights.astype(np.float32), "weights")],
    )  # fmt: skip
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    card = ModelCard(
        name="filter",
        task=TENSORS,
        inputs=(TensorCard("rows", (1, 16, 4), "float32"),),
        outputs=(TensorCard("out", (1, 16, weights.shape[1]), "float32"),),
    )
    edgewise.write_model(path, network.SerializeToString(), card=card)
    return path


def pictures(images: Iterable[np.ndarray], count: int) -> list[Item]:
    kept = list(images)
    return [Frame(kept[i % len(kept)], i, 0.0, "test") for i in range(count)]


def sound(samples: np.ndarray, block: int = CHUNK, rate_hz: int = RATE_HZ) -> list[Item]:
    """Blocks of 32 ms, or of other lengths."""
    whole = samples[: len(samples) // block * block].astype(np.float32).reshape(-1, block)
    return [Block(one, rate_hz, i, 0.0, "test") for i, one in enumerate(whole)]


def measurements(rows: np.ndarray, rate_hz: float, block: int) -> list[Item]:
    pieces = [rows[i : i + block] for i in range(0, len(rows), block)]
    return [SensorBlock(piece.astype(np.float32), rate_hz, i, 0.0, "test") for i, piece in enumerate(pieces)]


class Given:
    """A source of what a test gives, over and over, a little slower than the models."""

    is_live = False
    name = "test"

    def __init__(self, items: Sequence[Item], pace_s: float = PACE_S, ends_after: int = 0) -> None:
        self._items, self._pace_s, self._next, self._ends_after = items, pace_s, 0, ends_after

    def open(self) -> None:
        pass

    def read(self) -> Item | None:
        time.sleep(self._pace_s)
        if self._ends_after and self._next >= self._ends_after:
            return None
        self._next += 1
        return self._items[(self._next - 1) % len(self._items)]

    def close(self) -> None:
        pass


class Counting:
    """How often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1


class Site:
    """A pipeline that runs a model over given inputs. A context manager."""

    def __init__(
        self,
        folder: Path,
        model: Path,
        items: Sequence[Item],
        *,
        source: str = "/photos",
        pace_s: float = PACE_S,
        ends_after: int = 0,
    ) -> None:
        """``ends_after`` so many items the source begins again."""
        settings = PipelineSettings(
            model=model, source=(SourceWord(source),), interval_s=0.0, drift=DriftSettings(enabled=False)
        )
        self.settings = settings
        self.tidied = Counting()
        self.outbox = Outbox(folder / "outbox.db", max_bytes=2**22)
        self.slot = ModelSlot(settings)
        self.pipeline = Pipeline(
            "main",
            settings,
            self.slot,
            source=lambda: Given(items, pace_s, ends_after),
            recorder=Recorder(self.outbox, SystemClock(folder), boot="boot-1"),
        )

    def shadow(
        self, candidate: Path, *, inputs: int = 30, within_s: float = 30.0, **updates: Any
    ) -> ShadowReport:
        """What a shadow run of ``candidate`` sees."""
        settings = UpdateSettings(**{"shadow_share": 1.0, "settle_inputs": 8, **updates})
        # Giving memory back takes longer than all the rest in a process as large as a test's.
        live = LivePipeline(self.pipeline, self.settings, settings, tidy=self.tidied)
        return live.shadow(candidate, inputs=inputs, within_s=within_s, should_stop=lambda: False)

    def __enter__(self) -> "Site":
        self.pipeline.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.pipeline.stop()
        assert self.pipeline.join(30)
        self.slot.close()
        self.outbox.close()
