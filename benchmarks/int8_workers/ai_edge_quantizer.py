"""Static int8 by ai-edge-quantizer: FLOAT.tflite INPUTS.npy OUT.tflite SETTINGS.json.

It runs in that tool's own environment; nothing of the project imports it. With "ranges": "minmax" its calibration
keeps the true ends instead of its default, a moving average of them.
"""

import json
import sys

import numpy as np

sys.path.pop(0)  # this file's folder: the file has the package's name

from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import calibrator, quantizer, recipe
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.recipe_manager import RecipeManager
from ai_edge_quantizer.utils import qsv_utils


def main() -> None:
    model, inputs, out, settings_text = sys.argv[1:]
    settings = json.loads(settings_text)
    signature, names = next(iter(Interpreter(model).get_signature_list().items()))
    samples = np.load(inputs, mmap_mode="r")
    batches = [{names["inputs"][0]: np.array(sample)} for sample in samples]
    chosen = recipe.static_wi8_ai8(AlgorithmName[settings["algorithm"]])
    tool = quantizer.Quantizer(model, chosen)
    if settings["ranges"] == "minmax":
        rules = RecipeManager()
        rules.load_quantization_recipe(chosen)
        judge = calibrator.Calibrator(model, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
        judge.calibrate({signature: batches}, rules)
        ranges = judge.get_model_qsvs()
    else:
        ranges = tool.calibrate({signature: batches}, num_threads=1)
    tool.quantize(ranges).export_model(out, overwrite=True)


if __name__ == "__main__":
    main()
