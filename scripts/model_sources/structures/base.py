"""What is exported: a module, the inputs it is traced with, and the names of what goes in and out."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

IMAGE_SIZE = 224
BATCH = 16
"""Of the noise that batch normalization takes its statistics from."""


@dataclass(frozen=True)
class Structure:
    """A network without trained weights; the seed is set before `build`."""

    build: Callable[[], nn.Module]
    inputs: Callable[[], dict[str, Tensor]]
    """By name, what the network is traced with, in the order of its arguments."""
    outputs: tuple[str, ...]


def picture(side: int = IMAGE_SIZE, *, channels: int = 3) -> Callable[[], dict[str, Tensor]]:
    """One picture of noise, [1, channels, side, side], called 'image'."""
    return lambda: {"image": torch.randn(1, channels, side, side)}


def settle(model: nn.Module, inputs: dict[str, Tensor]) -> None:
    """Give batch normalization scales and statistics as after training.

    Without it the signal of a deep random net grows or dies from layer to layer, and then no two correct
    programs agree on its output.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0.0, 0.1)
        norm.momentum = None
        norm.reset_running_stats()
    if not norms:
        return
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    with torch.no_grad():
        model(*(torch.randn(BATCH, *tensor.shape[1:]) for tensor in inputs.values()))


def conv_norm_act(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    stride: int = 1,
    *,
    groups: int = 1,
    act: nn.Module | None = None,
) -> nn.Sequential:
    """Convolution, batch normalization, activation (SiLU if none is given)."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), act or nn.SiLU())
