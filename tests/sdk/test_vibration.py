"""Alarms on real vibration: broken bearings of a test rig against good ones that nothing was learnt from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sdk import vibration_files
from sdk.test_anomaly_real import auc

from edgewise.preprocess.series import windows_of
from edgewise.tasks.anomaly_fit import FittedThreshold
from model_sources.vibration import NORMAL, OTHER_LOADS, SAME_LOAD, Vibration, read_vibration

LEAST_AUC, LEAST_ALARMS = 0.95, 0.9
"""Below what is measured (docs/sdk.md): less means that something is broken."""


@pytest.fixture(scope="module")
def data(vibration: Path) -> Vibration:
    return read_vibration(vibration)


@pytest.fixture(scope="module")
def model(data: Vibration, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FittedThreshold]:
    path = tmp_path_factory.mktemp("vibration") / "vibration.onnx"
    return path, vibration_files.write_vibration_model(path, data)


def test_broken_bearings_score_higher_than_good_ones_it_has_not_met(
    model: tuple[Path, FittedThreshold], data: Vibration, record_property: Callable[[str, object], None]
) -> None:
    path, fitted = model
    found = {
        name: vibration_files.scores(path, windows_of(recording, vibration_files.SPEC))
        for name, recording in data.recordings.items()
        if name not in vibration_files.TRAINED_ON
    }
    normal = found[NORMAL[-1]]
    record_property("threshold, interval", f"{fitted.threshold:.2f}, {fitted.low:.3f} to {fitted.high:.3f}")
    for name, scores in found.items():
        alarms = float((scores > fitted.threshold).mean())
        record_property(name, f"{len(scores)} windows, alarms {alarms:.3f}, AUC {auc(normal, scores):.4f}")
    for name in (*SAME_LOAD, *OTHER_LOADS):
        assert auc(normal, found[name]) > LEAST_AUC
        assert (found[name] > fitted.threshold).mean() > LEAST_ALARMS


def test_a_window_is_scored_as_in_numpy(model: tuple[Path, FittedThreshold], data: Vibration) -> None:
    path, _ = model
    recordings = [data.recordings[name] for name in (NORMAL[-1], SAME_LOAD[-1])]
    windows = [window for one in recordings for window in windows_of(one, vibration_files.SPEC)[:5]]
    halves = [np.array_split(data.recordings[name], 2)[0] for name in vibration_files.TRAINED_ON]
    learnt = vibration_files.energies([w for one in halves for w in windows_of(one, vibration_files.SPEC)])
    card = vibration_files.fit_mahalanobis(learnt)
    off = vibration_files.energies(windows) - np.array(card.mean)
    want = np.sqrt((off @ np.linalg.inv(np.array(card.covariance)) * off).sum(axis=1))
    assert vibration_files.scores(path, windows) == pytest.approx(want, rel=1e-3)
