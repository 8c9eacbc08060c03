"""Who is at the door? The faces in each picture of a folder, cut out as pictures: doorbell.py MODEL FOLDER.

MODEL is any face detector whose card says object-detection; cut-outs go to FOLDER/faces.
"""

import sys
from pathlib import Path

from PIL import Image, ImageOps

import edgewise

folder = Path(sys.argv[2])
faces = folder / "faces"
faces.mkdir(exist_ok=True)
with edgewise.load(sys.argv[1]) as model:
    for photo in sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png")):
        try:
            found: edgewise.Detections = model.predict(photo)
        except edgewise.UnreadableImage as error:
            print(f"skipped: {error}", file=sys.stderr)
            continue
        print(f"{photo.name}: {len(found)} at the door")
        with Image.open(photo) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
        for number, face in enumerate(found, start=1):
            upright.crop(face.box_xyxy).save(faces / f"{photo.stem}-{number}.png")
