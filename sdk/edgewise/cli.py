"""The `edgewise` command: its subcommands come from the entry-point group `edgewise.commands`."""

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from edgewise.version import VERSION

if TYPE_CHECKING:
    from edgewise.batch import Result
    from edgewise.model import Model

COMMAND_GROUP = "edgewise.commands"
_ORDER = ("convert", "compare", "inspect", "run", "bench", "profile", "doctor", "agent", "fleet")
_EXTRAS = {
    "convert": "edgewise[convert]",
    "compare": "edgewise[convert]",
    "agent": "edgewise[agent]",
    "fleet": "edgewise[fleet]",
}
_INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


_Head = Annotated[
    str | None,
    typer.Option(
        help="A detector's head, where the file says none: yolov8, yolov5, ssd ...", show_default=False
    ),
]
_MinScore = Annotated[
    float | None,
    typer.Option(help="Detections and lines of a lower score, 0 to 1, are left out.", show_default=False),
]
_Draw = Annotated[
    Path | None,
    typer.Option(help="Show the answer on the (one) picture, in this new file.", show_default=False),
]
_Recogniser = Annotated[
    Path | None,
    typer.Option(help="Read text: FILE finds lines, and this model reads them (PP-OCR).", show_default=False),
]
_Direction = Annotated[
    Path | None,
    typer.Option(
        help="With --recogniser: a model that tells lines standing on their head.", show_default=False
    ),
]


def run_app(
    file: Annotated[Path, typer.Argument(help="A .tflite or .onnx model.", show_default=False)],
    inputs: Annotated[
        list[Path],
        typer.Argument(help="Pictures, folders of pictures, or .npy and .npz files.", show_default=False),
    ],
    top: Annotated[
        int | None,
        typer.Option(min=1, help="How many answers. Default: 5 categories, 300 boxes.", show_default=False),
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="litert, tflite-runtime or onnxruntime.", show_default=False)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Default: the cores, at most 4.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    head: _Head = None,
    min_score: _MinScore = None,
    draw: _Draw = None,
    recogniser: _Recogniser = None,
    direction: _Direction = None,
) -> None:
    """Run a model on pictures or arrays and show its answers."""
    if draw and (len(inputs) != 1 or inputs[0].is_dir()):
        raise typer.BadParameter("it takes one picture", param_hint="'--draw'")
    if direction and not recogniser:
        raise typer.BadParameter("it needs --recogniser", param_hint="'--direction'")
    if recogniser and (head or top):
        raise typer.BadParameter("it goes without --head and --top", param_hint="'--recogniser'")
    from edgewise.batch import check_drawing, draw_answer, run_inputs
    from edgewise.loading import load

    # Pillow warns of pictures that we refuse, in a line of our own.
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
    failures = 0
    files = [file, *(other for other in (recogniser, direction) if other)]
    if draw:
        check_drawing(draw, [*files, *inputs])
    with ExitStack() as stack:
        if recogniser:
            models = [stack.enter_context(load(path, backend=backend, threads=threads)) for path in files]
            results = _read_pages(models, inputs, min_score)
        else:
            model = load(file, backend=backend, threads=threads, head=head, score_threshold=min_score)
            results = run_inputs(stack.enter_context(model), inputs, top=top)
        for result in results:
            failures += bool(result.error)
            _show(result, as_json=as_json)
            if draw and not result.error:
                draw_answer(result, draw)
    if failures:
        raise typer.Exit(1)


def _read_pages(models: "list[Model]", inputs: list[Path], min_score: float | None) -> "Iterator[Result]":
    """By a detector, a recogniser and, where there are three, a model of directions."""
    from edgewise.batch import read_pages
    from edgewise.tasks.text.options import TextOptions
    from edgewise.tasks.text.reader import TextReader

    options = TextOptions() if min_score is None else TextOptions(score_threshold=min_score)
    detector, recogniser, *others = models
    reader = TextReader(detector, recogniser, direction=others[0] if others else None, options=options)
    return read_pages(reader, inputs)


