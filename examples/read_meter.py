"""What does the meter say? Its digits, cut out of a photo: read_meter.py RECOGNISER PHOTO LEFT TOP RIGHT BOTTOM.

RECOGNISER is any PP-OCR text recogniser. LEFT to BOTTOM, in pixels, say where the camera sees the counter; it stays
there, so nothing has to find it. Exit code 1 when the digits cannot be read for sure.
"""

import sys

from PIL import Image

import edgewise

with Image.open(sys.argv[2]) as photo:
    left, top, right, bottom = map(int, sys.argv[3:7])
    counter = photo.convert("RGB").crop((left, top, right, bottom))
with edgewise.load(sys.argv[1]) as recogniser:
    line = edgewise.LineReader(recogniser).read_line(counter)
digits = "".join(character for character in line.text if character in "0123456789.")
if line.score < 0.8 or not digits:
    sys.exit(f"read_meter.py: not sure: {line.text!r} ({line.score:.0%})")
print(digits)
