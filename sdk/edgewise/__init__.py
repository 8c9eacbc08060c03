"""Run a model on this device: ``edgewise.load("model.tflite").predict("cat.jpg")``."""

from typing import TYPE_CHECKING

from edgewise.lazy_names import lazy_names

if TYPE_CHECKING:
    from edgewise.anomaly_card import AnomalyCard
    from edgewise.audio_card import AudioPreprocess
    from edgewise.child_limits import ChildLimits
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

__getattr__ = lazy_names(
    "edgewise",
    {
        "anomaly_card": "AnomalyCard",
        "audio_card": "AudioPreprocess",
        "child_limits": "ChildLimits",
        "delegate": "Delegate",
        "detection_card": "DetectionCard",
        "errors": "BackendUnavailable CardError DelegateUnavailable EdgewiseError InvalidInput "
        "ModelCrashed ModelFileError ShapeMismatch SourceError UnreadableImage",
        "golden": "GoldenCase",
        "loading": "load",
        "model": "Model",
        "model_card": "ImagePreprocess ModelCard TensorCard",
        "model_file": "ModelFile read_model write_model",
        "pipeline": "Found Pipeline PipelineAnswer",
        "placement": "PlacedOperator Placement",
        "pose_card": "PoseCard",
        "recurrent_state": "RecurrentState",
        "self_test": "SelfTest",
        "series_card": "SeriesPreprocess",
        "tasks.anomaly": "Anomaly",
        "tasks.anomaly_fit": "FittedThreshold fit_mahalanobis fit_nearest fit_threshold",
        "tasks.audio_classification": "AudioClassification AudioClassifier",
        "tasks.classification": "Category Classification",
        "tasks.detection": "Detection Detections",
        "tasks.embedding": "Embedding",
        "tasks.gallery": "Gallery Match",
        "tasks.keyword_spotting": "Keyword KeywordSpotter",
        "tasks.pose": "Pose Poses",
        "tasks.segmentation": "ClassArea Segmentation",
        "tasks.series_classification": "SeriesAnswer SeriesClassifier",
        "tasks.tensors": "Tensors",
        "tasks.text.options": "TextOptions",
        "tasks.text.page": "PageText TextLine",
        "tasks.text.reader": "LineReader TextReader",
        "tasks.voice_activity": "SpeechSegment VoiceActivity VoiceActivityOptions",
        "tensors": "Quantization TensorSpec",
        "text_card": "TextPreprocess",
        "threads": "ThreadBudget ThreadShare",
    },
)
"""So ``import edgewise`` and the command's help do without numpy."""
