"""Answer each picture of a folder: watch_folder.py MODEL FOLDER [--watch].

With --watch it goes on with pictures that come later, until Ctrl-C. FolderSource may be any other source: a camera
module (PicameraSource()), a webcam (VideoSource(0)) or an rtsp:// address; those answer the newest frame only.
"""

import sys
from pathlib import Path

import edgewise
from edgewise.streams import FolderSource

source = FolderSource(sys.argv[2], watch="--watch" in sys.argv)
with edgewise.load(sys.argv[1]) as model, model.stream(source) as results:
    try:
        for result in results:
            best = result.answer.top
            name = Path(result.frame.image).name
            print(f"{name}: {best.label} ({best.score:.0%}) after {result.latency_ms:.0f} ms", flush=True)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    except edgewise.SourceError as error:
        sys.exit(f"watch_folder.py: {error}")
    print(f"{results.skipped} pictures could not be read", file=sys.stderr)
