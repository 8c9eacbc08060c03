"""What expressions may speak of: the variables and functions, for which answers each has a meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgewise import model_card

Kind: TypeAlias = Literal["number", "text", "truth", "boxes", "function"]

KINDS = {
    model_card.IMAGE_CLASSIFICATION: "classification",
    model_card.AUDIO_CLASSIFICATION: "classification",
    model_card.TIME_SERIES_CLASSIFICATION: "classification",
    model_card.OBJECT_DETECTION: "detections",
    model_card.IMAGE_SEGMENTATION: "segmentation",
    model_card.POSE_ESTIMATION: "poses",
    model_card.IMAGE_EMBEDDING: "embedding",
    model_card.TEXT_EMBEDDING: "embedding",
    model_card.ANOMALY_DETECTION: "anomaly",
    model_card.TENSORS: "tensors",
}
"""Of a model's task the kind of its answers."""

ANY = frozenset(
    (
        "classification",
        "detections",
        "segmentation",
        "poses",
        "text",
        "keyword",
        "voice",
        "match",
        "embedding",
    )
    + ("anomaly", "tensors")
)
LABELLED = frozenset({"classification", "detections", "segmentation", "poses", "keyword", "match"})
PLACED = frozenset({"detections", "poses"})


@dataclass(frozen=True)
class Word:
    """One variable or function."""

    name: str
    kind: Kind
    meaning: str
    of: frozenset[str] = ANY
    """The kinds of answers it has a meaning for."""
    arguments: tuple[Kind, ...] = ()
    """Of a function."""
    optional: int = 0
    """How many of the last arguments may be left out."""


WORDS: tuple[Word, ...] = (
    Word("label", "text", "the best label; `#3` where the model has no label for class 3", LABELLED),
    Word(
        "score",
        "number",
        "the best score; for anomalies how far from normal",
        ANY - {"voice", "embedding", "tensors"},
    ),
    Word("margin", "number", "the best score less the second one", LABELLED - {"keyword", "match"}),
    Word("total", "number", "how many objects, bodies, lines, categories or outputs the answer has"),
    Word("text", "text", "what was read, a line each", frozenset({"text"})),
    Word("threshold", "number", "of the anomaly, 0 where none is set", frozenset({"anomaly"})),
    Word("is_anomalous", "truth", "whether the score is above the threshold", frozenset({"anomaly"})),
    Word("top_channel", "text", "the channel that adds most to the anomaly", frozenset({"anomaly"})),
    Word("is_speech", "truth", "whether this is a stretch of speech", frozenset({"voice"})),
    Word("duration_s", "number", "how long the speech was", frozenset({"voice"})),
    Word(
        "boxes",
        "boxes",
        "each object: `.label`, `.score`, `.x` (middle), `.y` (lower edge), `.width`, `.height`, `.area`",
        PLACED,
    ),
    Word("count", "function", "`count(label)`: how many there are", LABELLED, ("text",)),
    Word(
        "score_of",
        "function",
        "`score_of(label)`: its best score, 0 when it is not there",
        LABELLED,
        ("text",),
    ),
    Word(
        "share",
        "function",
        "`share(label)`: which share of the picture it covers, at most 1",
        PLACED | {"segmentation"},
        ("text",),
    ),
    Word(
        "output",
        "function",
        "`output(name)`: the first number of an output",
        frozenset({"tensors"}),
        ("text",),
    ),
    Word(
        "in_zone",
        "function",
        "`in_zone(zone, label)`: how many stand in a zone, of one label or of all",
        PLACED,
        ("text", "text"),
        1,
    ),
    Word(
        "stay_s",
        "function",
        "`stay_s(zone, label)`: how long the object has been in a zone that has been there longest",
        PLACED,
        ("text", "text"),
        1,
    ),
    Word(
        "crossed",
        "function",
        '`crossed(line, to, label)`: how many crossed a line with this input, to "left", "right" or "either" side',
        PLACED,
        ("text", "text", "text"),
        2,
    ),
)


@dataclass(frozen=True)
class Vocabulary:
    """The words of one rule: the common ones and the names of its windows."""

    words: Mapping[str, Word]

    def with_windows(self, kinds: Mapping[str, Kind]) -> "Vocabulary":
        """The same words and these."""
        more = {name: Word(name, kind, "a window's") for name, kind in kinds.items()}
        return Vocabulary({**self.words, **more})

    def known(self) -> str:
        """For a message: what there is."""
        return ", ".join(
            f"{word.name}()" if word.kind == "function" else word.name for word in self.words.values()
        )


COMMON = Vocabulary({word.name: word for word in WORDS})
