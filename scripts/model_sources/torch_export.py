"""Exports one structure with seeded weights to ONNX: STRUCTURE EXPORTER OPSET OUT.

It runs in the environment that export_nets.py makes, as its own process; nothing of the project imports it.
"""

import sys
from pathlib import Path
from typing import Any

import torch

# The folder above holds this package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from model_sources.structures import STRUCTURES, Structure
from model_sources.structures.base import settle

SEED = 20260

_kept_alive: list[torch.library.Library] = []
"""Declared operators vanish with the object that declared them."""


def _import_torchvision() -> None:
    """Import torchvision (timm needs it), also where it was built for another torch.

    Such a torchvision cannot load its compiled operators and then stumbles over two of them that its Python
    part expects to be declared. No classifier uses them, so declaring them is enough.
    """
    try:
        import torchvision
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept_alive.append(library)
        import torchvision  # noqa: F401 - only whether it is there


def build(structure: Structure) -> torch.nn.Module:
    """The structure with seeded weights, in evaluation mode."""
    torch.manual_seed(SEED)
    model = structure.build()
    with torch.random.fork_rng():
        inputs = structure.inputs()
    settle(model, inputs)
    return model.eval()


def export(structure: Structure, exporter: str, opset: int, out: Path) -> None:
    """Write `out` with the structure's names of inputs and outputs."""
    model = build(structure)
    options: dict[str, Any] = {"dynamo": False}
    if exporter == "dynamo":
        options = {"dynamo": True, "external_data": False, "verbose": False}
    inputs = structure.inputs()
    torch.onnx.export(
        model,
        tuple(inputs.values()),
        str(out),
        input_names=list(inputs),
        output_names=list(structure.outputs),
        opset_version=opset,
        **options,
    )


def main() -> None:
    structure, exporter, opset, out = sys.argv[1:]
    _import_torchvision()
    export(STRUCTURES[structure], exporter, int(opset), Path(out))


if __name__ == "__main__":
    main()
