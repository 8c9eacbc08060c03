"""[updates]: where new models come from, and what they must show before they stay."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Seconds = Annotated[float, Meta(ge=0.0, le=604_800.0)]


class AlikeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[updates.alike]: when two models' answers to one input are alike; which rule is whose: agreement.py."""

    iou: Share = 0.5
    """Boxes of one label that overlap so much are one; intersection over union."""
    matched: Share = 0.75
    """Least F1 score of the boxes, or bodies, that were matched."""
    keypoints: Share = 0.1
    """Points of one body lie so near on the average, in diagonals of the body."""
    pixels: Share = 0.8
    """Least share of pixels of the same class."""
    cosine: Annotated[float, Meta(ge=-1.0, le=1.0)] = 0.9
    """Least cosine of two embeddings; -1 for a model that was trained anew and whose gallery is made anew."""
    relative_error: Annotated[float, Meta(ge=0.0, le=1000.0)] = 0.1
    """Most difference of two tensors, over the current one's norm."""
    probability: Share = 0.25
    """Probabilities (voice activity) on both sides of 0.5 may differ so much."""
    windows: Annotated[int, Meta(ge=0, le=10)] = 1
    """A sound's label may come so many windows earlier or later."""


class UpdateSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[updates]: none without a repository and a root file."""

    repository: tuple[str, ...] = ()
    """http(s):// addresses, folders (``/media/*/edgewise``) or /dev/disk/by-label/NAME; tried in turn."""
    root_file: Path | None = None
    """The repository's first root.json: whom to trust. Later roots must be signed by this one."""
    target: str = ""
    """The model to follow, {group}, {device} and {pipeline} filled in; empty: only what commands ask for."""
    poll_s: Annotated[float, Meta(ge=1.0, le=604_800.0)] = 3600.0
    """Between two looks at the repository; each waits up to a tenth longer, so a fleet does not come in step."""
    max_model_mb: Annotated[int, Meta(ge=1, le=4096)] = 256
    """Larger models are refused before a byte is fetched."""
    ca_file: Path | None = None
    """For https: the certificate authority to trust instead of the system's."""
    trial_s: Annotated[float, Meta(ge=1.0, le=3600.0)] = 120.0
    """The child that tries a model first has this long."""
    trial_memory_mb: Annotated[int, Meta(ge=16, le=65_536)] | None = None
    """And this much memory; by default what is free."""
    require_golden: bool = True
    """Refuse models that carry no golden cases."""
    shadow_inputs: Annotated[int, Meta(ge=0, le=100_000)] = 50
    """Live inputs that it must answer beside the current model; 0 leaves that out."""
    shadow_s: Seconds = 600.0
    """If so many do not come in this time, those that came decide; none at all does not hold an update up."""
    min_agreement: Share = 0.8
    """Least share of those inputs that both answer alike."""
    min_class_agreement: Share = 0.5
    """And least share of each label, verdict or the like of the current model, where it came ten times."""
    shadow_share: Annotated[float, Meta(ge=0.01, le=1.0)] = 0.5
    """Most of the time that the candidate may compute beside the current model."""
    settle_inputs: Annotated[int, Meta(ge=0, le=100_000)] = 32
    """Inputs after which a model with a state, which begins with a new one, is judged."""
    alike: AlikeSettings = AlikeSettings()
    """[updates.alike]: when two answers are alike."""
    max_slowdown: Annotated[float, Meta(ge=1.0, le=1000.0)] = 1.5
    """Most times the current model's p95 latency that the new one may take."""
    max_error_rate: Share = 0.05
    """Most errors per input, above what the model before had."""
    watch_inputs: Annotated[int, Meta(ge=0, le=1_000_000)] = 200
    """After the switch it is watched for at least so many inputs"""
    watch_s: Seconds = 300.0
    """and for at least so long; then it is confirmed."""
    stuck_s: Annotated[float, Meta(ge=1.0, le=3600.0)] = 60.0
    """One input that takes longer is a model that hangs."""
    max_drift_moved: Annotated[int, Meta(ge=0, le=100)] = 3
    """Most statistics that may move from the card's baseline, above those that had moved before."""
