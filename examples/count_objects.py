"""How many of what stands on the shelf, or walks by? One line of CSV a picture: count_objects.py MODEL FOLDER."""

import csv
import sys
from pathlib import Path

import edgewise

with edgewise.load(sys.argv[1]) as model:
    table = csv.DictWriter(sys.stdout, ["picture", *model.labels], restval=0)
    table.writeheader()
    for photo in sorted(path for path in Path(sys.argv[2]).iterdir() if path.suffix in (".jpg", ".png")):
        try:
            found: edgewise.Detections = model.predict(photo)
        except edgewise.UnreadableImage as error:
            print(f"skipped: {error}", file=sys.stderr)
            continue
        table.writerow({"picture": photo.name, **found.counts()})
