"""Does the machine run as always? machine_anomaly.py MODEL /dev/ttyACM0, or MODEL RECORDING.npy to try it.

MODEL's card says anomaly-detection, what is normal, and the threshold that fit_threshold set. A microcontroller at
the port sends a line of numbers, one for each channel, at the card's rate.
"""

import sys

import numpy as np

import edgewise
from edgewise.streams import SensorSource, SerialLines, SimulatedSensor

with edgewise.load(sys.argv[1]) as model:
    series = model.series_preprocess
    if series is None:
        sys.exit(f"{sys.argv[1]}: its card describes no series")
    rate_hz, channels, source = series.rate_hz, series.channels, sys.argv[2]
    if source.endswith(".npy"):
        sensor: SensorSource | SimulatedSensor = SimulatedSensor(
            np.load(source), rate_hz=rate_hz, channels=channels
        )
    else:
        lines = SerialLines.open(source, channels=len(channels))
        sensor = SensorSource(lines, rate_hz=rate_hz, channels=channels, is_paced=False)
    alarms = 0
    for result in model.stream(sensor):
        found: edgewise.Anomaly = result.answer
        if found.is_anomalous:
            alarms += 1
            print(f"alarm: {found.score:.3f} above {found.threshold:.3f}, mostly {found.top_channel}")
print(f"{alarms} alarms")
