#!/usr/bin/env python3
"""Trains the keyword model of examples/light_switch.py and writes it, card and all, to examples/data/keywords.onnx.

Usage: train_keywords.py [--out PATH]. The speech is eSpeak NG's, see model_sources/spoken_words.py; PyTorch lives in an
environment of its own. It takes some minutes. Seeds are fixed: the same computer and PyTorch give the same file, others
nearly the same weights. The test voices are not touched; tests/sdk/test_keywords.py judges by them.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from edgewise.audio_card import AudioPreprocess
from edgewise.model_card import AUDIO_CLASSIFICATION, ModelCard, TensorCard
from edgewise.model_file import write_model
from export_nets import REQUIREMENTS
from model_sources import mfcc_reference
from model_sources.environments import environment
from model_sources.espeak import Samples
from model_sources.mfcc_reference import mfcc, normalised
from model_sources.spoken_words import LABELS, RATE_HZ, Windows, clips, windows
from model_sources.wheels import SourceError

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "examples" / "data" / "keywords.onnx"
DRAWS = range(100, 106)
"""Seeds: the training voices are heard so many times, each time placed anew and in another noise."""
VALIDATION_SEED = 200


def training_windows(seeds: range = DRAWS) -> Windows:
    """Of the training voices; with few seeds, also what static int8 is calibrated on."""
    drawn = [windows(clips("train"), seed=seed, is_training=True) for seed in seeds]
    return Windows(
        np.concatenate([one.sounds for one in drawn]), np.concatenate([one.labels for one in drawn])
    )


def spec_of(mean: Samples, std: Samples) -> AudioPreprocess:
    """What `mfcc_reference` computes, in the words of a card."""
    return AudioPreprocess(
        rate_hz=RATE_HZ,
        window=mfcc_reference.FRAME,
        hop=mfcc_reference.HOP,
        n_fft=mfcc_reference.POINTS,
        mels=mfcc_reference.MELS,
        f_min=mfcc_reference.LOW_HZ,
        f_max=mfcc_reference.HIGH_HZ,
        floor=mfcc_reference.FLOOR,
        coefficients=mfcc_reference.COEFFICIENTS,
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
    )


def card_of(spec: AudioPreprocess) -> ModelCard:
    """The card of the ONNX file."""
    rows = (1, mfcc_reference.ROWS, spec.width, 1)
    return ModelCard(
        name="keywords",
        task=AUDIO_CLASSIFICATION,
        inputs=(TensorCard("rows", rows, "float32", audio=spec),),
        outputs=(TensorCard("logits", (1, len(LABELS)), "float32", activation="logits"),),
        labels=LABELS,
    )


def train_keywords(out: Path) -> None:
    """Raises SourceError where speech or PyTorch is not to be had."""
    train, validation = training_windows(), windows(clips("validation"), seed=VALIDATION_SEED)
    rows = np.stack([mfcc(sound) for sound in train.sounds])
    mean, std = (values.astype(np.float32) for values in (rows.mean(axis=(0, 1)), rows.std(axis=(0, 1))))
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.npz"
        np.savez(
            data,
            train=((rows - mean) / std)[..., np.newaxis],
            train_labels=train.labels,
            validation=normalised(validation.sounds, mean, std),
            validation_labels=validation.labels,
        )
        worker = ROOT / "scripts" / "model_sources" / "ds_cnn_training.py"
        made = Path(folder) / "keywords.onnx"
        command = [environment("nets", REQUIREMENTS), str(worker), str(data), str(made)]
        if subprocess.run(command, check=False).returncode != 0:
            raise SourceError("keywords: the training failed; PyTorch says why above.")
        out.parent.mkdir(parents=True, exist_ok=True)
        write_model(out, made.read_bytes(), card=card_of(spec_of(mean, std)))


def main() -> int:
    """0 when the model is written, 1 when something for it is not to be had."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=MODEL)
    arguments = parser.parse_args()
    try:
        train_keywords(arguments.out)
    except (SourceError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
