"""`edgewise agent run` without what a command line needs: started by it, in its place, as the same process.

The parser of the command line and what it imports are a fifth of the agent's memory, and are of no use once the
settings are read. So the command replaces itself (execve(2): same process id, same terminal, same signals) by this.
"""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

ENVIRONMENT = {
    "PYTHONNODEBUGRANGES": "1",  # no tables of columns in code, which only a traceback shows
    "MALLOC_ARENA_MAX": "2",  # glibc makes up to eight arenas a core, each with free memory of its own
    "OPENBLAS_NUM_THREADS": "1",  # the agent's matrices are small; each thread would have its buffers
    "OMP_NUM_THREADS": "1",
}
"""Set where the user has set nothing. glibc and OpenBLAS read theirs at the start only."""
_UPON_USE = frozenset({"numpy.ma", "numpy.polynomial", "numpy.fft", "bz2", "lzma"})
"""What NumPy 1 and zipfile import and the agent seldom uses; NumPy 2 imports its three upon use by itself.

Before Python 3.12 two threads must not be the first to use one at the same time: nothing here uses them but the SDK's
spectrum, which takes numpy.fft while it is imported, under a lock.
"""
_INTERRUPTED = 130
_WRONG_WORDS = 2


def replace_by_lean(config: Path, *, verbose: bool) -> None:
    """Become `python -m edgewise_agent.lean`; returns only where there is no interpreter to start."""
    if not sys.executable:
        return
    words = [sys.executable, "-P", "-m", "edgewise_agent.lean", "--config", str(config)]
    words += ["--verbose"] if verbose else []
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, words, {**ENVIRONMENT, **os.environ})


def main() -> int:
    """The exit code, as the command has it: 0, 1 with the reason on stderr, 2 for other words, 130 after Ctrl-C."""
    match sys.argv[1:]:
        case ["--config", config]:
            verbose = False
        case ["--config", config, "--verbose"]:
            verbose = True
        case words:
            print(f"error: got {words}, expected --config FILE [--verbose]", file=sys.stderr)  # noqa: T201 - the command's output
            return _WRONG_WORDS
    try:
        run(Path(config), verbose=verbose)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201 - this is the command's own output
        return _INTERRUPTED
    except Exception as error:
        return _report(error)
    return 0


def run(config: Path, *, verbose: bool) -> None:
    """Raises AgentError or edgewise.EdgewiseError when it cannot begin."""
    import_without_spare_parts()

    from edgewise import EdgewiseError
    from edgewise_agent.errors import AgentError, StateInUse
    from edgewise_agent.logs.lines import log_to_stderr
    from edgewise_agent.restart import restart_self
    from edgewise_agent.run import run_agent
    from edgewise_agent.settings.change import load_on_trial

    settings, change = load_on_trial(config)
    log_to_stderr(verbose=verbose)
    try:
        starts_again = run_agent(settings, change)
    except StateInUse:
        raise
    except (AgentError, EdgewiseError) as error:
        starts_again = change.undo(f"the agent could not begin: {error}")
        if not starts_again:
            raise
    if starts_again:
        restart_self()


def import_without_spare_parts() -> None:
    """Load libraries without what they import and, here, do not use: five megabytes.

    - msgspec prefers typing_extensions; since Python 3.11 typing has the same.
    - paho looks for the proxy of the environment by urllib.request, which brings HTTP and mail along, but only where
      PySocks is installed.
    - zipfile copies files of the disk with shutil; cards are in memory.
    - Pillow can have a JPEG decoded by another program, which nobody asks it for.
    - The rest (`_UPON_USE`) loads itself when something asks for its content.
    """
    with _empty("typing_extensions"):
        import msgspec  # noqa: F401 - for whoever imports it next
    with contextlib.nullcontext() if importlib.util.find_spec("socks") else _empty("urllib.request"):
        import paho.mqtt.client  # noqa: F401 - likewise
    with _loaded_upon_use(_UPON_USE):
        import numpy  # noqa: F401 - likewise

        with _empty("shutil"):
            import zipfile  # noqa: F401 - likewise
    with _empty("subprocess"):
        import PIL.JpegImagePlugin  # noqa: F401 - likewise


@contextlib.contextmanager
def _loaded_upon_use(names: frozenset[str]) -> Iterator[None]:
    """What is imported meanwhile gets modules of these ``names`` that load themselves when something uses them."""
    finder = _UponUse(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _UponUse:
    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the import system asks for it."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname in self._names else None
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


@contextlib.contextmanager
def _empty(name: str) -> Iterator[None]:
    """What is imported meanwhile finds nothing in the module ``name``; later imports find the real one."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = ModuleType(name)
    try:
        yield
    finally:
        del sys.modules[name]


def _report(error: Exception) -> int:
    """As `edgewise.cli` does, which would bring the parser along."""
    if os.environ.get("EDGEWISE_DEBUG"):
        import traceback

        traceback.print_exception(error)
    exit_code = getattr(error, "exit_code", None)
    if exit_code is not None:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the command's output
    else:
        hint = "set EDGEWISE_DEBUG=1 for the traceback, and please report it"
        print(f"internal error: {type(error).__name__}: {error} ({hint})", file=sys.stderr)  # noqa: T201 - the command's output
    return int(exit_code or 1)


if __name__ == "__main__":
    sys.exit(main())
