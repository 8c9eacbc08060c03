"""100,000 malformed, forged and repeated commands into the agent's command desk; exit code 1 if one is done.

.venv/bin/python benchmarks/command_fuzz.py [--count 100000] [--seed 1]
"""

import argparse
import json
import logging
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from device_agent.command_fuzz import fuzz

WARM_UP = 5_000


def main() -> None:
    """Run it and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "warm-up").mkdir()
        fuzz(Path(folder, "warm-up"), count=WARM_UP, seed=asked.seed + 1)
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began_s = time.monotonic()
        fuzzed = fuzz(Path(folder), count=asked.count, seed=asked.seed)
        took_s = time.monotonic() - began_s
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    print(
        json.dumps(
            {
                "messages": dict(fuzzed.by_kind),
                "done": len(fuzzed.done),
                "accepted": len(fuzzed.accepted),
                "not readable": fuzzed.unanswered,
                "peak memory grew by MB": round(grown_kb / 1024, 1),
                "took_s": round(took_s, 1),
            },
            indent=1,
        )
    )
    raise SystemExit(bool(fuzzed.done or fuzzed.accepted))


if __name__ == "__main__":
    main()
