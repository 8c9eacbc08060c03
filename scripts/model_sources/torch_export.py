"""Exports one structure with seeded weights to ONNX: STRUCTURE EXPORTER OPSET OUT.

It runs in the environment that export_nets.py makes, as its own process; nothing of the project imports it.
"""

import sys
from pathlib import Path
from typing import Any

import torch

SEED = 20260
BATCH = 16
IMAGE_SIZE = 224

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
        import torchvision  # noqa: F401


def build(structure: str) -> torch.nn.Module:
    """The structure with seeded weights, in evaluation mode."""
    torch.manual_seed(SEED)
    import timm

    if timm.is_model(structure):
        model = timm.create_model(structure, pretrained=False)
    else:
        import torchvision.models

        model = torchvision.models.get_model(structure, weights=None)
    settle(model)
    return model.eval()


def settle(model: torch.nn.Module) -> None:
    """Give batch normalization scales and statistics as after training.

    Without it the signal of a deep random net grows or dies from layer to layer, and then no two correct
    programs agree on its output.
    """
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, 0.0, 0.1)
        norm.momentum = None
        norm.reset_running_stats()
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    with torch.no_grad():
        model(torch.randn(BATCH, 3, IMAGE_SIZE, IMAGE_SIZE))


def export(model: torch.nn.Module, exporter: str, opset: int, out: Path) -> None:
    """Write `out` with the input called 'image' and the output called 'logits'."""
    options: dict[str, Any] = {"dynamo": False}
    if exporter == "dynamo":
        options = {"dynamo": True, "external_data": False, "verbose": False}
    torch.onnx.export(
        model,
        (torch.randn(1, 3, IMAGE_SIZE, IMAGE_SIZE),),
        str(out),
        input_names=["image"],
        output_names=["logits"],
        opset_version=opset,
        **options,
    )


def main() -> None:
    structure, exporter, opset, out = sys.argv[1:]
    _import_torchvision()
    export(build(structure), exporter, int(opset), Path(out))


if __name__ == "__main__":
    main()
