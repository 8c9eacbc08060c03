#!/usr/bin/env python3
"""What importing edgewise takes beyond importing NumPy: processor seconds of a fresh Python, in turns. [--rounds 20]"""

import argparse
import subprocess
import sys
from statistics import median

WAYS = {
    "import numpy": "import numpy",
    "import edgewise": "import edgewise",
    "numpy, then edgewise.load": "import numpy, edgewise; edgewise.load",
    "numpy, then every name": "import numpy, edgewise; [getattr(edgewise, name) for name in edgewise.__all__]",
}
_TIMED = "from time import process_time; began = process_time(); {}; print(process_time() - began)"


def seconds(code: str) -> float:
    """Of processor time, from a Python that has started to the end of the imports."""
    done = subprocess.run(
        [sys.executable, "-c", _TIMED.format(code)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip())
    parser.add_argument("--rounds", type=int, default=20)
    rounds = [{way: seconds(code) for way, code in WAYS.items()} for _ in range(parser.parse_args().rounds)]
    for way in WAYS:
        base = "import numpy" if way.startswith("numpy") else None
        taken = [one[way] - (one[base] if base else 0.0) for one in rounds]
        beyond = " beyond numpy" if base else ""
        print(f"{way:<26} least {min(taken):.3f} s, median {median(taken):.3f} s{beyond}")


if __name__ == "__main__":
    main()
