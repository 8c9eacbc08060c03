"""How a picture becomes a model's input, from the best that is known about the file."""

from collections.abc import Sequence

from edgewise.errors import CardError
from edgewise.model_card import ImagePreprocess
from edgewise.model_file import ModelFile
from edgewise.preprocess.image import ImageReader
from edgewise.tensors import TensorSpec


def image_reader_for(
    file: ModelFile,
    inputs: Sequence[TensorSpec],
    preprocess: ImagePreprocess | None = None,
    *,
    threads: int = 1,
) -> ImageReader:
    """The reader of a model's only input: by ``preprocess``, else the card, else standard metadata.

    Large JPEG files are read in up to ``threads`` threads. Raises CardError when none of them says enough, or says
    what does not fit the input.
    """
    if len(inputs) != 1:
        raise CardError(f"{file.path}: got {len(inputs)} inputs, expected one image; use run()")
    spec = preprocess or stated_preprocess(file, inputs[0])
    if spec is None:
        raise CardError(
            f"{file.path}: the file does not say how a picture becomes its input (size, mean, std); "
            "give load() preprocess=ImagePreprocess(...), or use run()"
        )
    reader = ImageReader(
        spec,
        layout=inputs[0].layout,
        dtype=inputs[0].dtype,
        quantization=inputs[0].quantization,
        threads=threads,
    )
    if not inputs[0].accepts(reader.shape):
        raise CardError(
            f"{file.path}: input '{inputs[0].name}' is {inputs[0].shape}, pre-processing gives {reader.shape}"
        )
    return reader


def stated_preprocess(file: ModelFile, spec: TensorSpec) -> ImagePreprocess | None:
    """How a picture becomes this input by the file's card, else by its standard metadata; None if neither says."""
    if file.card:
        return next((card.image for card in file.card.inputs if card.name == spec.name), None)
    if file.metadata is None or not file.metadata.inputs or spec.layout not in ("nhwc", "nchw"):
        return None
    stated = file.metadata.inputs[0]
    if not stated.mean or not stated.std or min(spec.shape[1:]) < 1:
        return None
    channels_first = spec.layout == "nchw"
    height, width = spec.shape[2:] if channels_first else spec.shape[1:3]
    channels = spec.shape[1] if channels_first else spec.shape[3]
    colour = "grey" if channels == 1 else "rgb"
    return ImagePreprocess(size_wh=(width, height), colour=colour, mean=stated.mean, std=stated.std)
