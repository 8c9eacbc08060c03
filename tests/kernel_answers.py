"""What the code in C makes of a picture and of files that no library made: the same bytes on every processor."""

import hashlib
import io
import json
import sys

import numpy as np
from jpeg_writer import jpeg_file

from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.compiled import REASON_MISSING
from edgewise.preprocess.image import ImageReader

KERNEL_ANSWERS = {
    "stretch nhwc rgb bytes": "eec2391099426aeaaa4e82ee1dfe94e31836206085c08088f0e096d7c5f57ee3",
    "stretch nhwc rgb floats": "a17ac67751024febee2d9cabdd1ea2f30781eac7192d3bf31d008cd82324d586",
    "letterbox nchw bgr bytes": "4a85b1705e57602c25b8ddc313ca7cccd08fb0b217a4ba4c498a4f82376b8fc2",
    "letterbox nchw bgr floats": "0b486b9344cfef89b11da26aa46db5d8135e292e2e309a8bc022fb1b50830dd6",
    "centre-crop nhwc bgr bytes": "205d51da477b8052ed3ed9a39676a2cf6e1908e160082479cc2e356379a839b6",
    "centre-crop nhwc bgr floats": "cf43e1a8e53c67758ce306d0386fc3c95a24ae36d96e973c1a321e23762b3a42",
    "stretch nchw bgr bytes": "d2c754f08766939aea582e55588b74420e96ac67be9d1e20f3c91f5869f64fbe",
    "stretch nchw bgr floats": "eae85681c61a4f87246411b66ce1e8c228352167ec49587dd3286a7f1383f67b",
}
"""SHA-256 of `kernel_answer`. It is integers up to the last step, which is one product and one sum."""

JPEG_ANSWERS = {
    "4:2:0 floats": "c410f7bd30391af35750b699d844f7b5fd9058abc815208966fc09871dc0f54c",
    "4:2:2 floats": "9a7910a48626adde33210e8a973afb423eb12ff5d3be6eb6b7500ff82139b16f",
    "grey floats": "0dc9332c042c8c5923e408074e3101f6c54a105ed5d98323f1a2ba3642eb25b5",
    "4:4:4 bytes": "37ce58da736a01ae58490c897bfd3d5494fa821b16ad66c38f9722da61734fb3",
}
"""SHA-256 of `jpeg_answer`. Its sums are float32, in one order."""
_SAMPLINGS = {
    "4:2:0": ((2, 2), (1, 1), (1, 1)),
    "4:2:2": ((2, 1), (1, 1), (1, 1)),
    "4:4:4": ((1, 1), (1, 1), (1, 1)),
    "grey": ((1, 1),),
}


def jpeg_answer(name: str) -> bytes:
    """``name``: how a file's colours are sampled, and bytes or floats."""
    sampling, kind = name.split()
    file = io.BytesIO(jpeg_file((203, 155), _SAMPLINGS[sampling], many=12.0, sizes=8))
    spec = ImagePreprocess((64, 37), "letterbox", mean=(127.0, 120.0, 110.0), std=(128.0, 60.0, 50.0))
    reader = ImageReader(spec, threads=2)
    assert reader.prepare(file).is_reduced
    return (reader.read(file) if kind == "floats" else reader.read_pixels(file)).tobytes()


def kernel_answer(name: str) -> bytes:
    """``name``: a way of resizing, a layout, the order of colours, and bytes or floats."""
    resize, layout, colour, kind = name.split()
    values = np.arange(640 * 480 * 3, dtype=np.uint64) * 2654435761 % 2**32 >> 24
    picture = values.astype(np.uint8).reshape(480, 640, 3)
    spec = ImagePreprocess(
        (224, 97), resize, 0.9, colour=colour, mean=(127.0, 120.0, 110.0), std=(128.0, 60.0, 50.0)
    )
    reader = ImageReader(spec, layout=layout)
    return (reader.read(picture) if kind == "floats" else reader.read_pixels(picture)).tobytes()


if __name__ == "__main__":
    answers = {name: hashlib.sha256(kernel_answer(name)).hexdigest() for name in KERNEL_ANSWERS}
    answers |= {name: hashlib.sha256(jpeg_answer(name)).hexdigest() for name in JPEG_ANSWERS}
    sys.stdout.write(json.dumps({"reason_missing": REASON_MISSING, "answers": answers}))
