#!/usr/bin/env python3
"""Random graphs and broken files by the thousand: fuzz.py --graphs 2000 --seed 0, fuzz.py --files 500.

Usage: fuzz.py [--graphs N] [--files N] [--seed S] [--precision P ...] [--target T] [--json].
Graphs: each seed gives a random model (tests/converters/fuzz); it is converted at every precision asked for, and the
file is asked what onnxruntime is asked. Files: each seed breaks a model, a sample or a label file in its own way, and
the command runs on it with limited memory. The outcomes are counted; whatever is WRONG is listed with its seed, and the
exit code is 1. Work is done in a child process: a crash of a runtime is an outcome like others.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

PATIENCE_S = 60.0
_SAY_EVERY = 100
GRAPH_PRECISIONS = ("fp32", "fp16", "dynamic", "int8", "mixed16")


@dataclass(frozen=True)
class Outcome:
    """What became of one seed."""

    seed: int
    what: str
    word: str
    reason: str = ""


Worker = Callable[[Connection, Sequence[int], dict[str, str]], None]


def main() -> int:
    """Run what was asked for; 1 when anything is WRONG."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--graphs", type=int, default=0, help="how many random graphs")
    parser.add_argument("--files", type=int, default=0, help="how many broken files")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--precision", nargs="+", default=["fp32"], choices=GRAPH_PRECISIONS)
    parser.add_argument("--target", default="rpi4", choices=("rpi4", "armv7"))
    parser.add_argument("--json", action="store_true", help="print every outcome as JSON")
    options = parser.parse_args()
    outcomes: list[Outcome] = []
    for precision in options.precision if options.graphs else ():
        settings = {"precision": precision, "target": options.target}
        seeds = range(options.seed, options.seed + options.graphs)
        outcomes += run_all(judge_graphs, seeds, settings, what=precision)
    if options.files:
        seeds = range(options.seed, options.seed + options.files)
        outcomes += run_all(judge_files, seeds, {}, what="file")
    if options.json:
        print(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    else:
        report(outcomes)
    return 1 if any(outcome.word == "WRONG" for outcome in outcomes) else 0


def run_all(
    worker: Worker, seeds: Sequence[int], settings: dict[str, str], *, what: str
) -> Iterator[Outcome]:
    """Outcomes in order; a crash or a hang of the child is the outcome of the seed it was at."""
    waiting = list(seeds)
    while waiting:
        mine, theirs = multiprocessing.Pipe()
        child = multiprocessing.get_context("spawn").Process(
            target=worker, args=(theirs, waiting, settings), daemon=True
        )
        child.start()
        theirs.close()
        try:
            while waiting:
                if not mine.poll(PATIENCE_S):
                    yield Outcome(waiting.pop(0), what, "WRONG", f"no answer within {PATIENCE_S:g} s")
                    break
                word, reason = mine.recv()
                yield Outcome(waiting.pop(0), what, word, reason)
                _show(what, len(seeds) - len(waiting), len(seeds), word)
        except EOFError:
            child.join()
            yield Outcome(waiting.pop(0), what, "WRONG", f"the process ended with exit code {child.exitcode}")
        finally:
            child.kill()
            child.join()


def judge_graphs(pipe: Connection, seeds: Sequence[int], settings: dict[str, str]) -> None:
    """In the child: a word and a reason for each seed."""
    warnings.simplefilter("ignore")
    import onnx
    from converters.fuzz.choices import Seeded
    from converters.fuzz.graphs import draw_model
    from converters.fuzz.judge import judge, save_samples, truth_of

    for seed in seeds:
        drawn = draw_model(Seeded(seed))
        truth = truth_of(drawn.model, drawn.feeds) if drawn is not None else None
        if drawn is None or truth is None:
            pipe.send(("discarded", "no graph, or onnxruntime does not take it"))
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            onnx.save(drawn.model, path)
            is_static = settings["precision"] in ("int8", "mixed16")
            samples = save_samples(path.parent, truth.feeds) if is_static else None
            verdict = judge(path, truth, samples=samples, **settings)  # type: ignore[arg-type]  # all strings
        pipe.send((verdict.word, verdict.reason))


def judge_files(pipe: Connection, seeds: Sequence[int], settings: dict[str, str]) -> None:
    """In the child: a word and a reason for each seed."""
    from converters.fuzz.files import Workshop

    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder))
        for seed in seeds:
            pipe.send(workshop.judge(seed))


def report(outcomes: list[Outcome]) -> None:
    """Counts, then reasons by frequency, then what is WRONG."""
    for what in dict.fromkeys(outcome.what for outcome in outcomes):
        counts = Counter(outcome.word for outcome in outcomes if outcome.what == what)
        print(what, ", ".join(f"{word} {count}" for word, count in counts.most_common()))
    reasons = Counter(_kind(outcome) for outcome in outcomes if outcome.word in ("refused", "unverified"))
    for (word, reason), count in reasons.most_common(40):
        print(f"{count:5} {word}: {reason}")
    for outcome in outcomes:
        if outcome.word in ("WRONG", "unverified"):
            print(f"{outcome.word} {outcome.what} seed {outcome.seed}: {outcome.reason}")


def _kind(outcome: Outcome) -> tuple[str, str]:
    """The reason without the names and numbers of this one model."""
    words = outcome.reason.split(" ")
    return outcome.word, " ".join(
        "…" if "'" in word or any(map(str.isdigit, word)) else word for word in words
    )[:110]


def _show(what: str, done: int, total: int, word: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{what} {done}/{total}", end="", file=sys.stderr)
    elif done % _SAY_EVERY == 0 or word == "WRONG":
        print(f"{what} {done}/{total} {word}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
