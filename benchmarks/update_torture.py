"""Update torture: cuts at every step and at random moments; exit code 1 when a device does not end on a working model.

.venv/bin/python benchmarks/update_torture.py                     # every step, 1000 random kills; some minutes
.venv/bin/python benchmarks/update_torture.py --every 3 --random 60
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from device_agent.update_torture import torture


def main() -> None:
    """Run it and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="cut at each so many steps")
    parser.add_argument("--random", type=int, default=1000, help="kills at random moments")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began_s = time.monotonic()
    # In memory, where a flush costs nothing: what a pulled plug loses is the test's doing, not the disk's.
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        tally = torture(
            Path(folder), random_cuts=asked.random, every=asked.every, seed=asked.seed,
            show=lambda line: print(line, file=sys.stderr, flush=True),
        )  # fmt: skip
    print(
        json.dumps(
            {
                "cuts": dict(tally.cuts),
                "started_with": dict(tally.started_with.most_common()),
                "ended_with": dict(sorted(tally.ended_with.items())),
                "failures": tally.failures[:20],
                "failed": len(tally.failures),
                "took_s": round(time.monotonic() - began_s, 1),
            },
            indent=1,
        )
    )
    raise SystemExit(bool(tally.failures))


if __name__ == "__main__":
    main()
