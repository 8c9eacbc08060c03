"""Series: recurrent networks with and without their state outside, and convolutions over time."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_sources.structures.base import Structure

STEPS, FEATURES, HIDDEN = 24, 12, 32


class LastState(nn.Module):
    """The last state of a recurrent network of two layers, classified."""

    def __init__(self, kind: type[nn.RNNBase], *, classes: int = 7) -> None:
        super().__init__()
        self.layers = kind(FEATURES, HIDDEN, num_layers=2, batch_first=True)
        self.head = nn.Linear(HIDDEN, classes)

    def forward(self, series: Tensor) -> Tensor:
        return self.head(self.layers(series)[0][:, -1])


class StatefulBiLSTM(nn.Module):
    """Both directions, with state in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.LSTM(FEATURES, HIDDEN, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * HIDDEN, 5)

    def forward(self, series: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        answers, (hidden_after, cell_after) = self.layers(series, (hidden, cell))
        return self.head(answers), hidden_after, cell_after


class CausalBlock(nn.Module):
    """Two dilated convolutions that look back only, and a skip (Bai et al. 2018, arXiv:1803.01271)."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.reach = 2 * dilation
        self.first = nn.Conv1d(inputs, outputs, 3, dilation=dilation)
        self.second = nn.Conv1d(outputs, outputs, 3, dilation=dilation)
        self.norm = nn.BatchNorm1d(outputs)
        self.skip = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, data: Tensor) -> Tensor:
        inner = functional.relu(self.first(functional.pad(data, (self.reach, 0))))
        inner = self.norm(self.second(functional.pad(inner, (self.reach, 0))))
        return functional.relu(inner + self.skip(data))


class TCN(nn.Module):
    """Blocks of growing dilation."""

    def __init__(self) -> None:
        super().__init__()
        widths = (FEATURES, 24, 24, 32)
        self.blocks = nn.Sequential(*(CausalBlock(a, b, 2**i) for i, (a, b) in enumerate(pairwise(widths))))
        self.head = nn.Conv1d(widths[-1], 4, 1)

    def forward(self, series: Tensor) -> Tensor:
        return self.head(self.blocks(series.transpose(1, 2))).transpose(1, 2)


class Crnn(nn.Module):
    """Text lines: convolutions, then a BiLSTM over the columns (Shi et al. 2015, arXiv:1507.05717)."""

    def __init__(self, characters: int = 40) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, 1, 1), nn.BatchNorm2d(32),
            nn.ReLU(), nn.MaxPool2d((2, 1)), nn.Conv2d(32, 48, (8, 1)), nn.ReLU(),
        )  # fmt: skip
        self.recurrent = nn.LSTM(48, HIDDEN, bidirectional=True)
        self.head = nn.Linear(2 * HIDDEN, characters)

    def forward(self, image: Tensor) -> Tensor:
        columns = self.layers(image).squeeze(2).permute(2, 0, 1)
        return functional.log_softmax(self.head(self.recurrent(columns)[0]), dim=2)


def _series() -> dict[str, Tensor]:
    return {"series": torch.randn(1, STEPS, FEATURES)}


def _series_and_state() -> dict[str, Tensor]:
    state = {name: torch.randn(2, 1, HIDDEN) for name in ("hidden", "cell")}
    return _series() | state


STRUCTURES = {
    "lstm": Structure(lambda: LastState(nn.LSTM), _series, ("scores",)),
    "gru": Structure(lambda: LastState(nn.GRU), _series, ("scores",)),
    "bilstm_with_state": Structure(
        StatefulBiLSTM, _series_and_state, ("scores", "hidden_after", "cell_after")
    ),
    "tcn": Structure(TCN, _series, ("scores",)),
    "crnn": Structure(Crnn, lambda: {"image": torch.randn(1, 1, 32, 64)}, ("characters",)),
}
