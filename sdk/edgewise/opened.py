"""One model file open in one runtime: what `Model` holds, and what a swap replaces as a whole."""

from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewise.backends import Backend
from edgewise.backends.base import Remembering
from edgewise.errors import BackendUnavailable, CardError, InvalidInput, ModelFileError
from edgewise.feedback import guess_feedback
from edgewise.golden import kept
from edgewise.model_file import ModelFile
from edgewise.placement import Placement
from edgewise.self_test import CaseResult, SelfTest, agreement_db
from edgewise.signature import in_order, to_dtype, with_card
from edgewise.tensors import Array
from edgewise.threads import SharedTurn, ThreadShare, Turn

if TYPE_CHECKING:
    from edgewise.tasks.reading import Reading


class OpenedModel:
    """Several threads may run it; they take turns. Its memory goes back when the last reference to it goes."""

    def __init__(
        self,
        file: ModelFile,
        backend: Backend,
        *,
        delegate: str = "",
        share: ThreadShare | None = None,
        threads: int = 1,
    ) -> None:
        """Raises ModelFileError when the card speaks of other tensors than the model has."""
        self.file = file
        self.delegate = delegate
        """The name of the one in use."""
        self.fallback = ""
        """Why the delegate that was asked for is not in use."""
        self.backend_name = backend.name
        self.reading_threads = 1 if share else threads
        """For what comes before a run, which takes nothing from a shared budget."""
        try:
            self.inputs = with_card(backend.inputs(), file.card.inputs if file.card else (), "input")
            self.outputs = with_card(backend.outputs(), file.card.outputs if file.card else (), "output")
        except ModelFileError as error:
            raise ModelFileError(f"{file.path}: {error}") from error
        self.reading: Reading | None = None
        """Made by the first prediction."""
        self._lock = Lock()
        self._turn: Turn = SharedTurn(self._lock, share) if share else self._lock
        self._input_names = [spec.name for spec in self.inputs]
        self._output_names = [spec.name for spec in self.outputs]
        self._dtypes = [np.dtype(spec.dtype) for spec in self.inputs]
        self._only_dtype = self._dtypes[0] if len(self._dtypes) == 1 else None
        self.backend: Backend | None = backend
        """None once it is closed."""

    def run(self, inputs: Mapping[str, Array] | Array, views: bool = False) -> dict[str, Array]:
        """See `Model.run`."""
        if type(inputs) is np.ndarray and inputs.dtype is self._only_dtype:
            arrays = [inputs]
        else:
            arrays = self._prepare(inputs)
        with self._turn:
            if self.backend is None:
                raise InvalidInput(f"{self.file.path}: the model is closed; load it again")
            return dict(zip(self._output_names, self.backend.run(arrays, views=views), strict=True))

    def _prepare(self, inputs: Mapping[str, Array] | Array) -> list[Array]:
        """The arrays in the model's order and of its dtypes."""
        if type(inputs) is dict and len(inputs) == len(self._dtypes):
            arrays: list[Any] = [inputs.get(name) for name in self._input_names]
            if [type(array) is np.ndarray and array.dtype for array in arrays] == self._dtypes:
                return arrays
        return [
            array if array.dtype == spec.dtype else to_dtype(array, spec)
            for array, spec in zip(in_order(inputs, self.inputs), self.inputs, strict=True)
        ]

    def placed(self, error: CardError) -> CardError:
        """The same with the file's path in front, once."""
        said, path = str(error), f"{self.file.path}: "
        return CardError(said if said.startswith(path) else f"{path}{said}")

    def zeros(self) -> dict[str, Array]:
        """An input of zeros by name; sizes that the caller chooses are 1."""
        return {spec.name: np.zeros([abs(size) for size in spec.shape], spec.dtype) for spec in self.inputs}

    def sample(self) -> dict[str, Array]:
        """Inputs that it should take: those of its first golden case, else zeros."""
        cases = self.file.golden()
        return dict(cases[0].inputs) if cases else self.zeros()

    def warm_up(self, runs: int, also: Callable[[], object] = lambda: None) -> None:
        """See `Model.warm_up`; ``also`` is called where nothing speaks against it."""
        if runs < 1:
            raise InvalidInput(f"warm_up: got {runs} runs, expected at least 1")
        backend = self.backend
        if isinstance(backend, Remembering) and not backend.can_forget():
            raise InvalidInput(
                f"{self.file.path}: warm_up: it keeps variables of its own, which a warm-up would change; "
                "load it without"
            )
        also()
        sample = self.sample()
        for _ in range(runs):
            try:
                self.run(sample)
            except InvalidInput as error:
                raise InvalidInput(
                    f"{self.file.path}: warm_up: it does not take {_in_words(sample)}: {error}"
                ) from error
        if isinstance(backend, Remembering):
            with self._lock:
                backend.forget()

    @property
    def delegate_parts(self) -> int | None:
        """How many parts the delegate took; None where the runtime does not say it without a run."""
        return getattr(self.backend, "delegate_parts", None)

    def placement(self, inputs: Mapping[str, Array] | Array | None) -> Placement:
        """See `Model.placement`."""
        arrays = self._prepare(self.sample() if inputs is None else inputs)
        with self._turn:
            if self.backend is None:
                raise InvalidInput(f"{self.file.path}: the model is closed; load it again")
            try:
                operators = self.backend.operators(arrays)
            except BackendUnavailable as error:
                raise BackendUnavailable(f"{self.file.path}: {error}") from error
        return Placement(self.backend_name, self.delegate, operators, self.fallback)

    def feedback(self, said: Mapping[str, str] | None) -> dict[str, str]:
        """Which output feeds which input of the next call: as said, else by the card, else as names and shapes tell.

        Raises CardError when nothing tells.
        """
        stated = said if said is not None else self.file.card.feedback if self.file.card else {}
        return dict(stated) or guess_feedback(self.inputs, self.outputs, where=str(self.file.path))

    def self_test(self) -> SelfTest:
        """See `Model.self_test`."""
        cases = self.file.golden()
        card = self.file.card
        if not cases or card is None or card.golden is None:
            raise CardError(f"{self.file.path}: it carries no golden cases to test itself with")
        results = []
        steps = card.golden.output_steps
        for index, case in enumerate(cases):
            try:
                outputs = self.run(case.inputs)
            except InvalidInput as error:
                if self.backend is None:
                    raise
                raise ModelFileError(f"{self.file.path}: golden case {index}: {error}") from error
            for place, spec in enumerate(self.outputs):
                got = kept(outputs[spec.name], steps[place] if steps else 1)
                db = agreement_db(case.outputs[spec.name], got, spec.quantization)
                results.append(CaseResult(index, spec.name, db))
        return SelfTest(tuple(results), card.golden.tolerance_db, self.backend_name)

    def require_proof(self) -> None:
        """Pass the golden cases, where the file carries some. Raises ModelFileError when it gives other answers."""
        if self.file.card and self.file.card.golden and self.file.card.golden.cases:
            outcome = self.self_test()
            if not outcome.passed:
                raise ModelFileError(
                    f"{self.file.path}: it does not give its promised answers here: self-test {outcome}; "
                    "get the file again, or convert it for this device"
                )

    def close(self) -> None:
        """Give the runtime's memory back, once a call in another thread has ended."""
        with self._lock:
            backend, self.backend = self.backend, None
        if backend is not None:
            backend.close()

    def __del__(self) -> None:
        if getattr(self, "backend", None) is not None:
            self.close()


def _in_words(arrays: Mapping[str, Array]) -> str:
    return ", ".join(f"'{name}' {list(array.shape)}" for name, array in arrays.items())
