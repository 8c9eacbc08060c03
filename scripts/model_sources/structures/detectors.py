"""Detectors: two of the YOLO kind with their boxes decoded, one of the SSD kind, one of the DETR kind."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_sources.structures.base import Structure, conv_norm_act, picture

SIDE = 160
CLASSES = 8


class Bottleneck(nn.Module):
    """Two convolutions and a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv_norm_act(width, width), conv_norm_act(width, width))

    def forward(self, data: Tensor) -> Tensor:
        return data + self.layers(data)


class SplitStage(nn.Module):
    """Half of the channels pass by, every bottleneck's answer is kept, all are joined."""

    def __init__(self, inputs: int, outputs: int, depth: int = 1) -> None:
        super().__init__()
        half = outputs // 2
        self.first = conv_norm_act(inputs, outputs, 1)
        self.blocks = nn.ModuleList(Bottleneck(half) for _ in range(depth))
        self.last = conv_norm_act((2 + depth) * half, outputs, 1)

    def forward(self, data: Tensor) -> Tensor:
        parts = list(self.first(data).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.last(torch.cat(parts, 1))


class PooledPyramid(nn.Module):
    """The same pooling once, twice and three times, side by side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = conv_norm_act(width, width // 2, 1), conv_norm_act(2 * width, width, 1)

    def forward(self, data: Tensor) -> Tensor:
        pooled = [self.first(data)]
        for _ in range(3):
            pooled.append(functional.max_pool2d(pooled[-1], 5, 1, 2))
        return self.last(torch.cat(pooled, 1))


class Pyramid(nn.Module):
    """A backbone and a neck that goes up and down again: maps of stride 8, 16 and 32."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        w = [width * 2**i for i in range(5)]
        self.stem = nn.Sequential(
            conv_norm_act(3, w[0], stride=2), conv_norm_act(w[0], w[1], stride=2), SplitStage(w[1], w[1])
        )
        self.down = nn.ModuleList(
            nn.Sequential(conv_norm_act(a, b, stride=2), SplitStage(b, b)) for a, b in pairwise(w[1:])
        )
        self.pool = PooledPyramid(w[4])
        self.up = nn.ModuleList([SplitStage(w[4] + w[3], w[3]), SplitStage(w[3] + w[2], w[2])])
        self.shrink = nn.ModuleList(
            [conv_norm_act(w[2], w[2], stride=2), conv_norm_act(w[3], w[3], stride=2)]
        )
        self.out = nn.ModuleList([SplitStage(w[2] + w[3], w[3]), SplitStage(w[3] + w[4], w[4])])
        self.widths = w[2:]

    def forward(self, image: Tensor) -> list[Tensor]:
        data, maps = self.stem(image), []
        for stage in self.down:
            data = stage(data)
            maps.append(data)
        top = self.pool(maps[2])
        middle = self.up[0](torch.cat([functional.interpolate(top, scale_factor=2.0), maps[1]], 1))
        fine = self.up[1](torch.cat([functional.interpolate(middle, scale_factor=2.0), maps[0]], 1))
        middle = self.out[0](torch.cat([self.shrink[0](fine), middle], 1))
        return [fine, middle, self.out[1](torch.cat([self.shrink[1](middle), top], 1))]


class AnchorDetector(nn.Module):
    """Three anchors a cell, boxes decoded by sigmoids, as in YOLO v5."""

    def __init__(self) -> None:
        super().__init__()
        self.pyramid = Pyramid()
        self.heads = nn.ModuleList(nn.Conv2d(width, 3 * (5 + CLASSES), 1) for width in self.pyramid.widths)
        self.register_buffer(
            "anchors", torch.tensor([10.0, 13, 30, 61, 116, 90]).view(3, 1, 1, 1, 2).repeat(1, 3, 1, 1, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        answers = []
        for level, (data, head) in enumerate(zip(self.pyramid(image), self.heads, strict=True)):
            data = head(data)
            batch, _, height, width = data.shape
            data = (
                data.view(batch, 3, 5 + CLASSES, height, width).permute(0, 1, 3, 4, 2).contiguous().sigmoid()
            )
            y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            grid = torch.stack((x, y), 2).float() - 0.5
            centre = (data[..., 0:2] * 2 + grid) * 8 * 2**level
            size = (data[..., 2:4] * 2) ** 2 * self.anchors[level]
            answers.append(torch.cat((centre, size, data[..., 4:]), 4).view(batch, -1, 5 + CLASSES))
        return torch.cat(answers, 1)


class DistributionDetector(nn.Module):
    """No anchors; each side of a box is the mean of a distribution over 16 distances, as in YOLO v8."""

    BINS = 16

    def __init__(self) -> None:
        super().__init__()
        self.pyramid = Pyramid()
        self.boxes, self.classes = (
            nn.ModuleList(
                nn.Sequential(conv_norm_act(w, 24), nn.Conv2d(24, outputs, 1)) for w in self.pyramid.widths
            )
            for outputs in (4 * self.BINS, CLASSES)
        )
        self.register_buffer("bins", torch.arange(self.BINS, dtype=torch.float32).view(1, self.BINS, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        flat, centres, strides = [], [], []
        for level, data in enumerate(self.pyramid(image)):
            both = torch.cat((self.boxes[level](data), self.classes[level](data)), 1)
            flat.append(both.flatten(2))
            y, x = torch.meshgrid(
                torch.arange(data.shape[2]) + 0.5, torch.arange(data.shape[3]) + 0.5, indexing="ij"
            )
            centres.append(torch.stack((x, y)).view(2, -1))
            strides.append(torch.full((1, data.shape[2] * data.shape[3]), 8.0 * 2**level))
        boxes, classes = torch.cat(flat, 2).split((4 * self.BINS, CLASSES), 1)
        distances = boxes.view(boxes.shape[0], 4, self.BINS, -1).transpose(2, 1).softmax(1)
        left_top, right_bottom = functional.conv2d(distances, self.bins).squeeze(1).chunk(2, 1)
        centre, stride = torch.cat(centres, 1), torch.cat(strides, 1)
        first, last = centre - left_top, centre + right_bottom
        box = torch.cat(((first + last) / 2, last - first), 1) * stride
        return torch.cat((box, classes.sigmoid()), 1)


class SingleShot(nn.Module):
    """Maps of falling size with six boxes a cell, decoded from priors (Liu et al. 2016, arXiv:1512.02325)."""

    def __init__(self) -> None:
        super().__init__()
        relu6 = nn.ReLU6()
        self.base = nn.Sequential(
            *(
                layer
                for a, b in ((3, 16), (16, 32), (32, 64))
                for layer in (
                    conv_norm_act(a, a, stride=2, groups=a, act=relu6),
                    conv_norm_act(a, b, 1, act=relu6),
                )
            )
        )
        self.extra = nn.ModuleList(conv_norm_act(64, 64, stride=2, act=relu6) for _ in range(3))
        self.heads = nn.ModuleList(nn.Conv2d(64, 6 * (4 + CLASSES), 3, padding=1) for _ in range(4))
        cells = sum((SIDE // (8 * 2**i) + (1 if SIDE % (8 * 2**i) else 0)) ** 2 for i in range(4))
        self.register_buffer("priors", torch.rand(1, cells * 6, 4) * 0.5 + 0.25)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        maps = [self.base(image)]
        for stage in self.extra:
            maps.append(stage(maps[-1]))
        flat = [
            head(data).permute(0, 2, 3, 1).reshape(data.shape[0], -1, 4 + CLASSES)
            for head, data in zip(self.heads, maps, strict=True)
        ]
        joined = torch.cat(flat, 1)
        offset, scores = joined[..., :4], joined[..., 4:].softmax(-1)
        centre = offset[..., :2] * 0.1 * self.priors[..., 2:] + self.priors[..., :2]
        size = torch.exp(offset[..., 2:] * 0.2) * self.priors[..., 2:]
        return torch.cat((centre - size / 2, centre + size / 2), -1), scores


class SetDetector(nn.Module):
    """Learned queries that attend to the picture (Carion et al. 2020, arXiv:2005.12872), one layer each way."""

    def __init__(self, width: int = 64, queries: int = 10) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            conv_norm_act(3, 16, stride=4),
            conv_norm_act(16, 32, stride=2),
            conv_norm_act(32, width, stride=2),
        )
        self.position = nn.Parameter(torch.randn(1, (SIDE // 16) ** 2, width) * 0.1)
        self.queries = nn.Parameter(torch.randn(1, queries, width))
        self.encoder = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True)
        self.decoder = nn.TransformerDecoderLayer(
            width, 4, 2 * width, dropout=0.0, batch_first=True, activation="gelu"
        )
        self.scores, self.boxes = nn.Linear(width, CLASSES + 1), nn.Linear(width, 4)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        memory = self.encoder(self.backbone(image).flatten(2).transpose(1, 2) + self.position)
        answers = self.decoder(self.queries.expand(image.shape[0], -1, -1), memory)
        return self.scores(answers), self.boxes(answers).sigmoid()


STRUCTURES = {
    "yolo_v5_like": Structure(AnchorDetector, picture(SIDE), ("detections",)),
    "yolo_v8_like": Structure(DistributionDetector, picture(SIDE), ("detections",)),
    "ssd_like": Structure(SingleShot, picture(SIDE), ("boxes", "scores")),
    "detr_like": Structure(SetDetector, picture(SIDE), ("scores", "boxes")),
}
