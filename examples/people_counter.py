"""How many people are in view? Faces in each frame, and a count that does not flicker: people_counter.py MODEL SOURCE.

MODEL is any face or person detector whose card says object-detection. SOURCE is a folder of pictures, a video, 0 for a
webcam, or picamera:. The steady count is the median of the last five frames.
"""

import csv
import sys
from collections import deque
from statistics import median_low

import edgewise
from edgewise.streams import open_source

PEOPLE = ("face", "person")
given: int | str = int(sys.argv[2]) if sys.argv[2].isdigit() else sys.argv[2]
recent: deque[int] = deque(maxlen=5)
most = 0
with edgewise.load(sys.argv[1], warm_up=1) as model, model.stream(open_source(given)) as results:
    table = csv.writer(sys.stdout)
    table.writerow(["frame", "seen", "people"])
    try:
        for result in results:
            found: edgewise.Detections = result.answer
            recent.append(sum(label in PEOPLE for label in found.labels))
            people = median_low(recent)
            most = max(most, people)
            table.writerow([result.frame.index, recent[-1], people])
    except (edgewise.SourceError, KeyboardInterrupt) as error:
        print(f"stopped: {error or 'by Ctrl-C'}", file=sys.stderr)
print(f"most at once: {most}", file=sys.stderr)
