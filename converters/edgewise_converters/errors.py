"""Why a conversion can fail, by what the caller can do about it.

ConversionError (EdgewiseError)
├── SourceError (ValueError)          the model to convert is missing, broken, or needs a hint (a shape)
├── UnsupportedOperator (ValueError)  an operator, or one of its modes, that TFLite or we cannot express
├── InvalidSamples (ValueError)       the calibration samples are missing or do not fit the model
├── UnknownTarget (ValueError)        no such target; the nearest names are suggested
├── EngineError (RuntimeError)        the second converter is not there, cannot be installed, or failed
├── RuntimeMissing (RuntimeError)     a runtime that the target needs for verification is not installed here
└── VerificationFailed (RuntimeError) the written file does not answer as the original does; it was not kept
"""

from edgewise.errors import EdgewiseError


class ConversionError(EdgewiseError):
    """Base of everything the converter raises on purpose; its text is one line, whatever names a model has."""

    def __init__(self, text: str) -> None:
        super().__init__(_one_line(text))


def _one_line(text: str) -> str:
    """Line breaks and other control characters as Python writes them: names of nodes and values may hold any."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class SourceError(ConversionError, ValueError):
    """The model to convert is missing, broken, or needs a hint."""


class UnsupportedOperator(ConversionError, ValueError):
    """An operator that has no lowering, named together with its node and the way out."""

    def __init__(self, op_type: str, node: str, why: str) -> None:
        self.summary = f"operator {op_type} (node '{node}') cannot be lowered to TFLite: {why}"
        """Without the way out."""
        super().__init__(
            f"{self.summary}. Replace it before exporting the model, or report it with the node's attributes."
        )

    def but(self, text: str) -> "UnsupportedOperator":
        """The same refusal with another sentence at its end: a further way out, or why that one failed too."""
        twin = UnsupportedOperator("", "", "")
        twin.summary, twin.args = self.summary, (_one_line(f"{self} {text}"),)
        return twin


class InvalidSamples(ConversionError, ValueError):
    """The calibration samples are missing or do not fit the model."""


class UnknownTarget(ConversionError, ValueError):
    """No such target."""


class EngineError(ConversionError, RuntimeError):
    """The second converter is not there, cannot be installed, or failed."""


class RuntimeMissing(ConversionError, RuntimeError):
    """A runtime that the target needs for verification does not work here."""


class VerificationFailed(ConversionError, RuntimeError):
    """The written file does not answer as the original does."""
