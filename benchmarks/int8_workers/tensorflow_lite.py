"""Static int8 by TensorFlow's converter: SAVED_MODEL INPUTS.npy OUT.tflite SETTINGS.json.

It runs in onnx2tf's environment, which holds TensorFlow; nothing of the project imports it. The inputs are in the
layout of the saved model.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf


def main() -> None:
    source, inputs, out, settings_text = sys.argv[1:]
    settings = json.loads(settings_text)
    samples = np.load(inputs, mmap_mode="r")
    converter = tf.lite.TFLiteConverter.from_saved_model(source)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.array(sample)] for sample in samples)
    converter.experimental_new_quantizer = settings["quantizer"] == "mlir"
    Path(out).write_bytes(converter.convert())


if __name__ == "__main__":
    main()
