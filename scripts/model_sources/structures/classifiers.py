"""Classifiers of pictures, from timm and torchvision; those with attention at small sizes."""

from collections.abc import Callable
from typing import Any

from torch import nn

from model_sources.structures.base import Structure, picture

_FULL_SIZE = (
    "mobilenetv1_100",
    "mobilenetv2_100",
    "mobilenetv3_large_100",
    "mobilenetv3_small_100",
    "efficientnet_lite0",
    "mnasnet_100",
    "resnet18",
    "resnet50",
    "ghostnet_100",
    "regnety_002",
)
_TORCHVISION = ("squeezenet1_1", "shufflenet_v2_x1_0")
_SMALL_SIDE = 96
_SMALLER: dict[str, dict[str, Any]] = {
    "densenet121": {"block_config": (3, 6, 6, 4)},
    "vit_tiny_patch16_224": {"img_size": _SMALL_SIDE, "depth": 4},
    "convnext_atto": {},
    "mobilevit_xxs": {},
    "edgenext_xx_small": {},
    "swin_tiny_patch4_window7_224": {
        "img_size": _SMALL_SIDE,
        "window_size": 3,
        "embed_dim": 48,
        "depths": (2, 2, 2, 2),
        "num_heads": (2, 4, 8, 16),
    },
}


def _timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import timm

        return timm.create_model(name, pretrained=False, **options)

    return build


def _mixer() -> nn.Module:
    """Perceptrons over patches and over channels in turn (Tolstikhin et al. 2021, arXiv:2105.01601)."""
    from timm.models.mlp_mixer import MlpMixer

    model = MlpMixer(img_size=_SMALL_SIDE, patch_size=16, num_blocks=3, embed_dim=96)
    nn.init.normal_(model.head.weight, std=0.1)  # as made it is zero, and so would all answers be
    return model


def _torchvision(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import torchvision.models

        return torchvision.models.get_model(name, weights=None)

    return build


STRUCTURES = {
    **{name: Structure(_timm(name), picture(), ("logits",)) for name in _FULL_SIZE},
    **{name: Structure(_torchvision(name), picture(), ("logits",)) for name in _TORCHVISION},
    **{
        name: Structure(_timm(name, **options), picture(_SMALL_SIDE), ("logits",))
        for name, options in _SMALLER.items()
    },
    "mlp_mixer": Structure(_mixer, picture(_SMALL_SIDE), ("logits",)),
}
