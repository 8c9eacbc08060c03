"""Which converter makes the graph: our own lowering, or the second engine where it is asked for or needed."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx_ir as ir

from edgewise_converters.engines.installation import installed
from edgewise_converters.engines.second_way import SECOND, SecondWay
from edgewise_converters.errors import ConversionError, EngineError, UnsupportedOperator
from edgewise_converters.lower import LoweredGraph
from edgewise_converters.readers.source import Source
from edgewise_converters.reference import Reference

AUTO, OWN = "auto", "edgewise"
CHOICES = (AUTO, OWN, SECOND.name)
_INSTALL = f"edgewise engines install {SECOND.name}"

Lowered = tuple[Source, LoweredGraph]
Modelled = tuple[Source, ir.Model]


class EngineChoice:
    """For one model: decided at the first lowering, and kept. Close it when done."""

    def __init__(self, wanted: str) -> None:
        """``wanted`` is auto (ours, else the second), edgewise or onnx2tf. Raises EngineError for what is not there."""
        self._wanted = wanted
        self._way: SecondWay | None = None
        self._refusal: UnsupportedOperator | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if wanted == SECOND.name and installed(SECOND) is None:
            raise EngineError(f"--engine {SECOND.name}: it is not installed; `{_INSTALL}` does that")

    def lower(
        self,
        stage: Callable[[str], None],
        ours: Callable[[], Lowered],
        model: Callable[[], Modelled],
        reference: Callable[[Source], Reference],
    ) -> Lowered:
        """By ``ours``, else by the second engine from ``model``. Raises ConversionError.

        ``reference`` opens the original as the truth.
        """
        if self._way is None and self._wanted != SECOND.name:
            try:
                return ours()
            except UnsupportedOperator as refusal:
                if self._wanted == OWN:
                    raise
                self._refusal = refusal
        return self._by_second(stage, model, reference)

    def _by_second(
        self,
        stage: Callable[[str], None],
        model: Callable[[], Modelled],
        reference: Callable[[Source], Reference],
    ) -> Lowered:
        way = self._way = self._way or self._open()
        source, read = model()
        stage(f"Converting with {way.described}")
        try:
            source, lowered = way.lower(source, read, lambda: reference(source))
        except ConversionError as error:
            if self._refusal is None:
                raise
            raise self._refusal.but(f"{way.described} could not convert it either: {error}") from error
        return replace(source, notices=(*source.notices, self._said(way))), lowered

    def _open(self) -> SecondWay:
        engine = installed(SECOND)
        if engine is None:
            hint = f"Or install a second converter, {SECOND.name}, that may know it: `{_INSTALL}`, and try again."
            raise self._refusal.but(hint) if self._refusal else EngineError(f"{SECOND.name}: it is gone")
        self._folder = tempfile.TemporaryDirectory(prefix="edgewise-engine-")
        return SecondWay(engine, Path(self._folder.name))

    def _said(self, way: SecondWay) -> str:
        if self._refusal is None:
            return f"converted by {way.described}"
        return f"{self._refusal.summary}; {way.described} converted the model instead (--engine {OWN} forbids that)"

    def close(self) -> None:
        """Remove what the second engine wrote."""
        if self._folder is not None:
            self._folder.cleanup()
