"""Fixtures: real models and photos for every root's tests, fetched once into ~/.cache/edgewise.

They are loaded by tests/conftest.py. A source that is not to be had makes the test fail with a line that says
why: a suite that skips its real data would be green for nothing.

Warm they cost nothing; cold, the photos and EfficientNet-Lite0 take seconds and `nets` minutes. A test that
uses `nets` is marked slow.
"""

from pathlib import Path

import pytest

import models_and_data
from export_nets import NetLibrary


@pytest.fixture(scope="session")
def efficientnet_lite0() -> Path:
    """EfficientNet-Lite0 with trained weights: 'image' f32 [1,3,224,224], (pixel-127)/128, to 'logits'."""
    return models_and_data.efficientnet_lite0_onnx()


@pytest.fixture(scope="session")
def imagenet_labels() -> Path:
    """The 1,000 class names, one a line."""
    return models_and_data.labels_txt()


@pytest.fixture(scope="session")
def cat_photo() -> Path:
    """A photo that EfficientNet-Lite0 calls tiger cat, Egyptian cat or tabby (ImageNet 282, 285, 281)."""
    return models_and_data.chelsea_photo()


@pytest.fixture(scope="session")
def coffee_photo() -> Path:
    """A photo that EfficientNet-Lite0 calls espresso (ImageNet 967)."""
    return models_and_data.coffee_photo()


@pytest.fixture(scope="session")
def astronaut_photo() -> Path:
    """A portrait, 512 x 512: one face, its eyes at about (204, 106) and (246, 112)."""
    return models_and_data.astronaut_photo()


@pytest.fixture(scope="session")
def page_photo() -> Path:
    """A photo of a printed page, 384 x 191, unevenly lit."""
    return models_and_data.page_photo()


@pytest.fixture(scope="session")
def tinyocr() -> Path:
    """A folder with PP-OCRv6 tiny: PP-OCRv6_det_tiny.onnx and PP-OCRv6_rec_tiny.onnx, sizes open."""
    return models_and_data.tinyocr()


@pytest.fixture(scope="session")
def rapidocr() -> Path:
    """A folder with PP-OCRv4's detector and recogniser, and the direction classifier of PP-OCR mobile 2.0."""
    return models_and_data.SOURCES["rapidocr"].make()


@pytest.fixture(scope="session")
def nudenet() -> Path:
    """A YOLOv8n with 18 classes, ONNX: 'images' f32 [b,3,h,w] of pixel / 255, to 'output0' [b,22,boxes]."""
    return models_and_data.SOURCES["nudenet"].make()


@pytest.fixture(scope="session")
def grocery_train() -> Path:
    """A folder of 675 JPEG photos."""
    return models_and_data.grocery_photos("train")


@pytest.fixture(scope="session")
def grocery_validation() -> Path:
    """A folder of 57 JPEG photos, none of them in `grocery_train`."""
    return models_and_data.grocery_photos("validation")


@pytest.fixture(scope="session")
def grocery_calibration() -> Path:
    """A folder of 100 JPEG photos out of `grocery_train`: what static int8 is calibrated on."""
    return models_and_data.grocery_photos("calibration")


@pytest.fixture(scope="session")
def grocery_held_out() -> Path:
    """A folder of 200 JPEG photos, none of them in `grocery_calibration`."""
    return models_and_data.grocery_photos("held-out")


@pytest.fixture(scope="session")
def yunet() -> Path:
    """The YuNet face detector, ONNX: 'input' f32 [1,3,640,640], BGR of 0..255, to 12 maps."""
    return models_and_data.yunet_onnx()


@pytest.fixture(scope="session")
def faces() -> Path:
    """A folder of float TFLite files by MediaPipe; float16 weights in the detectors, one of them sparse."""
    return models_and_data.SOURCES["faces"].make()


@pytest.fixture(scope="session")
def basic_pitch() -> tuple[Path, Path]:
    """One network as ONNX and, by TensorFlow's converter, as TFLite with an open batch and shape chains."""
    return models_and_data.basic_pitch_onnx(), models_and_data.basic_pitch_tflite()


@pytest.fixture(scope="session")
def exercises() -> Path:
    """140 recordings of 7 shoulder exercises by 10 people, .npz; see `model_sources.exercises`."""
    return models_and_data.SOURCES["exercises"].make()


@pytest.fixture(scope="session")
def vibration() -> Path:
    """Recordings of good and of broken bearings on a test rig, .npz; see `model_sources.vibration`."""
    return models_and_data.SOURCES["vibration"].make()


@pytest.fixture(scope="session")
def nets() -> NetLibrary:
    """Exported structures with seeded weights: `nets.path("resnet18-opset17-torchscript")`."""
    return NetLibrary()
