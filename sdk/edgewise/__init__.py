"""Run a model on this device: ``edgewise.load("model.tflite").predict("cat.jpg")``."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgewise.anomaly_card import AnomalyCard
    from edgewise.audio_card import AudioPreprocess
    from edgewise.child_process import ChildLimits
    from edgewise.delegate import Delegate
    from edgewise.detection_card import DetectionCard
    from edgewise.errors import (
        BackendUnavailable,
        CardError,
        DelegateUnavailable,
        EdgewiseError,
        InvalidInput,
        ModelCrashed,
        ModelFileError,
        ShapeMismatch,
        SourceError,
        UnreadableImage,
    )
    from edgewise.golden import GoldenCase
    from edgewise.loading import load
    from edgewise.model import Model
    from edgewise.model_card import ImagePreprocess, ModelCard, TensorCard
    from edgewise.model_file import ModelFile, read_model, write_model
    from edgewise.pipeline import Found, Pipeline, PipelineAnswer
    from edgewise.placement import PlacedOperator, Placement
    from edgewise.pose_card import PoseCard
    from edgewise.recurrent_state import RecurrentState
    from edgewise.self_test import SelfTest
    from edgewise.series_card import SeriesPreprocess
    from edgewise.tasks.anomaly import Anomaly
    from edgewise.tasks.anomaly_fit import FittedThreshold, fit_mahalanobis, fit_nearest, fit_threshold
    from edgewise.tasks.audio_classification import AudioClassification, AudioClassifier
    from edgewise.tasks.classification import Category, Classification
    from edgewise.tasks.detection import Detection, Detections
    from edgewise.tasks.embedding import Embedding
    from edgewise.tasks.gallery import Gallery, Match
    from edgewise.tasks.keyword_spotting import Keyword, KeywordSpotter
    from edgewise.tasks.pose import Pose, Poses
    from edgewise.tasks.segmentation import ClassArea, Segmentation
    from edgewise.tasks.series_classification import SeriesAnswer, SeriesClassifier
    from edgewise.tasks.tensors import Tensors
    from edgewise.tasks.text.options import TextOptions
    from edgewise.tasks.text.page import PageText, TextLine
    from edgewise.tasks.text.reader import LineReader, TextReader
    from edgewise.tasks.voice_activity import SpeechSegment, VoiceActivity, VoiceActivityOptions
    from edgewise.tensors import Quantization, TensorSpec
    from edgewise.text_card import TextPreprocess
    from edgewise.threads import ThreadBudget, ThreadShare

__all__ = [
    "Anomaly", "AnomalyCard", "AudioClassification", "AudioClassifier", "AudioPreprocess", "BackendUnavailable",
    "CardError", "Category", "ChildLimits", "ClassArea", "Classification", "Delegate", "DelegateUnavailable",
    "Detection", "DetectionCard", "Detections", "EdgewiseError", "Embedding", "FittedThreshold", "Found", "Gallery",
    "GoldenCase", "ImagePreprocess", "InvalidInput", "Keyword", "KeywordSpotter", "LineReader", "Match", "Model",
    "ModelCard", "ModelCrashed", "ModelFile", "ModelFileError", "PageText", "Pipeline", "PipelineAnswer",
    "PlacedOperator", "Placement", "Pose", "PoseCard", "Poses", "Quantization", "RecurrentState", "Segmentation",
    "SelfTest", "SeriesAnswer", "SeriesClassifier", "SeriesPreprocess", "ShapeMismatch", "SourceError",
    "SpeechSegment", "TensorCard", "TensorSpec", "Tensors", "TextLine", "TextOptions", "TextPreprocess",
    "TextReader", "ThreadBudget", "ThreadShare", "UnreadableImage", "VoiceActivity", "VoiceActivityOptions",
    "fit_mahalanobis", "fit_nearest", "fit_threshold", "load", "read_model", "write_model",
]  # fmt: skip

_HOMES = (
    "errors",
    "child_process",
    "tensors",
    "detection_card",
    "pose_card",
    "audio_card",
    "anomaly_card",
    "series_card",
    "text_card",
    "model_card",
    "golden",
    "model_file",
    "self_test",
    "recurrent_state",
    "tasks.classification",
    "tasks.detection",
    "tasks.segmentation",
    "tasks.embedding",
    "tasks.gallery",
    "tasks.pose",
    "model",
    "delegate",
    "placement",
    "threads",
    "loading",
    "pipeline",
    "tasks.audio_classification",
    "tasks.keyword_spotting",
    "tasks.voice_activity",
    "tasks.text.reader",
    "tasks.series_classification",
    "tasks.anomaly",
    "tasks.anomaly_fit",
    "tasks.tensors",
)


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``import edgewise`` and the command's help do without numpy."""
    if name not in __all__:
        raise AttributeError(f"module 'edgewise' has no attribute {name!r}")
    home = next(home for home in map(_import, _HOMES) if hasattr(home, name))
    globals()[name] = value = getattr(home, name)
    return value


def _import(home: str) -> Any:
    return import_module(f"edgewise.{home}")
