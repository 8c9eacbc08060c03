"""Transformers over token ids, and SegFormer; all from the transformers package, with small configurations."""

import torch
from torch import Tensor, nn

from model_sources.structures.base import Structure, picture

TOKENS, VOCABULARY = 16, 300


class Bert(nn.Module):
    """Token ids and a mask to the states of all tokens and of the first."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        config = BertConfig(
            vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
            max_position_embeddings=64,
        )  # fmt: skip
        self.model = BertModel(config)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        states, pooled = self.model(input_ids, attention_mask=attention_mask, return_dict=False)[:2]
        return states, pooled


class Gpt2(nn.Module):
    """Causal: token ids to the scores of the next token at every place."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel

        config = GPT2Config(vocab_size=VOCABULARY, n_positions=64, n_embd=64, n_layer=2, n_head=4)
        self.model = GPT2LMHeadModel(config)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.model(input_ids, use_cache=False, return_dict=False)[0]


class Llama(nn.Module):
    """Rotary embeddings, RMS normalization, gated feed-forward, two key heads for four query heads."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=64,
        )  # fmt: skip
        self.model = LlamaForCausalLM(config)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.model(input_ids, use_cache=False, return_dict=False)[0]


class T5Encoder(nn.Module):
    """Relative position buckets and RMS normalization."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import T5Config, T5EncoderModel

        config = T5Config(
            vocab_size=VOCABULARY, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4,
            feed_forward_proj="gated-gelu",
        )  # fmt: skip
        self.model = T5EncoderModel(config)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.model(input_ids, return_dict=False)[0]


class SegFormer(nn.Module):
    """Attention over shortened keys at four resolutions (Xie et al. 2021, arXiv:2105.15203)."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import SegformerConfig, SegformerForSemanticSegmentation

        config = SegformerConfig(
            hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 3, 4],
            decoder_hidden_size=48, num_labels=6,
        )  # fmt: skip
        self.model = SegformerForSemanticSegmentation(config)

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image, return_dict=False)[0]


def _tokens() -> dict[str, Tensor]:
    return {"input_ids": torch.randint(0, VOCABULARY, (1, TOKENS))}


def _masked_tokens() -> dict[str, Tensor]:
    return _tokens() | {"attention_mask": torch.ones(1, TOKENS, dtype=torch.int64)}


STRUCTURES = {
    "bert_like": Structure(Bert, _masked_tokens, ("states", "pooled")),
    "gpt2_like": Structure(Gpt2, _tokens, ("scores",)),
    "llama_like": Structure(Llama, _tokens, ("scores",)),
    "t5_encoder": Structure(T5Encoder, _tokens, ("states",)),
    "segformer": Structure(SegFormer, picture(64), ("logits",)),
}
