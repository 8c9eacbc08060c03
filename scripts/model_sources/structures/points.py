"""Clouds of points."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_sources.structures.base import Structure


class PointNet(nn.Module):
    """The same layers over every point, a learned 3 x 3 transform, the largest of each feature
    (Qi et al. 2017, arXiv:1612.00593)."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.transform = nn.Sequential(
            nn.Conv1d(3, 32, 1), nn.BatchNorm1d(32), nn.ReLU(), nn.Conv1d(32, 64, 1), nn.ReLU()
        )
        self.matrix = nn.Linear(64, 9)
        self.layers = nn.Sequential(
            nn.Conv1d(3, 64, 1),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Conv1d(64, 128, 1),
            nn.BatchNorm1d(128),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Linear(128, 64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, classes))

    def forward(self, points: Tensor) -> Tensor:
        matrix = self.matrix(self.transform(points).amax(2)).view(-1, 3, 3) + torch.eye(3)
        turned = torch.bmm(points.transpose(1, 2), matrix).transpose(1, 2)
        features = self.layers(turned)
        return functional.log_softmax(self.head(features.max(2).values), dim=1)


STRUCTURES = {
    "pointnet": Structure(PointNet, lambda: {"points": torch.randn(1, 3, 256)}, ("scores",)),
}
