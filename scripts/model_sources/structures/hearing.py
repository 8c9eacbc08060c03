"""Sound: keyword spotting, a conformer, and the encoders of wav2vec 2 and Whisper."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_sources.structures.base import Structure, conv_norm_act


class KeywordSpotter(nn.Module):
    """Depthwise separable convolutions over a spectrogram (Zhang et al. 2017, arXiv:1711.07128, DS-CNN)."""

    def __init__(self, width: int = 48, words: int = 12) -> None:
        super().__init__()
        relu = nn.ReLU()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, (10, 4), (2, 2), (5, 1), bias=False), nn.BatchNorm2d(width), relu
        )
        self.blocks = nn.Sequential(
            *(
                layer
                for _ in range(4)
                for layer in (
                    conv_norm_act(width, width, groups=width, act=relu),
                    conv_norm_act(width, width, 1, act=relu),
                )
            )
        )
        self.head = nn.Linear(width, words)

    def forward(self, spectrogram: Tensor) -> Tensor:
        data = self.blocks(self.stem(spectrogram))
        return self.head(data.mean((2, 3))).softmax(1)


class ConformerBlock(nn.Module):
    """Half a feed-forward, attention, a gated depthwise convolution, half a feed-forward (arXiv:2005.08100)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.before, self.after = self._feed_forward(width), self._feed_forward(width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.widen, self.narrow = nn.Conv1d(width, 2 * width, 1), nn.Conv1d(width, width, 1)
        self.depthwise = nn.Conv1d(width, width, 15, padding=7, groups=width)
        self.norm = nn.BatchNorm1d(width)

    @staticmethod
    def _feed_forward(width: int) -> nn.Sequential:
        return nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width)
        )

    def forward(self, data: Tensor) -> Tensor:
        data = data + 0.5 * self.before(data)
        normed = self.norms[0](data)
        data = data + self.attention(normed, normed, normed, need_weights=False)[0]
        inner = functional.glu(self.widen(self.norms[1](data).transpose(1, 2)), dim=1)
        inner = self.narrow(functional.silu(self.norm(self.depthwise(inner))))
        data = data + inner.transpose(1, 2)
        return self.norms[2](data + 0.5 * self.after(data))


class Conformer(nn.Module):
    """Subsampling by convolutions, two blocks, characters."""

    def __init__(self, width: int = 64, bands: int = 40, characters: int = 32) -> None:
        super().__init__()
        self.subsample = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()
        )
        self.project = nn.Linear(8 * bands // 4, width)
        self.blocks = nn.Sequential(ConformerBlock(width, 4), ConformerBlock(width, 4))
        self.head = nn.Linear(width, characters)

    def forward(self, features: Tensor) -> Tensor:
        data = self.subsample(features[:, None]).transpose(1, 2).flatten(2)
        return self.head(self.blocks(self.project(data))).log_softmax(-1)


class Wav2Vec2(nn.Module):
    """Transformers' wav2vec 2: strided 1-D convolutions over samples, then attention."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        options: dict[str, Any] = {
            "conv_dim": (32, 32, 32),
            "conv_kernel": (10, 3, 2),
            "conv_stride": (5, 2, 2),
        }
        config = Wav2Vec2Config(
            hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
            num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, apply_spec_augment=False, **options,
        )  # fmt: skip
        self.model = Wav2Vec2Model(config)

    def forward(self, samples: Tensor) -> Tensor:
        return self.model(samples, return_dict=False)[0]


class WhisperEncoder(nn.Module):
    """Transformers' Whisper encoder: two 1-D convolutions over a spectrogram, sinusoids, attention."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import WhisperConfig
        from transformers.models.whisper.modeling_whisper import WhisperEncoder as Encoder

        config = WhisperConfig(
            d_model=64, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=128, num_mel_bins=40,
            max_source_positions=50,
        )  # fmt: skip
        self.model = Encoder(config)

    def forward(self, spectrogram: Tensor) -> Tensor:
        return self.model(spectrogram, return_dict=False)[0]


STRUCTURES = {
    "ds_cnn": Structure(KeywordSpotter, lambda: {"spectrogram": torch.randn(1, 1, 49, 10)}, ("words",)),
    "conformer_like": Structure(Conformer, lambda: {"features": torch.randn(1, 64, 40)}, ("characters",)),
    "wav2vec2": Structure(Wav2Vec2, lambda: {"samples": torch.randn(1, 1600)}, ("features",)),
    "whisper_encoder": Structure(
        WhisperEncoder, lambda: {"spectrogram": torch.randn(1, 40, 100)}, ("features",)
    ),
}
