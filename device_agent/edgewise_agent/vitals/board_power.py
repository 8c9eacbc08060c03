"""Published watts of boards, for an estimate where nothing is measured. An estimate is always marked as one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedPower:
    """Of a whole board without peripherals."""

    idle_w: float
    load_w: float
    """All cores busy."""
    source: str


_PUBLISHED = {
    "Raspberry Pi Zero 2 W": PublishedPower(0.6, 2.1, "CNX Software 2021-12-09; top500-benchmark"),
    "Raspberry Pi 3 Model B Plus": PublishedPower(1.9, 5.1, "pidramble power consumption"),
    "Raspberry Pi 4 Model B": PublishedPower(2.7, 6.4, "pidramble power consumption"),
    "Raspberry Pi Compute Module 5": PublishedPower(2.4, 8.5, "sbc-bench; sbc-reviews"),
}
"""Idle and load of one source each, so that their difference is of one way of measuring. Boards for which no source
tells both are left out: for a Raspberry Pi 5 the PMIC measures."""


def published_power(board: str) -> PublishedPower | None:
    """By what the device tree says, such as "Raspberry Pi 4 Model B Rev 1.4"."""
    return next((power for name, power in _PUBLISHED.items() if board.startswith(name)), None)
