"""Quantizes a float TFLite file to static int8 with ai-edge-quantizer: FLOAT.tflite INPUTS.npy OUT.tflite.

It runs in that tool's own environment (see peers.py); nothing of the project imports it.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import quantizer, recipe


def main() -> None:
    model, inputs, out = sys.argv[1:]
    signature, names = next(iter(Interpreter(model).get_signature_list().items()))
    samples = np.load(inputs, mmap_mode="r")
    tool = quantizer.Quantizer(model, recipe.static_wi8_ai8())
    batches = [{names["inputs"][0]: np.array(samples[i : i + 1])} for i in range(len(samples))]
    tool.quantize(tool.calibrate({signature: batches})).export_model(out, overwrite=True)


if __name__ == "__main__":
    main()
