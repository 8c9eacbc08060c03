"""What a child process that tries a model may take: apart from child_process.py, which few apps need."""

from dataclasses import dataclass

from edgewise.errors import InvalidInput

DOUBT = ": the file is damaged, or the runtime has a fault"


@dataclass(frozen=True)
class ChildLimits:
    """What a child may take before it is ended."""

    seconds: float = 60.0
    """Of wall-clock time, start included."""
    memory_bytes: int | None = None
    """Of address space beyond what the child has after its imports; by default the memory that is free now."""

    def __post_init__(self) -> None:
        if not self.seconds > 0 or (self.memory_bytes is not None and self.memory_bytes < 1):
            raise InvalidInput(
                f"limits: got {self.seconds} s and {self.memory_bytes} bytes, expected positive numbers"
            )
