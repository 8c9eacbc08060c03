"""One small model of every task and what is given to it, in a folder that boards see under the same path."""

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import tokenizers
from converters.small_nets import write_net
from PIL import Image
from sdk.detection_files import card_for, write_answering, write_posing
from sdk.test_anomaly import write_halver
from sdk.test_series import series, write_more
from sdk.test_sound_tasks import RATE, utterances, write_described_tones
from sdk.test_streams_sources import write_wav
from sdk.test_text_embedding import LONGEST, VOCABULARY, write_encoder

import edgewise
from edgewise.model_card import IMAGE_EMBEDDING, IMAGE_SEGMENTATION, ImagePreprocess, TensorCard
from edgewise.testing import write_tiny_detector, write_tiny_model
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request

HEAD = '<ir_version: 8, opset_import: ["": 13]>'
PIXELS = ImagePreprocess((64, 32), std=(255.0,), fill=255)
AREAS = """ areas (float[1,3,32,64] image) => (float[1,3,8,16] logits) <float five = {5}> {
    cells = AveragePool <kernel_shape = [4,4], strides = [4,4]> (image)
    logits = Mul (cells, five)
}"""
"""The class of a cell is its strongest colour."""
DIRECTION = """ direction (float[1,3,32,64] image) => (float[1,24] vector) {
    cells = AveragePool <kernel_shape = [16,16], strides = [16,16]> (image)
    vector = Flatten (cells)
}"""
POINTS = """ points (float[1,3,32,64] image) => (float[1,3,16,32] maps) {
    maps = AveragePool <kernel_shape = [2,2], strides = [2,2]> (image)
}"""
"""Three points: where the picture is most red, green and blue."""
INK = """ ink (float[1,3,32,64] image) => (float[1,1,32,64] map) <float one = {1}> {
    paper = ReduceMin <axes = [1]> (image)
    map = Sub (one, paper)
}"""
"""A text detector: what is not white is text."""
LETTERS = """ letters (float[1,3,16,64] image) => (float[1,8,4] shares)
<float[3,4] w = {10, 10, -10, -10, 10, -10, 10, -10, 10, -10, -10, 10}, float[4] b = {-15, 0, 0, 0},
int64[1] axis = {2}> {
    cells = AveragePool <kernel_shape = [16,8], strides = [16,8]> (image)
    rows = Squeeze (cells, axis)
    steps = Transpose <perm = [0,2,1]> (rows)
    sums = MatMul (steps, w)
    logits = Add (sums, b)
    shares = Softmax <axis = 2> (logits)
}"""
"""A text recogniser of three letters, which are a red, a green and a blue square."""
GROWING = """ growing (float[1,576] sound, float[1,1] state) => (float[1,1] p, float[1,1] stateN)
<float three = {3}, float half = {0.5}> {
    size = Abs (sound)
    mean = ReduceMean <axes = [1]> (size)
    both = Add (mean, state)
    stateN = Mul (both, half)
    p = Mul (stateN, three)
}"""
"""Of the shape of a voice detector: chunks and a state in, a probability and the next state out."""
YOLO = np.zeros((1, 6, 21), np.float32)
YOLO[0, :, 3] = (16, 16, 20, 10, 0.9, 0)
YOLO[0, :, 8] = (17, 16, 20, 10, 0.7, 0)  # which overlaps the first
YOLO[0, :, 11] = (50, 20, 8, 16, 0, 0.8)


