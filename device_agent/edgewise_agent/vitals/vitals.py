"""All vital signs by their standard names. A reading that this board cannot give is left out, never made up."""

from collections.abc import Callable
from pathlib import Path

from edgewise.device import read_condition
from edgewise_agent.vitals.board import BoardVitals
from edgewise_agent.vitals.card_wear import CardWear
from edgewise_agent.vitals.files import ROOT, Readings
from edgewise_agent.vitals.network import NetworkVitals
from edgewise_agent.vitals.power import PowerWatch
from edgewise_agent.vitals.process import ProcessVitals
from edgewise_agent.vitals.processor import ProcessorUse


class Vitals:
    """Reads everything at once; used on one thread."""

    def __init__(
        self,
        *,
        disk: Path,
        root: Path = ROOT,
        vcgencmd: str | None = "vcgencmd",
        queued: Callable[[], int] | None = None,
        power: PowerWatch | None = None,
    ) -> None:
        """``disk`` is a path on the disk to watch, ``queued`` tells how many inputs wait for the model."""
        self._power, self._root = power, root
        self._readers: tuple[Callable[[], Readings], ...] = (
            ProcessorUse(root).read,
            BoardVitals(disk=disk, root=root, vcgencmd=vcgencmd).read,
            CardWear(disk=disk, root=root).read,
            NetworkVitals(root).read,
            ProcessVitals(root, queued=queued).read,
        )

    def temperature_c(self) -> float | None:
        """Of the processor, just now; for whoever slows down when it is hot."""
        return read_condition(self._root, vcgencmd=None).temperature_c

    def read(self) -> dict[str, float | int]:
        """Metrics by their standard names (edgewise_messages.metrics)."""
        found: dict[str, float | int] = {}
        for reader in self._readers:
            found |= {name: value for name, value in reader().items() if value is not None}
        if self._power is not None:
            power = self._power.read(cpu_percent=found.get("board.cpu_percent"))
            found |= {name: value for name, value in power.items() if value is not None}
        return found
