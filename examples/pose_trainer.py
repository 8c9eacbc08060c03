"""Count the bends of an arm over the pictures of a folder, in order: pose_trainer.py MODEL FOLDER.

MODEL is any pose model with COCO's points. A bend is an elbow that goes below 60 degrees and above 140 again, by the
median of three pictures, so that a misread one counts for nothing. An arm that is out of sight for five pictures
begins anew.
"""

import sys
from collections import deque
from statistics import median

import edgewise
from edgewise.streams import open_source

ARM = ("left_shoulder", "left_elbow", "left_wrist")
bends, is_bent, away = 0, False, 0
angles: deque[float] = deque(maxlen=3)
with edgewise.load(sys.argv[1]) as model, model.stream(open_source(sys.argv[2])) as results:
    for result in results:
        poses: edgewise.Poses = result.answer
        scores = poses.keypoint_scores[:1, [poses.names.index(name) for name in ARM]]
        if scores.min(initial=1 if len(poses) else 0) < 0.3:
            away += 1
            if away == 5:
                is_bent = False
                angles.clear()
            continue
        away = 0
        angles.append(poses[0].angle_deg(*ARM))
        if len(angles) == 3:
            angle = median(angles)
            bends += is_bent and angle > 140
            is_bent = angle < 60 or (is_bent and angle <= 140)
            print(f"{result.frame.index}: {angle:.0f} degrees, {bends} bends")
