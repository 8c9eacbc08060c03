"""What only the maker of a model knows, out of a file: how sound, series or text become its inputs, and its state."""

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from edgewise import typed_json
from edgewise.anomaly_card import AnomalyCard
from edgewise.audio_card import AudioPreprocess
from edgewise.detection_card import DetectionCard
from edgewise.errors import CardError, EdgewiseError
from edgewise.feedback import check_feedback, guess_feedback
from edgewise.model_card import (
    ANOMALY_DETECTION,
    AUDIO_CLASSIFICATION,
    OBJECT_DETECTION,
    POSE_ESTIMATION,
    TEXT_EMBEDDING,
    TIME_SERIES_CLASSIFICATION,
    TensorCard,
)  # fmt: skip
from edgewise.model_file import read_model
from edgewise.pose_card import PoseCard
from edgewise.series_card import SeriesPreprocess
from edgewise.tensors import TensorSpec
from edgewise.text_card import TextPreprocess
from edgewise_converters.errors import ConversionError, SourceError
from edgewise_converters.readers.source import digest_of

AUTO_FEEDBACK = {"auto": ""}
"""Asks for the pairs that names or shapes tell."""
_MOST_BYTES = 8 << 20


@dataclass(frozen=True)
class InputDescription:
    """How one input is made."""

    audio: AudioPreprocess | None = None
    series: SeriesPreprocess | None = None


@dataclass(frozen=True)
class Description:
    """The parts of a card that no model file says; ``audio`` and ``series`` are the only input's."""

    inputs: dict[str, InputDescription] = field(default_factory=dict)
    """By name of input."""
    audio: AudioPreprocess | None = None
    series: SeriesPreprocess | None = None
    text: TextPreprocess | None = None
    anomaly: AnomalyCard | None = None
    detection: DetectionCard | None = None
    pose: PoseCard | None = None
    feedback: dict[str, str] = field(default_factory=dict)
    """Output name to the name of the input that takes it in the next call."""

    @property
    def task(self) -> str | None:
        """What the parts tell, the most telling first; None where they say nothing."""
        entries = self.inputs.values()
        parts = {
            ANOMALY_DETECTION: self.anomaly,
            OBJECT_DETECTION: self.detection,
            POSE_ESTIMATION: self.pose,
            TEXT_EMBEDDING: self.text,
            AUDIO_CLASSIFICATION: self.audio or any(entry.audio for entry in entries),
            TIME_SERIES_CLASSIFICATION: self.series or any(entry.series for entry in entries),
        }
        return next((task for task, part in parts.items() if part), None)

    def with_inputs(self, cards: Sequence[TensorCard]) -> tuple[TensorCard, ...]:
        """The cards of a model's inputs with what is said of them. Raises ConversionError for what does not fit."""
        names = [card.name for card in cards]
        described = dict(self.inputs)
        if self.audio or self.series:
            if len(cards) != 1:
                raise ConversionError(
                    f"--describe: got [audio] or [series] for {len(cards)} inputs, expected "
                    f"[inputs.NAME.audio] or [inputs.NAME.series], NAME one of {', '.join(names)}"
                )
            described.setdefault(names[0], InputDescription(self.audio, self.series))
        for name in described:
            if name not in names:
                raise ConversionError(f"--describe: got input '{name}', expected one of {', '.join(names)}")
        return tuple(_described(card, described.get(card.name)) for card in cards)


def read_description(path: Path | None) -> Description:
    """Of a TOML or JSON file; of no file, one that says nothing. Raises ConversionError for what is wrong in it."""
    if path is None:
        return Description()
    where = f"--describe {path}"
    value = _parsed(path, where)
    _refuse_unknown(Description, value, where)
    try:
        description: Description = typed_json.from_value(Description, value, where=where)
    except CardError as error:
        raise ConversionError(str(error) if where in str(error) else f"{where}: {error}") from error
    return _with_digest(description, path)


