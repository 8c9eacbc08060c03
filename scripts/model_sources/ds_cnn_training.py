"""Trains the keyword network on given rows: DATA.npz OUT.onnx. Runs in PyTorch's own environment.

A small DS-CNN as in Zhang et al., "Hello Edge", arXiv:1711.07128: a convolution of 10 x 4 and four depthwise
separable ones, here of 64 channels and with a stride of 2 in the first of them. DATA holds train, train_labels,
validation and validation_labels; the best epoch on validation is kept. See train_keywords.py.
"""

import copy
import io
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

SEED, EPOCHS, BATCH, TOP_RATE, DECAY = 20261, 10, 128, 4e-3, 1e-2
CHANNELS, BLOCKS = 64, 4


def network(labels: int) -> nn.Sequential:
    """'rows' [n, 49, 20, 1] to logits [n, labels]."""
    layers: list[nn.Module] = [Turned(), *convolution(1, CHANNELS, (10, 4), stride=2, padding=(5, 1))]
    for block in range(BLOCKS):
        stride = 1 if block else 2
        layers += convolution(CHANNELS, CHANNELS, (3, 3), stride=stride, padding=(1, 1), groups=CHANNELS)
        layers += convolution(CHANNELS, CHANNELS, (1, 1))
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(CHANNELS, labels)
    )


def convolution(
    inputs: int,
    outputs: int,
    size: tuple[int, int],
    *,
    stride: int = 1,
    padding: tuple[int, int] = (0, 0),
    groups: int = 1,
) -> list[nn.Module]:
    """With batch normalisation and ReLU."""
    kernels = nn.Conv2d(inputs, outputs, size, stride, padding, groups=groups, bias=False)
    return [kernels, nn.BatchNorm2d(outputs), nn.ReLU()]


class Turned(nn.Module):
    """Channels last, as sound comes, to channels first."""

    def forward(self, rows: Tensor) -> Tensor:
        return rows.permute(0, 3, 1, 2)


def train(model: nn.Module, data: dict[str, Tensor]) -> float:
    """AdamW with a cosine; the weights of the best epoch. The accuracy on validation."""
    given, labels = data["train"], data["train_labels"]
    steps = EPOCHS * math.ceil(len(given) / BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), TOP_RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, TOP_RATE, total_steps=steps)
    best, kept = 0.0, copy.deepcopy(model.state_dict())
    for epoch in range(EPOCHS):
        model.train()
        for picked in torch.randperm(len(given)).split(BATCH):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(given[picked]), labels[picked], label_smoothing=0.05)
            loss.backward()
            optimizer.step()
            schedule.step()
        found = accuracy(model, data["validation"], data["validation_labels"])
        print(f"epoch {epoch + 1}: validation {found:.4f}", file=sys.stderr, flush=True)
        if found > best:
            best, kept = found, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return best


def accuracy(model: nn.Module, rows: Tensor, labels: Tensor) -> float:
    model.eval()
    with torch.no_grad():
        return float((model(rows).argmax(dim=1) == labels).double().mean())


def main() -> int:
    source, out = map(Path, sys.argv[1:])
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # the same sums anywhere, and on busy cores far less waiting
    torch.use_deterministic_algorithms(True)
    with np.load(source) as file:
        data = {name: torch.from_numpy(file[name]) for name in file.files}
    model = network(int(data["train_labels"].max()) + 1)
    train(model, data)
    stream = io.BytesIO()
    example = data["validation"][:1]
    names = {"input_names": ["rows"], "output_names": ["logits"], "opset_version": 17, "dynamo": False}
    torch.onnx.export(model, (example,), stream, **names)
    out.write_bytes(stream.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(main())
