"""Options that commands which measure a model have in common."""

from pathlib import Path
from typing import Annotated

import typer

Shapes = Annotated[
    list[str] | None,
    typer.Option(help="NAME=SIZES of an input with open sizes: image=1x224x224x3.", show_default=False),
]
Arrays = Annotated[
    Path | None, typer.Option(help="A .npy or .npz file with the inputs to feed.", show_default=False)
]
DelegateName = Annotated[
    str | None,
    typer.Option(help="edgetpu, gpu, a shared library or an execution provider.", show_default=False),
]
DelegateOptions = Annotated[
    list[str] | None, typer.Option(help="KEY=VALUE for the delegate.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Everything, as one JSON object.")]
