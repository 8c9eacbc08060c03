"""How much of the computer a conversion takes. No result depends on it."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_MOST_CORES = 4
"""More gain little, and what is computed side by side needs memory side by side."""

Job = TypeVar("Job")


def cores() -> int:
    """Cores that this process may use, at most four."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, _MOST_CORES)


def side_by_side(work: Callable[[Job], object], jobs: Iterable[Job]) -> None:
    """Do all jobs, a few at a time. What one raises is raised here, once those that have begun are done."""
    waiting = list(jobs)
    if len(waiting) < 2 or cores() == 1:
        for job in waiting:
            work(job)
        return
    with ThreadPoolExecutor(cores()) as pool:
        try:
            for _ in pool.map(work, waiting):
                pass
        except BaseException:  # also Ctrl-C
            pool.shutdown(wait=False, cancel_futures=True)
            raise
