"""Is everything where it belongs? shelf_check.py MODEL PHOTO PLACES.csv REFERENCES.

MODEL is any classifier or embedding network of pictures. PLACES.csv has a line for each place on the shelf: product,
left, top, right, bottom in pixels of the photo; the camera stays where it is. REFERENCES holds a folder of photos for
each product, and one for an empty place. Exit code 1 when a place holds something else.
"""

import csv
import sys
from collections import Counter
from pathlib import Path

from PIL import Image

import edgewise

photo, places, references = map(Path, sys.argv[2:5])
wrong = 0
with edgewise.load(sys.argv[1], task="image-embedding") as model:
    gallery = edgewise.Gallery()
    for product in sorted(path for path in references.iterdir() if path.is_dir()):
        for embedding in model.predict_many(sorted(product.iterdir())):
            gallery.add(product.name, embedding)
    with Image.open(photo) as picture, places.open(newline="") as table:
        shelf = picture.convert("RGB")
        for place in csv.DictReader(table):
            left, top, right, bottom = (int(place[side]) for side in ("left", "top", "right", "bottom"))
            matches = gallery.search(model.predict(shelf.crop((left, top, right, bottom))), top=5)
            seen = Counter(match.name for match in matches).most_common(1)[0][0]
            is_right = seen == place["product"]
            wrong += not is_right
            print(f"{place['product']}: {'there' if is_right else f'missing, sees {seen}'}")
sys.exit(1 if wrong else 0)
