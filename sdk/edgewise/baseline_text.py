"""The drift baseline in a few lines, for people."""

from edgewise.drift_baseline import AnswerBaseline, DriftBaseline, Histogram, TensorBaseline

_CLASSES_SHOWN = 3
_BARS = " ▁▂▃▄▅▆▇█"


def baseline_rows(baseline: DriftBaseline, labels: tuple[str, ...]) -> list[tuple[str, str]]:
    """Rows of a title and a text."""
    rows = [("baseline", f"{baseline.samples} samples of {baseline.measured_on}")]
    rows += [("", f"input {_tensor_text(tensor)}") for tensor in baseline.inputs]
    rows += [("", f"output {_tensor_text(tensor)}") for tensor in baseline.outputs]
    if baseline.answers:
        rows += [("", text) for text in _answer_texts(baseline.answers, labels)]
    if baseline.embedding:
        far = baseline.embedding.mean_distance
        rows.append(("", f"embeddings {far:.3g} from their mean direction (1 less cosine) on average"))
    return rows


def _tensor_text(tensor: TensorBaseline) -> str:
    return (
        f"{tensor.name}: mean {tensor.mean:.4g}, deviation {tensor.deviation:.4g}, "
        f"{tensor.minimum:.4g} to {tensor.maximum:.4g}"
    )


def _answer_texts(answers: AnswerBaseline, labels: tuple[str, ...]) -> list[str]:
    common = ", ".join(
        f"{labels[entry.index] if entry.index < len(labels) else f'#{entry.index}'} {entry.count}"
        for entry in answers.classes[:_CLASSES_SHOWN]
    )
    count = f"{len(answers.classes)}{' or more' if answers.other_classes else ''}"
    return [
        f"confidence 0 {_bars(answers.confidences)} 1, margin 0 {_bars(answers.margins)} 1",
        f"{count} classes answered, most often {common}",
    ]


def _bars(histogram: Histogram) -> str:
    most = max(*histogram.counts, 1)
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] for count in histogram.counts)
