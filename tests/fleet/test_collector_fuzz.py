"""Malformed payloads into the collector; benchmarks/collector_fuzz.py does a hundred thousand."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "collector_fuzz.py"


def load() -> Any:
    import sys

    spec = importlib.util.spec_from_file_location("collector_fuzz", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", [1, 2])
def test_spoilt_payloads_neither_end_the_collector_nor_cost_a_sound_record(tmp_path: Path, seed: int) -> None:
    outcome = load().fuzz(tmp_path, count=3000, seed=seed)
    assert outcome.trouble == ""
    assert outcome.acknowledged == outcome.sent
    assert outcome.sound_kept == outcome.sound_sent == 3
    assert outcome.quarantined > 1000
