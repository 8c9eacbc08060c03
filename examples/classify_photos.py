"""Name what is on each photo of a folder: classify_photos.py MODEL FOLDER."""

import sys
from pathlib import Path

import edgewise

with edgewise.load(sys.argv[1]) as model:
    for photo in sorted(Path(sys.argv[2]).glob("*.jpg")):
        try:
            best = model.predict(photo).top
        except edgewise.UnreadableImage as error:
            print(f"skipped: {error}", file=sys.stderr)
            continue
        print(f"{photo.name}: {best.label} ({best.score:.0%})")
