"""A LiveModel over folders of pictures: one real classifier, driven picture by picture."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles

import edgewise
from edgewise_agent.sources.images import find_images
from edgewise_agent.updates.live_model import ModelHealth, ShadowReport

LATENCIES = 256
FEWEST_FOR_P95 = 2


class FolderModel:
    """Classifies the pictures in ``folders`` one after another, over and over."""

    def __init__(self, path: Path, folders: Sequence[Path]) -> None:
        """Raises edgewise.EdgewiseError, or SourceError for a folder that is not there."""
        self._pictures = find_images(folders, recursive=False)
        self._next = 0
        self._lock = threading.Lock()
        self._model = edgewise.load(path)
        self._forget()

    @property
    def path(self) -> Path:
        """The file that runs."""
        return self._model.path

    def work(self, inputs: int) -> list[str]:
        """Answer so many pictures: their labels, "" for one that failed."""
        return [self._answer(self._take()) for _ in range(inputs)]

    def shadow(
        self, path: Path, *, inputs: int, within_s: float, should_stop: Callable[[], bool]
    ) -> ShadowReport:
        """Ask both models about the next pictures."""
        give_up_s = time.monotonic() + within_s
        agreed = errors = seen = 0
        own: list[float] = []
        others: list[float] = []
        with edgewise.load(path) as other:
            while seen < inputs and time.monotonic() < give_up_s and not should_stop():
                picture = self._take()
                expected, own_ms = _timed(self._model, picture)
                if expected is None:
                    continue
                got, other_ms = _timed(other, picture)
                seen += 1
                errors += got is None
                agreed += got == expected
                own.append(own_ms)
                others.append(other_ms)
        return ShadowReport(seen, agreed, errors, median(others), median(own)) if seen else ShadowReport(0, 0)

    def switch(self, path: Path) -> None:
        """Swap the file; pictures under way end on the old one."""
        self._model.swap(path, probe=False, compatible=False)
        self._forget()

    def health(self) -> ModelHealth:
        """Since the last switch."""
        with self._lock:
            return ModelHealth(self._inferences, self._errors, _p95(self._latencies_ms))

    candidate_busy_s = 0.0

    def close(self) -> None:
        """Let go of the model."""
        self._model.close()

    def _answer(self, picture: Path) -> str:
        label, latency_ms = _timed(self._model, picture)
        with self._lock:
            self._inferences += label is not None
            self._errors += label is None
            self._latencies_ms.append(latency_ms)
        return label or ""

    def _take(self) -> Path:
        with self._lock:
            self._next += 1
            return self._pictures[(self._next - 1) % len(self._pictures)]

    def _forget(self) -> None:
        with self._lock:
            self._inferences = self._errors = 0
            self._latencies_ms: deque[float] = deque(maxlen=LATENCIES)


def _timed(model: edgewise.Model, picture: Path) -> tuple[str | None, float]:
    began_s = time.perf_counter()
    try:
        label: str | None = model.predict(picture, top=1).top.label
    except (edgewise.EdgewiseError, OSError):
        label = None
    return label, (time.perf_counter() - began_s) * 1000


def _p95(latencies_ms: Sequence[float]) -> float | None:
    if len(latencies_ms) < FEWEST_FOR_P95:
        return None
    return quantiles(latencies_ms, n=20, method="inclusive")[-1]
