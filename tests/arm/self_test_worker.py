"""Runs the golden cases of model files on a board: FILE ..., prints {file's name: self test} as JSON."""

import json
import sys
from pathlib import Path

import edgewise


def main(files: list[str]) -> None:
    """One process for all files: starting Python takes most of the time under emulation."""
    found = {}
    for file in files:
        with edgewise.load(file) as model:
            found[Path(file).stem] = model.self_test().to_dict()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
