"""The network interface in use: what it carried, what it lost, how well it hears."""

from dataclasses import dataclass
from pathlib import Path

from edgewise_agent.vitals.files import ROOT, Readings, read_int, read_text

_DEFAULT_ROUTE = "00000000"
_NO_SIGNAL_DBM = -256
"""A driver that does not know its level reports 0 with an unsigned reading, which comes out as this."""


@dataclass(frozen=True)
class _Route:
    interface: str
    metric: int


def parse_default_interface(routes: str) -> str | None:
    """The interface of the default route with the lowest metric, from the text of /proc/net/route."""
    found = []
    for line in routes.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 8 and fields[1] == fields[7] == _DEFAULT_ROUTE and fields[6].isdigit():
            found.append(_Route(fields[0], int(fields[6])))
    return min(found, key=lambda route: route.metric).interface if found else None


def parse_signal_dbm(wireless: str, interface: str) -> float | None:
    """The level of ``interface`` in the text of /proc/net/wireless; None when it is not there or no level."""
    for line in wireless.splitlines()[2:]:
        name, _, values = line.partition(":")
        fields = values.split()
        if name.strip() != interface or len(fields) < 3:
            continue
        try:
            level = float(fields[2].rstrip("."))
        except ValueError:
            return None
        return level if _NO_SIGNAL_DBM < level < 0 else None
    return None


class NetworkVitals:
    """Of the interface that the default route goes through; of the only one that is up, where there is none."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root

    def interface(self) -> str | None:
        """Its name, None without a network."""
        named = parse_default_interface(read_text(self._root / "proc/net/route") or "")
        if named is not None:
            return named
        up = [
            folder.name
            for folder in sorted((self._root / "sys/class/net").glob("*"))
            if read_text(folder / "operstate") == "up"
        ]
        return up[0] if len(up) == 1 else None

    def read(self) -> Readings:
        """Counters since the interface came up, as the kernel keeps them."""
        name = self.interface()
        if name is None:
            return {}
        counters = self._root / "sys/class/net" / name / "statistics"
        return {
            "network.received_bytes": read_int(counters / "rx_bytes"),
            "network.sent_bytes": read_int(counters / "tx_bytes"),
            "network.errors": _sum(counters, "rx_errors", "tx_errors"),
            "network.dropped": _sum(counters, "rx_dropped", "tx_dropped"),
            "network.signal_dbm": parse_signal_dbm(read_text(self._root / "proc/net/wireless") or "", name),
        }


def _sum(folder: Path, *names: str) -> int | None:
    values = [read_int(folder / name) for name in names]
    return None if None in values else sum(value or 0 for value in values)
