"""Count the bends of an arm over the pictures of a folder, in order: pose_trainer.py MODEL FOLDER.

MODEL is any pose model with COCO's points. A bend is an elbow that goes below 60 degrees and above 140 again.
"""

import sys

import edgewise
from edgewise.streams import open_source

bends, is_bent = 0, False
with edgewise.load(sys.argv[1]) as model, model.stream(open_source(sys.argv[2])) as results:
    for result in results:
        poses: edgewise.Poses = result.answer
        if not len(poses) or poses[0].score < 0.3:
            continue  # nobody is there
        angle = poses[0].angle_deg("left_shoulder", "left_elbow", "left_wrist")
        if is_bent and angle > 140:
            bends += 1
        is_bent = angle < 60 or (is_bent and angle <= 140)
        print(f"{result.frame.index}: {angle:.0f} degrees, {bends} bends")
