"""Progress and the closing table on a terminal, with rich."""

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from edgewise_converters.agreement import Agreement
from edgewise_converters.request import Result
from edgewise_converters.survey import Accuracy


class Drawn:
    """A progress bar on standard error; on anything but a terminal only the notices."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=self._console, transient=True, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task: TaskID | None = None

    def __enter__(self) -> "Drawn":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def stage(self, what: str, total: int | None = None) -> None:
        """Replace the bar."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(what, total=total)

    def tick(self) -> None:
        """Advance the bar."""
        if self._task is not None:
            self._bar.advance(self._task)

    def notice(self, text: str) -> None:
        """One line above the bar."""
        self._console.print(f"note: {text}", highlight=False, markup=False, soft_wrap=True)


def table(result: Result) -> None:
    """What was written, on standard output."""
    ratio = result.size_bytes / max(result.source_bytes, 1)
    size = f"{_megabytes(result.size_bytes)} ({ratio:.2f} x the original's {_megabytes(result.source_bytes)})"
    rows = [
        ("file", str(result.path)),
        ("size", size),
        ("precision", f"{result.precision} for {result.target}"),
    ]
    for runtime, agreement in result.agreement.items():
        rows += [("agreement", _agreement_line(runtime, agreement)), *_output_rows(agreement)]
    rows += _accuracy_rows(result.accuracy)
    if result.floor is not None:
        floor = result.floor.worst
        said = f"the original's own rounding alone amounts to {floor.snr_db:.1f} dB on this model ('{floor.name}')"
        rows.append(("", said))
    rows.append(("measured on", result.measured_on))
    if result.skipped_samples:
        rows.append(("skipped", f"{result.skipped_samples} samples that could not be read"))
    console = Console(highlight=False)
    for title, text in rows:
        console.print(f"{title:<13}{text}", markup=False, soft_wrap=True)


def _agreement_line(runtime: str, agreement: Agreement) -> str:
    worst = agreement.worst
    said = f"{worst.snr_db:.1f} dB, cosine {worst.cosine:.6f}"
    if len(agreement.outputs) > 1:
        said += f" (worst of {len(agreement.outputs)} outputs, '{worst.name}')"
    if (top1 := agreement.top1_interval) is not None:
        said += f", the same first answer in {top1.percent}"
    return f"{said}; {agreement.distinct} inputs in {runtime}"


def _output_rows(agreement: Agreement) -> list[tuple[str, str]]:
    """Each of several outputs."""
    if len(agreement.outputs) == 1:
        return []
    return [
        ("", f"{output.name}: {output.snr_db:.1f} dB, cosine {output.cosine:.6f}")
        for output in agreement.outputs
    ]


def _accuracy_rows(accuracy: Accuracy | None) -> list[tuple[str, str]]:
    """How often the first answer is right and the same, each with its 95 % interval."""
    if accuracy is None:
        return []
    rows = [("first answer", f"the same in {accuracy.agreement.percent} of {accuracy.samples} samples")]
    if accuracy.original and accuracy.converted and accuracy.drop:
        shares = f"{accuracy.converted.percent}, of the original {accuracy.original.percent}"
        rows.append(("top-1", f"{shares}, on {accuracy.labelled} labelled samples"))
        rows.append(("lost", f"{accuracy.drop.percent} (95 % intervals in brackets)"))
    return rows


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"
