"""Alarms on real recordings: exercises that nobody showed the model, done by people it never met."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from sdk import exercise_files
from sdk.exercise_files import Windows
from sdk.test_anomaly import SAME, card_of, write_gemm

import edgewise
from edgewise import AnomalyCard
from edgewise.model_card import ANOMALY_DETECTION, ModelCard, TensorCard
from edgewise.preprocess.series import to_tensor
from edgewise.tasks.anomaly_fit import FittedThreshold, fit_mahalanobis, fit_threshold
from edgewise.tensors import Array
from model_sources.exercises import Exercises, read_exercises

NORMAL = ("PEN", "ABD", "FEL", "IR")
"""The first four by the data's own order; the other three are what was never seen."""
COMPONENTS = 10
"""Chosen on the validation people, as is that an autoencoder gets windows normalised by themselves: without, large
movements are never told from unknown ones."""
PEOPLE = (1, 2, 3, 4, 5)
"""Who judges: each is scored once, by models that were trained on everybody else but the validation people. The
people whom test_exercises.py judges on were looked at three times while these models were designed, so they judge
nothing here; those here were only ever trained on."""
LEAST_AUC = {"squared-error": 0.6, "mahalanobis": 0.5}
"""Below what is measured (docs/sdk.md): less means that something is broken."""


def auc(normal: Array, other: Array) -> float:
    """The share of pairs in the right order (Mann and Whitney)."""
    ranks = np.concatenate([normal, other]).argsort().argsort() + 1
    above = ranks[len(normal) :].sum() - len(other) * (len(other) + 1) / 2
    return float(above / (len(normal) * len(other)))


def write_models(
    folder: Path, data: Exercises, judged: tuple[int, ...] = exercise_files.TEST_SUBJECTS
) -> tuple[dict[str, Path], Windows, Windows]:
    """A linear autoencoder and a network of features, both of what is normal; validation and test windows."""
    spec, train, validation, test = exercise_files.split(data, judged)
    is_normal = np.isin(np.array(data.names)[train.labels], NORMAL)
    normal = replace(train, series=train.series[is_normal], labels=train.labels[is_normal])
    given = exercise_files.tensors(normal, spec)
    shape_only = replace(spec, normalise="window", mean=(), std=())
    flat = exercise_files.tensors(normal, shape_only).reshape(len(given), -1)
    _, _, components = np.linalg.svd(flat, full_matrices=False)
    into = components[:COMPONENTS].T
    card = card_of(AnomalyCard(kind="squared-error"), spec.shape, spec.shape, series=shape_only)
    paths = {"squared-error": write_gemm(folder / "autoencoder.onnx", spec.shape, into, into.T, card)}
    weights = exercise_files.train(given, normal.labels, len(data.names))
    network = exercise_files.network(weights)
    kept = exercise_files.features(given, weights.kernels, weights.biases)
    anomaly = fit_mahalanobis(kept)
    del network.graph.node[-1], network.graph.output[:]
    network.graph.output.append(
        helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, kept.shape[1]])
    )
    card = ModelCard(
        name="features",
        task=ANOMALY_DETECTION,
        inputs=(TensorCard("series", spec.shape, "float32", series=spec),),
        outputs=(TensorCard("features", (1, kept.shape[1]), "float32"),),
        anomaly=anomaly,
    )
    paths["mahalanobis"] = folder / "features.onnx"
    edgewise.write_model(paths["mahalanobis"], network.SerializeToString(), card=card)
    return paths, validation, test


@dataclass(frozen=True)
class Judged:
    """One person's windows, by models that never met that person."""

    normal: Array
    """Scores of exercises that the models were trained on."""
    other: Array
    """Scores of exercises that nobody showed them."""
    fitted: FittedThreshold


def judge(kind: str, path: Path, names: Array, validation: Windows, test: Windows) -> Judged:
    """The threshold is the validation people's, at 5 % false alarms."""
    with edgewise.load(path, threads=1) as model:
        held, judged = (
            np.array([model.predict(window).score for window in windows.series])
            for windows in (validation, test)
        )
    apart = np.isin(names[validation.labels], NORMAL) & (
        np.arange(len(held)) % 2 == 0
    )  # they overlap by half
    is_normal = np.isin(names[test.labels], NORMAL)
    return Judged(judged[is_normal], judged[~is_normal], fit_threshold(held[apart], false_alarm_rate=0.05))


def test_exercises_that_were_never_seen_score_higher(
    exercises: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    data = read_exercises(exercises)
    found: dict[str, list[Judged]] = {kind: [] for kind in LEAST_AUC}
    for person in PEOPLE:
        (tmp_path / str(person)).mkdir()
        paths, validation, test = write_models(tmp_path / str(person), data, (person,))
        for kind, path in paths.items():
            found[kind].append(judge(kind, path, np.array(data.names), validation, test))
    for kind, people in found.items():
        aucs = [auc(one.normal, one.other) for one in people]
        alarms = np.concatenate([one.normal > one.fitted.threshold for one in people])
        caught = np.concatenate([one.other > one.fitted.threshold for one in people])
        record_property(f"{kind}: AUC of each person", ", ".join(f"{one:.3f}" for one in aucs))
        record_property(f"{kind}: mean AUC", f"{np.mean(aucs):.3f}")
        record_property(
            f"{kind}: alarms of normal, of others",
            f"{alarms.mean():.3f} of {len(alarms)}, {caught.mean():.3f} of {len(caught)}",
        )
        rates = ", ".join(f"{(one.normal > one.fitted.threshold).mean():.3f}" for one in people)
        record_property(f"{kind}: alarms of normal, each person", rates)
        assert np.mean(aucs) > LEAST_AUC[kind]


def test_a_window_of_training_is_scored_as_in_numpy(exercises: Path, tmp_path: Path) -> None:
    data = read_exercises(exercises)
    paths, _, test = write_models(tmp_path, data)
    spec = replace(exercise_files.split(data)[0], normalise="window", mean=(), std=())
    window = test.series[0]
    tensor = to_tensor(window, spec)
    with edgewise.load(paths["squared-error"]) as model:
        want = ((model.run(tensor)["answer"].astype(np.float64) - tensor) ** 2).mean()
        assert model.predict(window).score == pytest.approx(want, rel=SAME)
