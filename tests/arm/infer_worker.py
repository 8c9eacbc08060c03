"""Runs on the board: MODEL.tflite INPUTS.npy OUTPUTS.npy [BACKEND].

Answers every input through the SDK, writes the raw outputs, and prints what it ran on as one JSON object.
"""

import json
import platform
import sys

import numpy as np

import edgewise


def main() -> None:
    model_file, inputs_file, outputs_file, *backend = sys.argv[1:]
    with edgewise.load(model_file, backend=backend[0] if backend else None, threads=1) as model:
        outputs = [next(iter(model.run(image[np.newaxis]).values())) for image in np.load(inputs_file)]
        np.save(outputs_file, np.concatenate(outputs))
        tested = model.self_test()
        facts = {
            "machine": platform.machine(),
            "python": ".".join(platform.python_version_tuple()[:2]),
            "backend": model.backend_name,
            "passes_own_golden_cases": tested.passed,
        }
    sys.stdout.write(json.dumps(facts))


if __name__ == "__main__":
    main()
