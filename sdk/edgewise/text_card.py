"""How text becomes a model's input, and the vectors of its tokens one."""

from dataclasses import dataclass

from edgewise.errors import CardError

POOLINGS = ("mean", "cls", "pooled")
MAX_TOKENS = 1 << 15
"""More than any sentence encoder takes; attention over as many would take gigabytes."""


@dataclass(frozen=True, kw_only=True)
class TextPreprocess:
    """From text to token ids by a Hugging Face ``tokenizer.json``, and from tokens to one vector."""

    tokenizer: str = "tokenizer.json"
    """A file's name; it lies beside the model."""
    sha256: str = ""
    """The digest that it must have, where the card says one: ids of another tokenizer mean other words."""
    pooling: str = "mean"
    """mean: of the tokens that are no padding. cls: the first token. pooled: the model's own output of one vector."""
    output: str = ""
    """The name of the output that is read; "" for the only one of the pooling's rank."""
    max_tokens: int = 0
    """Longer text is cut; 0 for what the tokenizer's file says."""
    prefix: str = ""
    """Put before every text, as some models were trained: "query: "."""

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            names = ", ".join(map(repr, POOLINGS))
            raise CardError(f"text pooling: got {self.pooling!r}, expected one of {names}")
        if not self.tokenizer or self.tokenizer in (".", "..") or set(self.tokenizer) & set("/\\\0"):
            raise CardError(
                f"text tokenizer: got {self.tokenizer!r:.80}, expected the name of a file beside the model"
            )
        if not 0 <= self.max_tokens <= MAX_TOKENS:
            raise CardError(f"text max_tokens: got {self.max_tokens}, expected 0 to {MAX_TOKENS}")
        if self.sha256 and (len(self.sha256) != 64 or not set(self.sha256) <= set("0123456789abcdef")):
            raise CardError(
                f"text sha256: got {self.sha256!r:.80}, expected 64 hexadecimal digits in lower case"
            )
