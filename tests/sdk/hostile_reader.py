"""Run in a child with little memory: reads the model files it is told on stdin, and says what came of each."""

import resource
import sys
import traceback

import edgewise
from edgewise import backends

SPARE_BYTES = 600 << 20
"""Above what the process has once its runtimes are loaded; the largest golden archive allowed is 256 MB."""


def main() -> None:
    """One path a line in; one line out: fine, the name of an error of ours, or BROKEN and why."""
    backends.available()
    edgewise.load  # noqa: B018  # imports what it needs
    with open("/proc/self/statm") as statm:  # noqa: PTH123
        taken = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + SPARE_BYTES,) * 2)
    print("ready", flush=True)  # noqa: T201 - the command's output
    for line in sys.stdin:
        print(_read(line.rstrip("\n")), flush=True)  # noqa: T201 - the command's output


def _read(path: str) -> str:
    try:
        file = edgewise.read_model(path)
        file.golden()
        with edgewise.load(path, threads=1) as model:
            if file.card and file.card.golden:
                model.self_test()
        return "fine"
    except edgewise.EdgewiseError as error:
        return type(error).__name__ if path in str(error) else f"BROKEN: no path in {str(error)!r}"
    except BaseException:
        return f"BROKEN: {traceback.format_exc()!r}"


if __name__ == "__main__":
    main()