def description_in(source: Path) -> Description:
    """What the card of a model that is converted says, where it has one that can be read."""
    try:
        card = read_model(source).card
    except (
        EdgewiseError,
        OSError,
    ):  # a .pt2, a card of a later version: what is wrong in the model its reader says
        return Description()
    if card is None:
        return Description()
    inputs = {t.name: InputDescription(t.audio, t.series) for t in card.inputs if t.audio or t.series}
    parts = card.text, card.anomaly, card.detection, card.pose
    return Description(inputs, None, None, *parts, feedback=dict(card.feedback))


def feedback_of(
    asked: Mapping[str, str], inputs: Sequence[TensorCard], outputs: Sequence[TensorCard]
) -> dict[str, str]:
    """The pairs that were asked for, or that the names tell. Raises ConversionError where they do not fit."""
    if not asked:
        return {}
    given, made = _specs(inputs), _specs(outputs)
    try:
        if asked == AUTO_FEEDBACK:
            return guess_feedback(given, made, where="--feedback auto")
        check_feedback(asked, given, made)
    except (CardError, ValueError) as error:
        text, advised, _ = str(error).partition(": say it")  # the SDK's advice is for apps
        raise ConversionError(
            text + (f"{advised}, as in --feedback OUTPUT=INPUT" if advised else "")
        ) from error
    return dict(asked)


def _specs(cards: Sequence[TensorCard]) -> list[TensorSpec]:
    return [TensorSpec(card.name, card.shape, card.dtype) for card in cards]


def _parsed(path: Path, where: str) -> dict[str, Any]:
    try:
        if path.exists() and not path.is_file():
            raise ConversionError(f"{where}: this is no file, expected a TOML or JSON file")
        if path.stat().st_size > _MOST_BYTES:
            raise ConversionError(f"{where}: larger than {_MOST_BYTES >> 20} MB, expected a small text file")
        text = path.read_text(encoding="utf-8")
        value = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConversionError(f"{where}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError
        kind = "JSON" if path.suffix == ".json" else "TOML (or JSON in a file named .json)"
        raise ConversionError(f"{where}: expected {kind}: {error}") from error
    if not isinstance(value, dict):
        raise ConversionError(f"{where}: got a {type(value).__name__}, expected tables such as [audio]")
    if not value:
        raise ConversionError(f"{where}: it says nothing, expected tables such as [audio]")
    return value


def _refuse_unknown(kind: Any, value: Any, where: str) -> None:
    """A card may hold keys of later versions; a file that is written by hand may hold typing errors."""
    if get_origin(kind) in (Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is dict and isinstance(value, dict):
        for name, item in value.items():
            _refuse_unknown(get_args(kind)[1], item, f"{where}: {name}")
    if not is_dataclass(kind) or not isinstance(value, dict):
        return
    hints = get_type_hints(kind)
    names = [each.name for each in fields(kind)]
    for name, item in value.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            wanted = f"'{near[0]}'" if near else f"one of {', '.join(names)}"
            raise ConversionError(f"{where}: got '{name}', expected {wanted}")
        _refuse_unknown(hints[name], item, f"{where}: {name}")


def _with_digest(description: Description, path: Path) -> Description:
    """With the tokenizer's digest, where its file lies beside the description: other tokens mean other words."""
    text = description.text
    if text is None or text.sha256:
        return description
    tokenizer = path.parent / text.tokenizer
    try:
        return replace(description, text=replace(text, sha256=digest_of(tokenizer)))
    except SourceError as error:
        raise ConversionError(
            f"--describe {path}: text tokenizer: {error}; put it beside this file"
        ) from error


def _described(card: TensorCard, said: InputDescription | None) -> TensorCard:
    if said is None:
        return card
    shape = tuple(size for size in card.shape if size != 1)
    if said.series and said.series.shape != card.shape:
        raise ConversionError(
            f"--describe: series make {list(said.series.shape)}, the model's input '{card.name}' is "
            f"{list(card.shape)}: window, channels and layout must fit it"
        )
    if said.audio and not (len(shape) == 2 and said.audio.width in shape):
        raise ConversionError(
            f"--describe: audio makes rows of {said.audio.width}, the model's input '{card.name}' is "
            f"{list(card.shape)}: coefficients (or mels) must be one of its sizes"
        )
    return replace(card, audio=said.audio, series=said.series)
