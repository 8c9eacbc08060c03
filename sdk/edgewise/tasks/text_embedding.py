"""A text as a direction: texts of like meaning have embeddings of high cosine."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewise.errors import CardError, InvalidInput
from edgewise.tasks.embedding import Embedding, unit
from edgewise.tasks.timings import Stopwatch
from edgewise.tasks.tokenizing import TextTokenizer, Tokens
from edgewise.tensors import Array, TensorSpec
from edgewise.text_card import MAX_TOKENS, TextPreprocess

if TYPE_CHECKING:
    from edgewise.opened import OpenedModel

_KINDS = {"mask": ("mask",), "types": ("type", "segment"), "ids": ("ids", "tokens", "input")}
"""What an input's name holds, in this order: BERT's are input_ids, attention_mask and token_type_ids; TensorFlow
Hub's input_word_ids, input_mask and input_type_ids."""


@dataclass(frozen=True)
class TextReading:
    """One text at a time."""

    spec: TextPreprocess
    tokenizer: TextTokenizer
    inputs: dict[str, TensorSpec]
    """By kind: ids, mask, types."""
    output: TensorSpec
    guessed_task: str = ""

    def predict(
        self, opened: "OpenedModel", given: Any, *, top: int | None, rate_hz: int | None
    ) -> Embedding:
        """``given`` is a string."""
        watch = Stopwatch()
        if not isinstance(given, str):
            raise InvalidInput(f"text: got {type(given).__name__}, expected a string")
        tokens = self.tokenizer.encode(self.spec.prefix + given)
        rows = {"ids": tokens.ids, "mask": tokens.mask, "types": tokens.types}
        arrays = {spec.name: np.array([rows[kind]], spec.dtype) for kind, spec in self.inputs.items()}
        watch.lap()
        outputs = opened.run(arrays)
        watch.lap()
        real = self.output.dequantized(outputs[self.output.name])
        return Embedding(unit(self._pooled(real, tokens), f"output '{self.output.name}'"), watch.timings())

    def _pooled(self, real: Array, tokens: Tokens) -> Array:
        """[d]. Mean: Reimers and Gurevych, "Sentence-BERT", EMNLP 2019, section 3."""
        if self.spec.pooling == "pooled":
            return real.reshape(-1)
        if real.shape[1] != len(tokens.ids):
            raise CardError(
                f"output '{self.output.name}': got {real.shape[1]} vectors for {len(tokens.ids)} tokens"
            )
        if self.spec.pooling == "cls":
            return np.asarray(real[0, 0])
        weights = np.array(tokens.mask, np.float64)
        return np.asarray(weights @ real[0].astype(np.float64) / weights.sum())


def open_text(opened: "OpenedModel", spec: TextPreprocess | None, tokenizer: Path | None) -> TextReading:
    """Raises CardError where the file says too little, or its inputs are no text's."""
    card = opened.file.card
    stated = spec or (card.text if card else None)
    if stated is None:
        raise CardError(
            "the file does not say how text becomes its input; give load() preprocess=TextPreprocess(pooling=...), "
            "or use run()"
        )
    inputs = _inputs(opened.inputs)
    length = inputs["ids"].shape[1]
    if length > MAX_TOKENS:
        raise CardError(f"input '{inputs['ids'].name}': got {length} tokens, expected at most {MAX_TOKENS}")
    path = tokenizer or opened.file.path.with_name(stated.tokenizer)
    made = TextTokenizer(
        path, length=length if length > 0 else None, max_tokens=stated.max_tokens, sha256=stated.sha256
    )
    return TextReading(stated, made, inputs, _output(opened.outputs, stated))


def _inputs(specs: tuple[TensorSpec, ...]) -> dict[str, TensorSpec]:
    found: dict[str, TensorSpec] = {}
    for spec in specs:
        name = spec.name.lower()
        kind = next((kind for kind, words in _KINDS.items() if any(word in name for word in words)), "")
        fits = len(spec.shape) == 2 and spec.shape[0] in (1, -1) and spec.dtype in ("int32", "int64")
        if not kind or kind in found or not fits:
            raise CardError(
                f"input '{spec.name}' {spec.dtype}{list(spec.shape)}: expected input_ids, attention_mask and "
                "token_type_ids, int32 or int64 [1, tokens]; use run()"
            )
        found[kind] = spec
    if "ids" not in found:
        raise CardError(f"got inputs {', '.join(found) or 'none'}, expected one of token ids; use run()")
    if len({spec.shape[1] for spec in found.values()}) > 1:
        raise CardError("got inputs of several lengths, expected one for all; use run()")
    return found


def _output(specs: tuple[TensorSpec, ...], stated: TextPreprocess) -> TensorSpec:
    rank = 2 if stated.pooling == "pooled" else 3
    fitting = [
        spec
        for spec in specs
        if len(spec.shape) == rank and spec.shape[0] in (1, -1) and stated.output in ("", spec.name)
    ]
    if len(fitting) != 1:
        names = ", ".join(f"'{spec.name}' {list(spec.shape)}" for spec in specs)
        wanted = f"'{stated.output}'" if stated.output else "one"
        shape = "[1, d]" if rank == 2 else "[1, tokens, d]"
        raise CardError(
            f"text pooling {stated.pooling!r}: got outputs {names}, expected {wanted} of {shape}; "
            "the card's output or pooling must say which"
        )
    return fitting[0]
