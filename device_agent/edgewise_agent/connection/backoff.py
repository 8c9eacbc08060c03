"""How long to wait before the next attempt, so that a thousand devices do not come back in step."""

import hashlib
import random

BASE_S = 1.0
STABLE_S = 60.0
"""A connection that lasted this long was a success; a shorter one goes on with the longer waits."""
_LEAST_S = 0.1


class Backoff:
    """Full jitter: uniform in 0 .. min(longest, spread * 2^n).

    M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015. The first wait is not drawn by chance
    but is this device's place in the spread: N devices that lose one broker together come back at N / spread a
    second, evenly. Each later round of attempts in vain is half as dense as the one before.
    """

    def __init__(
        self,
        key: str,
        *,
        longest_s: float,
        spread_s: float = BASE_S,
        place: float | None = None,
        stable_s: float = STABLE_S,
    ) -> None:
        """``key`` seeds the waits; it should differ between devices and between boots.

        ``place`` is where in the spread this device stands, 0 <= place < 1; by chance if not given.
        """
        self._random = random.Random(key)
        self._longest_s = longest_s
        self._spread_s = min(spread_s, longest_s)
        self._place = self._random.random() if place is None else place
        self._stable_s = stable_s
        self._attempt = 0

    def next_wait_s(self) -> float:
        """Seconds to wait now; the ceiling doubles with each call."""
        ceiling = min(self._longest_s, self._spread_s * 2.0 ** min(self._attempt, 30))
        is_first = self._attempt == 0
        self._attempt += 1
        wait_s = self._place * self._spread_s if is_first else self._random.uniform(0.0, ceiling)
        return max(wait_s, _LEAST_S)

    def connection_ended(self, lasted_s: float) -> None:
        """Begin again with short waits if the connection was stable."""
        if lasted_s >= self._stable_s:
            self._attempt = 0


def phase(device: str, interval_s: float) -> float:
    """This device's own place in a common interval, 0 <= phase < interval_s: the same in every run."""
    digest = hashlib.blake2b(device.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2.0**64 * interval_s