def write_models(folder: Path, target: str) -> None:
    """All model files for a target of the converter, and the pictures, sounds and numbers to try them with."""
    source = folder / "source"
    source.mkdir()
    tflite = functools.partial(_converted, folder, target)
    write_tiny_model(folder / "classes.tflite")
    write_tiny_model(folder / "classes-int8.tflite", dtype="int8")
    write_tiny_detector(folder / "here.tflite")
    tflite(write_answering(source / "boxes.onnx", {"out": YOLO}, labels=("cat", "dog"),
                           detection=edgewise.DetectionCard("yolov8")))  # fmt: skip
    tflite(_write(source / "areas.onnx", AREAS, task=IMAGE_SEGMENTATION, labels=("red", "green", "blue")))
    tflite(_write(source / "direction.onnx", DIRECTION, task=IMAGE_EMBEDDING))
    pose = edgewise.PoseCard("heatmap", 3, ("nose", "wrist", "knee"), ((0, 1), (1, 2)))
    posing = write_posing(
        source / "points.onnx", {"maps": np.zeros((1, 3, 16, 32), np.float32)}, pose, (64, 32)
    )
    card = edgewise.read_model(posing).card
    assert card is not None
    tflite(_write(posing, POINTS, task=card.task, pose=pose))
    tflite(_write(source / "ink.onnx", INK))
    tflite(_write(source / "letters.onnx", LETTERS, labels=("r", "g", "b"), size_wh=(64, 16)))
    tflite(write_described_tones(source / "tones.onnx"))
    tflite(write_more(source / "more.onnx"))
    tflite(write_halver(source / "halves.onnx", edgewise.AnomalyCard(kind="squared-error", threshold=0.4)))
    tflite(write_encoder(source / "words.onnx", LONGEST, edgewise.TextPreprocess(pooling="mean")))
    growing = source / "growing.onnx"
    onnx.save(onnx.parser.parse_model(HEAD + GROWING), growing)
    tflite(growing)
    net = write_net("convolutions", source)
    convert(Request(source=net.file, target=target, precision="int8", samples=net.samples, ends="int8",
                    out=folder / "convolutions-int8.tflite"))  # fmt: skip
    _write_inputs(folder)
    np.save(folder / "convolutions.npy", np.concatenate([feed["x"] for feed in net.fresh]))


def _write(path: Path, text: str, *, size_wh: tuple[int, int] = (64, 32), **card: object) -> Path:
    """A network that takes a picture, with a card."""
    network = onnx.parser.parse_model(HEAD + text).SerializeToString()
    fields = {"task": "tensors", **card}
    made = card_for(network, replace(PIXELS, size_wh=size_wh), layout="nchw")
    edgewise.write_model(path, network, card=replace(made, **fields))  # type: ignore[arg-type]  # keywords by name, checked when called
    return path


def _converted(folder: Path, target: str, source: Path) -> None:
    """The .tflite of an ONNX file in float32, which says of its task what the source's card says."""
    out = folder / f"{source.stem}.tflite"
    convert(Request(source=source, target=target, precision="fp32", out=out))
    made, told = edgewise.read_model(out), edgewise.read_model(source).card
    if told is None:
        return
    assert made.card is not None
    card = replace(
        made.card, task=told.task, labels=told.labels, detection=told.detection, pose=told.pose,
        anomaly=told.anomaly, text=told.text, inputs=tuple(map(_told, made.card.inputs, told.inputs)),
        outputs=tuple(map(_told, made.card.outputs, told.outputs)),
    )  # fmt: skip
    edgewise.write_model(out, out.read_bytes(), card=card, golden=made.golden())


def _told(made: TensorCard, told: TensorCard) -> TensorCard:
    return replace(made, image=told.image, audio=told.audio, series=told.series, activation=told.activation)


def _write_inputs(folder: Path) -> None:
    picture = np.full((64, 128, 3), 255, np.uint8)
    for place, colour in enumerate(((255, 0, 0), (0, 255, 0), (0, 0, 255))):
        picture[24:40, 32 + 16 * place : 48 + 16 * place] = colour
    photos = folder / "photos"
    photos.mkdir()
    Image.fromarray(picture).save(folder / "bars.png")
    coarse = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(coarse).resize((128, 96), Image.Resampling.BICUBIC).save(folder / "photo.png")
    for name in ("red", "lime", "blue"):
        Image.new("RGB", (40, 30), name).save(photos / f"{name}.jpg")
    (photos / "broken.png").write_bytes(b"no picture")
    sound = np.round(utterances() * 2**15).astype("<i2")
    write_wav(folder / "sound.wav", sound.tobytes(), width=2, rate_hz=RATE)
    np.save(folder / "series.npy", series(40))
    words = {f"w{index}": index for index in range(4, VOCABULARY)}
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"[PAD]": 0, "[UNK]": 1, **words}, unk_token="[UNK]")
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(folder / "tokenizer.json"))
