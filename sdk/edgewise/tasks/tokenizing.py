"""The tokenizers library: from text to token ids by a tokenizer.json (`pip install 'edgewise[text]'`)."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise.errors import BackendUnavailable, CardError, InvalidInput

FILE_LIMIT_BYTES = 64 << 20
"""Four times the largest of the multilingual models' (XLM-RoBERTa: 17 MB)."""


@dataclass(frozen=True)
class Tokens:
    """One text: three rows of one length."""

    ids: list[int]
    mask: list[int]
    """1 for a token, 0 for padding."""
    types: list[int]


class TextTokenizer:
    """A tokenizer of one file. ``length`` is how many tokens the model takes, None for any number."""

    def __init__(self, path: Path, *, length: int | None, max_tokens: int = 0, sha256: str = "") -> None:
        """Raises BackendUnavailable where the library is missing, and CardError for a file that is none."""
        try:
            import tokenizers
        except ImportError as error:
            raise BackendUnavailable(
                "text needs the tokenizers library, which is not installed here: pip install 'edgewise[text]'"
            ) from error
        text = _read(path, sha256)
        try:
            inner = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises bare Exception
            raise CardError(f"{path}: not a tokenizer.json: {error}") from error
        stated = int((inner.truncation or {}).get("max_length", 0))
        limits = [size for size in (stated, max_tokens, length) if size]
        if limits:
            self._truncate(inner, path, min(limits))
        padding = dict(inner.padding or {})
        inner.no_padding()
        if length:
            inner.enable_padding(
                length=length,
                direction=padding.get("direction", "right"),
                pad_id=padding.get("pad_id", _pad_id(inner)),
                pad_type_id=padding.get("pad_type_id", 0),
                pad_token=padding.get("pad_token", "[PAD]"),
            )
        self._inner: Any = inner

    @staticmethod
    def _truncate(inner: Any, path: Path, size: int) -> None:
        direction = (inner.truncation or {}).get("direction", "right")
        try:
            inner.enable_truncation(size, direction=direction)
        except Exception as error:  # see above
            raise CardError(
                f"{path}: cannot cut text to {size} tokens: {error}; give more max_tokens"
            ) from error

    @property
    def vocabulary_size(self) -> int:
        """How many ids there are, added tokens included."""
        return int(self._inner.get_vocab_size())

    def encode(self, text: str) -> Tokens:
        """Raises InvalidInput for what is no text, or gives no token."""
        if not isinstance(text, str):
            raise InvalidInput(f"text: got {type(text).__name__}, expected a string")
        try:
            found = self._inner.encode(text)
        except Exception as error:  # lone surrogates, and what a file's own rules refuse
            raise InvalidInput(f"text: it cannot be cut into tokens: {error}") from error
        if not any(found.attention_mask):
            raise InvalidInput(f"text: got {text!r:.60}, which gives no token, expected some words")
        return Tokens(found.ids, found.attention_mask, found.type_ids)


def _pad_id(inner: Any) -> int:
    for name in ("[PAD]", "<pad>"):
        found = inner.token_to_id(name)
        if found is not None:
            return int(found)
    return 0


def _read(path: Path, sha256: str) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(FILE_LIMIT_BYTES + 1)
    except OSError as error:
        raise CardError(
            f"{path}: {error.strerror or error}; put the tokenizer.json of the model there, or give load() tokenizer="
        ) from error
    if len(data) > FILE_LIMIT_BYTES:
        raise CardError(
            f"{path}: got more than {FILE_LIMIT_BYTES} bytes, expected a tokenizer.json of at most so many"
        )
    digest = hashlib.sha256(data).hexdigest()
    if sha256 and digest != sha256:
        raise CardError(
            f"{path}: its SHA-256 is {digest}, the card says {sha256}: another tokenizer; get it again"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise CardError(f"{path}: not a tokenizer.json: {error}") from error
