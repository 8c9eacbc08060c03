"""Pictures in, pictures out: segmentation, reconstruction, super-resolution, generation."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_sources.structures.base import Structure, conv_norm_act, picture


class UNet(nn.Module):
    """Ronneberger et al. 2015, arXiv:1505.04597, with half the levels: skips, bilinear and transposed upsampling."""

    def __init__(self, width: int = 16, classes: int = 5) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.down = nn.ModuleList(self._block(a, b) for a, b in zip([3, *widths], widths, strict=False))
        self.grow = nn.ConvTranspose2d(widths[3], widths[2], 2, 2)
        self.up = nn.ModuleList(
            [
                self._block(widths[2] * 2, widths[2]),
                self._block(widths[2] + widths[1], widths[1]),
                self._block(widths[1] + widths[0], widths[0]),
            ]
        )
        self.head = nn.Conv2d(width, classes, 1)

    @staticmethod
    def _block(inputs: int, outputs: int) -> nn.Sequential:
        relu = nn.ReLU()
        return nn.Sequential(
            conv_norm_act(inputs, outputs, act=relu), conv_norm_act(outputs, outputs, act=relu)
        )

    def forward(self, image: Tensor) -> Tensor:
        skips, data = [], image
        for block in self.down:
            data = block(data if not skips else functional.max_pool2d(data, 2))
            skips.append(data)
        data = self.up[0](torch.cat([self.grow(data), skips[2]], 1))
        for block, skip in zip(self.up[1:], (skips[1], skips[0]), strict=True):
            data = functional.interpolate(data, scale_factor=2, mode="bilinear", align_corners=True)
            data = block(torch.cat([data, skip], 1))
        return self.head(data)


class DilatedSegmenter(nn.Module):
    """Dilated convolutions side by side and the mean of the picture, as in DeepLab v3 (arXiv:1706.05587)."""

    def __init__(self, width: int = 24, classes: int = 6) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_norm_act(3, width, stride=2), conv_norm_act(width, width, stride=2, groups=width),
            conv_norm_act(width, 2 * width, stride=2),
        )  # fmt: skip
        self.branches = nn.ModuleList(
            nn.Conv2d(2 * width, width, 3, padding=rate, dilation=rate) for rate in (1, 2, 4)
        )
        self.context = nn.Conv2d(2 * width, width, 1)
        self.head = nn.Conv2d(4 * width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        data = self.stem(image)
        context = self.context(functional.adaptive_avg_pool2d(data, 1))
        context = functional.interpolate(context, size=data.shape[2:], mode="nearest")
        data = functional.relu(torch.cat([*(branch(data) for branch in self.branches), context], 1))
        logits = functional.interpolate(self.head(data), scale_factor=8, mode="bilinear", align_corners=False)
        return logits.softmax(1)


class Autoencoder(nn.Module):
    """Convolutions down to a vector of 32 numbers and transposed ones up again."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten(),
            nn.Linear(32 * 7 * 7, 32),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(32, 32 * 7 * 7), nn.ReLU(), nn.Unflatten(1, (32, 7, 7)),
            nn.ConvTranspose2d(32, 16, 3, 2, 1, output_padding=1), nn.ReLU(),
            nn.ConvTranspose2d(16, 1, 3, 2, 1, output_padding=1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(image)
        return self.decoder(code), code


class SuperResolution(nn.Module):
    """Sub-pixel convolution (Shi et al. 2016, arXiv:1609.05158) over residual blocks, beside a bicubic skip."""

    def __init__(self, width: int = 32, factor: int = 2) -> None:
        super().__init__()
        self.factor = factor
        self.head = nn.Conv2d(3, width, 5, padding=2)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width), nn.Conv2d(width, width, 3, padding=1)
            )
            for _ in range(3)
        )
        self.tail = nn.Sequential(nn.Conv2d(width, 3 * factor**2, 3, padding=1), nn.PixelShuffle(factor))

    def forward(self, image: Tensor) -> Tensor:
        data = self.head(image)
        for block in self.blocks:
            data = data + 0.2 * block(data)
        skip = functional.interpolate(image, scale_factor=self.factor, mode="bicubic", align_corners=False)
        return torch.clamp(self.tail(data) + skip, -3.0, 3.0)


class Generator(nn.Module):
    """Transposed convolutions from noise to a picture (Radford et al. 2015, arXiv:1511.06434)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ConvTranspose2d(64, 8 * width, 4, bias=False)]
        for scale in (8, 4, 2):
            layers += [nn.BatchNorm2d(scale * width), nn.LeakyReLU(0.2)]
            layers += [nn.ConvTranspose2d(scale * width, scale * width // 2, 4, 2, 1, bias=False)]
        self.layers = nn.Sequential(
            *layers, nn.BatchNorm2d(width), nn.ReLU(), nn.ConvTranspose2d(width, 3, 4, 2, 1)
        )

    def forward(self, noise: Tensor) -> Tensor:
        return torch.tanh(self.layers(noise[:, :, None, None]))


class StyleTransfer(nn.Module):
    """Reflected borders, instance normalization, nearest upsampling (Johnson et al. 2016, arXiv:1603.08155)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *self._layer(3, width, 9), *self._layer(width, 2 * width, 3, 2), *self._layer(2 * width, 2 * width, 3),
            nn.Upsample(scale_factor=2, mode="nearest"), *self._layer(2 * width, width, 3),
            nn.ReflectionPad2d(4), nn.Conv2d(width, 3, 9),
        )  # fmt: skip

    @staticmethod
    def _layer(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
        norm = nn.InstanceNorm2d(outputs, affine=True)
        return [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inputs, outputs, kernel, stride), norm, nn.ReLU()]

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


def _noise() -> dict[str, Tensor]:
    return {"noise": torch.randn(1, 64)}


STRUCTURES = {
    "unet": Structure(UNet, picture(64), ("logits",)),
    "dilated_segmenter": Structure(DilatedSegmenter, picture(96), ("classes",)),
    "autoencoder": Structure(Autoencoder, picture(28, channels=1), ("reconstruction", "code")),
    "super_resolution": Structure(SuperResolution, picture(48), ("enlarged",)),
    "generator": Structure(Generator, _noise, ("image",)),
    "style_transfer": Structure(StyleTransfer, picture(64), ("styled",)),
}
