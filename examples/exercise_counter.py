"""Which exercise, and for how long? A six-axis recording of a watch: exercise_counter.py MODEL RECORDING.npy.

RECORDING is an array [time, channels] at the rate of the model's card. A live sensor is a SensorSource instead.
"""

import sys
from collections import defaultdict

import numpy as np

import edgewise

with edgewise.load(sys.argv[1]) as model:
    classifier = edgewise.SeriesClassifier(model, smooth=5, threshold=0.5)
    seconds: dict[str, float] = defaultdict(float)
    for rows in np.array_split(np.load(sys.argv[2], allow_pickle=False), 100):  # as they would come
        for answer in classifier.push(rows):
            if answer.is_event:
                print(f"{answer.start_s:6.1f} s: {answer.label}")
            seconds[answer.label] += classifier.spec.stride / classifier.spec.rate_hz
for label, duration_s in sorted(seconds.items(), key=lambda item: -item[1]):
    print(f"{label}: {duration_s:.1f} s")
