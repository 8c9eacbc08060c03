"""What a delegate does for a .tflite file: which operators it took, and a call with it beside a call without."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise.child import Child
from edgewise.delegate import Delegate
from edgewise.placement import PlacedOperator, Placement

NOTE = "LiteRT's profiler does not look into delegates: there are times of whole calls, and none by operator"
_KIND_WIDTH = 44


@dataclass(frozen=True)
class DelegateProfile:
    """One model file with a delegate and without it."""

    path: Path
    delegate: Delegate
    threads: int
    runs: int
    """Of each way, in turns."""
    input: str
    """What it was fed, in words."""
    call_ms: float
    """Median of a whole call with the delegate."""
    processor_call_ms: float
    """Median of a whole call without it."""
    placement: Placement

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "path": str(self.path),
            "delegate": self.delegate.to_dict(),
            "threads": self.threads,
            "runs": self.runs,
            "input": self.input,
            "call_ms": self.call_ms,
            "processor_call_ms": self.processor_call_ms,
            "placement": self.placement.to_dict(),
        }

    def page(self, *, top: int) -> str:
        """For people; ``top`` operators one by one."""
        ratio = self.call_ms / self.processor_call_ms if self.processor_call_ms else 0.0
        operators = self.placement.operators
        lines = [
            f"{self.path} in {self.placement.backend} with delegate {self.delegate.name}, threads: {self.threads}, "
            f"runs: {self.runs}, fed {self.input}",
            f"a call takes {self.call_ms:.3f} ms with it and {self.processor_call_ms:.3f} ms without ({ratio:.2f}x)",
            *self.placement.lines(),
            "",
            "operators in the order of the file",
            *(
                f"{f'{one.kind} [{one.where}]':<{_KIND_WIDTH}}  {one.name}".rstrip()
                for one in operators[:top]
            ),
        ]
        if len(operators) > top:
            lines.append(f"and {len(operators) - top} more: --top shows more, --json all")
        return "\n".join([*lines, f"note: {NOTE}"])


def profile_delegate(
    path: Path, delegate: Delegate, child: Child, request: Mapping[str, Any]
) -> DelegateProfile:
    """Ask the worker. Raises DelegateUnavailable, BackendUnavailable, InvalidInput."""
    found = child.ask("profile", **request, delegate=delegate.to_dict())
    operators = tuple(PlacedOperator(**one) for one in found["operators"])
    return DelegateProfile(
        path=path,
        delegate=delegate,
        threads=request["threads"],
        runs=found["runs"],
        input=found["input"],
        call_ms=found["call_ms"],
        processor_call_ms=found["processor_call_ms"],
        placement=Placement(found["backend"], delegate.name, operators),
    )