def _show(result: "Result", *, as_json: bool) -> None:
    if result.error:
        typer.echo(f"error: {result.error}", err=True)
    if as_json:
        typer.echo(json.dumps(result.to_dict(), ensure_ascii=False))
    elif not result.error:
        typer.echo(str(result))


def inspect_app(
    file: Annotated[Path, typer.Argument(help="A .tflite or .onnx model.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as one JSON object.")] = False,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Run the golden cases; exit code 1 when they fail.")
    ] = False,
) -> None:
    """Show what a model file carries, and which runtimes here can run it."""
    from edgewise.inspection import inspect_model

    inspection = inspect_model(file, self_test=self_test)
    if as_json:
        typer.echo(json.dumps(inspection.to_dict(), indent=2, ensure_ascii=False))
    else:
        typer.echo(inspection.page())
    if inspection.self_test and not inspection.self_test.passed:
        raise typer.Exit(1)


def main() -> NoReturn:
    """What the console script calls: any exception with an ``exit_code`` becomes one line on stderr."""
    try:
        code = build_app(sys.argv[1:])(prog_name="edgewise", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone, as in `| head`. What is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted", err=True)
        code = _INTERRUPTED
    except Exception as error:
        code = _report(error)
    sys.exit(code if isinstance(code, int) else 0)


def _report(error: Exception) -> int:
    """Say what went wrong, and return the exit code."""
    if os.environ.get("EDGEWISE_DEBUG"):
        import traceback

        traceback.print_exception(error)
    exit_code = getattr(error, "exit_code", None)
    if exit_code is not None and hasattr(error, "show"):  # a usage error, which knows its command
        error.show()
    elif exit_code is not None:
        typer.echo(f"error: {error}", err=True)
    elif isinstance(error, MemoryError):
        typer.echo(f"error: not enough memory: {error or 'this machine has too little for it'}", err=True)
    elif isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("edgewise"):
        typer.echo(f"error: {_missing(error.name or '', sys.argv[1:2])}", err=True)
    else:
        hint = "set EDGEWISE_DEBUG=1 for the traceback, and please report it"
        typer.echo(f"internal error: {type(error).__name__}: {error} ({hint})", err=True)
    return int(exit_code or 1)


def _missing(module: str, command: list[str]) -> str:
    extra = _EXTRAS.get(command[0] if command else "", module)
    return f"this needs '{module}', which is not installed: pip install '{extra}'"


def build_app(arguments: list[str]) -> typer.Typer:
    """The command with its subcommands; when the first argument names one, only that one is imported."""
    app = typer.Typer(
        help="Convert, run and watch machine-learning models on Raspberry Pi class computers.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    found = {entry.name: entry for entry in entry_points(group=COMMAND_GROUP)}
    wanted = arguments[0] if arguments else ""
    names = [wanted] if wanted in found else sorted(found, key=_rank)
    for name in names:
        _add(app, found[name])
    return app


def _rank(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


def _add(app: typer.Typer, entry: EntryPoint) -> None:
    """A command that cannot be imported stays in the list, and says why when it is called."""
    try:
        command: Any = entry.load()
    except Exception as error:
        app.command(
            entry.name,
            help=f"Not available: {_reason(entry, error)}",
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
            add_help_option=False,
        )(_unavailable(entry, error))
        return
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=entry.name)
    else:
        app.command(entry.name)(command)


def _reason(entry: EntryPoint, error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("edgewise"):
        return _missing(error.name or "", [entry.name])
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed: pip install '{_EXTRAS.get(entry.name, 'edgewise')}'"
    return f"{type(error).__name__}: {error}"


def _unavailable(entry: EntryPoint, error: Exception) -> Callable[[], None]:
    def command() -> None:
        if os.environ.get("EDGEWISE_DEBUG"):
            raise error
        typer.echo(f"error: {entry.name} is not available: {_reason(entry, error)}", err=True)
        raise typer.Exit(1)

    return command


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgewise {VERSION}")
        raise typer.Exit


def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


if __name__ == "__main__":
    main()
