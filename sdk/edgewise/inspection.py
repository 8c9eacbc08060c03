"""Everything that a model file says about itself, for people and for machines."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgewise.backends import open_backend, try_backends
from edgewise.baseline_text import baseline_rows
from edgewise.detection_card import DetectionCard
from edgewise.model_card import ImagePreprocess, LayerPrecision, ModelCard, Quality, TensorCard
from edgewise.model_file import TFLITE, ModelFile, read_model
from edgewise.pose_card import PoseCard
from edgewise.self_test import SelfTest, counted
from edgewise.signature import with_card
from edgewise.tensors import Quantization, TensorSpec

_LABELS_SHOWN = 5
_LAYERS_SHOWN = 3


@dataclass(frozen=True)
class Inspection:
    """What is known about one model file on this machine."""

    file: ModelFile
    sha256: str
    inputs: tuple[TensorSpec, ...]
    """Empty when no runtime here can open the file and it has no card."""
    outputs: tuple[TensorSpec, ...]
    backends: dict[str, str]
    """Every runtime for the format: "" when it opens the file, otherwise why not."""
    self_test: SelfTest | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        card = self.file.card
        return {
            "path": str(self.file.path),
            "format": self.file.format,
            "size_bytes": self.file.size_bytes,
            "sha256": self.sha256,
            "inputs": [asdict(spec) for spec in self.inputs],
            "outputs": [asdict(spec) for spec in self.outputs],
            "labels": list(self.file.labels),
            "card": json.loads(card.to_json()) if card else None,
            "metadata": asdict(self.file.metadata) if self.file.metadata else None,
            "properties": self.file.properties,
            "backends": self.backends,
            "self_test": self.self_test.to_dict() if self.self_test else None,
        }

    def page(self) -> str:
        """For people."""
        file = self.file
        kind = "TensorFlow Lite" if file.format == TFLITE else "ONNX"
        rows = [("file", str(file.path)), ("format", f"{kind}, {_size(file.size_bytes)}")]
        rows += [("sha256", self.sha256)]
        cards = {card.name: card for card in file.card.inputs + file.card.outputs} if file.card else {}
        for what, specs in (("input", self.inputs), ("output", self.outputs)):
            for spec in specs:
                rows += _tensor_rows(what, spec, cards.get(spec.name))
        rows += _labels_row(file.labels)
        rows += _card_rows(file.card) if file.card else [("card", "none: not written by edgewise convert")]
        rows += [("runs here", _backends_text(self.backends))]
        if self.self_test:
            rows.append(("self-test", str(self.self_test)))
        return "\n".join(f"{label:<13}{text}".rstrip() for label, text in rows)


def inspect_model(path: str | Path, *, self_test: bool = False) -> Inspection:
    """Read a model file, try every runtime on it, and on request run its golden cases.

    Raises ModelFileError, CardError; with ``self_test`` also BackendUnavailable.
    """
    file = read_model(path)
    backends = try_backends(file.path, file.format)
    working = next((name for name, reason in backends.items() if not reason), None)
    inputs, outputs = _tensors(file, working)
    result = None
    if self_test:
        from edgewise.loading import load

        with load(path) as model:
            result = model.self_test()
    return Inspection(file, file.sha256(), inputs, outputs, backends, result)


def _tensors(
    file: ModelFile, backend_name: str | None
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """As the runtime sees them; without one, as the card says."""
    card = file.card
    if backend_name is None:
        return tuple(map(_spec, card.inputs if card else ())), tuple(map(_spec, card.outputs if card else ()))
    backend = open_backend(file.path, file.format, name=backend_name, threads=1)
    try:
        return (
            with_card(backend.inputs(), card.inputs if card else (), "input"),
            with_card(backend.outputs(), card.outputs if card else (), "output"),
        )
    finally:
        backend.close()


def _spec(card: TensorCard) -> TensorSpec:
    return TensorSpec(card.name, card.shape, card.dtype, card.layout, card.quantization)


def _tensor_rows(what: str, spec: TensorSpec, card: TensorCard | None) -> list[tuple[str, str]]:
    shape = " x ".join("?" if size < 0 else str(size) for size in spec.shape) or "scalar"
    facts = [spec.name, f"{spec.dtype} {shape}", spec.layout, _quantization_text(spec.quantization)]
    facts.append(f"holds {card.activation}" if card and card.activation else "")
    rows = [(what, ", ".join(fact for fact in facts if fact))]
    if card and card.image:
        rows.append(("", _image_text(card.image)))
    return rows


def _quantization_text(quantization: Quantization | None) -> str:
    if quantization is None:
        return ""
    if not quantization.is_per_tensor:
        return f"{len(quantization.scales)} scales along axis {quantization.axis}"
    return f"scale {quantization.scale:.6g}, zero point {quantization.zero_point}"


def _image_text(image: ImagePreprocess) -> str:
    width, height = image.size_wh
    crop = f" {image.crop_fraction:g}" if image.resize == "centre-crop" else ""
    mean, std = (" ".join(f"{value:g}" for value in values) for values in (image.mean, image.std))
    return (
        f"{image.colour.upper()} picture, {image.resize}{crop} to {width} x {height}, {image.resample}, "
        f"(pixel - {mean}) / {std}"
    )


def _labels_row(labels: tuple[str, ...]) -> list[tuple[str, str]]:
    if not labels:
        return []
    more = ", ..." if len(labels) > _LABELS_SHOWN else ""
    return [("labels", f"{len(labels)}: {', '.join(labels[:_LABELS_SHOWN])}{more}")]


def _card_rows(card: ModelCard) -> list[tuple[str, str]]:
    source = ""
    if card.source:
        opset = f", opset {card.source.opset}" if card.source.opset else ""
        source = f"{card.source.file_name} ({card.source.format}{opset}), sha256 {card.source.sha256}"
    tools = ", ".join(f"{name} {version}" for name, version in card.tools.items())
    rows = [
        ("name", card.name),
        ("task", card.task),
        ("boxes", _detection_text(card.detection) if card.detection else ""),
        ("points", _pose_text(card.pose) if card.pose else ""),
        ("target", card.target),
        ("precision", card.precision),
        ("was run in", ", ".join(card.runtimes)),
        ("source", source),
        ("made with", tools),
        ("by", card.command),
        ("on", card.created),
        ("licence", card.licence),
        ("layers", "; ".join(map(_layer_text, card.layers))),
        ("calibration", _calibration_text(card)),
    ]
    rows += [("quality", _quality_text(quality)) for quality in card.quality]
    rows += [
        (
            "latency",
            f"p50 {one.p50_ms:g} ms, p95 {one.p95_ms:g} ms on {one.board} ({one.runs} runs, {one.backend})",
        )
        for one in card.latency or ()
    ]
    rows += baseline_rows(card.drift, card.labels) if card.drift else []
    if card.golden:
        rows.append(
            ("golden", f"{counted(card.golden.cases, 'case')}, at least {card.golden.tolerance_db:g} dB")
        )
    return [(label, text) for label, text in rows if text]


def _detection_text(detection: DetectionCard) -> str:
    facts = [f"head {detection.head}"]
    if detection.score_threshold is not None:
        facts.append(f"scores of at least {detection.score_threshold:g}")
    if detection.overlap_threshold is not None:
        facts.append(f"overlaps of at most {detection.overlap_threshold:g}")
    if detection.keypoints:
        facts.append(counted(detection.keypoints, "point"))
    return ", ".join(facts)


def _pose_text(pose: PoseCard) -> str:
    return f"head {pose.head}, {counted(pose.keypoints, 'point')}: {', '.join(pose.point_names[:3])}, ..."


def _layer_text(layer: LayerPrecision) -> str:
    names = ", ".join(layer.names[:_LAYERS_SHOWN])
    more = ", ..." if 0 < len(layer.names[:_LAYERS_SHOWN]) < layer.operators else ""
    return f"{layer.operators} {layer.precision}" + (f" ({names}{more})" if names else "")


def _calibration_text(card: ModelCard) -> str:
    if not card.calibration:
        return ""
    on = f" on {counted(card.calibration_samples, 'sample')}" if card.calibration_samples else ""
    method = f", {card.calibration_method}" if card.calibration_method else ""
    return f"ranges of {counted(len(card.calibration), 'tensor')}{on}{method}"


def _quality_text(quality: Quality) -> str:
    on = f" on {quality.measured_on}" if quality.measured_on else ""
    samples = f", {counted(quality.samples, 'sample')}" if quality.samples else ""
    value = f"{quality.value:g} {quality.unit}".strip()
    if quality.low is not None and quality.high is not None:
        value += f" (95 %: {quality.low:.4g} to {quality.high:.4g})"
    return f"{quality.metric} {value}{on}{samples}"


def _backends_text(backends: dict[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" if reason else name for name, reason in backends.items())


def _size(size_bytes: int) -> str:
    if size_bytes < 1000:
        return f"{size_bytes} bytes"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1000:.1f} kB"
    return f"{size_bytes / 1_000_000:.2f} MB"
