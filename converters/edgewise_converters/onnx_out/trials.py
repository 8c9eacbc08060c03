"""What the ways of quantizing are calibrated and compared on."""

from collections.abc import Callable
from dataclasses import dataclass

from edgewise_converters.agreement import Agreement
from edgewise_converters.samples import Samples
from edgewise_converters.verify import Case, Layouts, measure, open_runtime

RUNTIME = "onnxruntime"


@dataclass(frozen=True)
class Trials:
    """Samples, and the original's answers to some of them."""

    samples: Samples
    cases: list[Case]
    layouts: Layouts
    stage: Callable[[str, int], None]
    tick: Callable[[], None]

    def agreement(self, network: bytes, cases: list[Case] | None = None) -> Agreement:
        """How near a network's outputs are to the original's, over ``cases`` or all there are."""
        backend = open_runtime(network, RUNTIME)
        asked = self.cases if cases is None else cases
        agreement = measure(backend, asked, self.layouts, classifies=False, tick=self.tick)
        backend.close()
        return agreement

    @property
    def are_real(self) -> bool:
        """Whether there are samples, not noise."""
        return bool(self.cases) and not self.samples.is_noise
