"""LiteRT as a reference: without a memory from call to call and, where wanted, with other kernels than XNNPACK's."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgewise.backends.tflite_interpreter import InterpreterBackend
from edgewise.tensors import Array


class ForgettingInterpreter(InterpreterBackend):
    """Every run begins as the first did: variables, which fused recurrent operators keep, are zeros again."""

    def __init__(self, source: Path | bytes, *, plain: bool) -> None:
        """Open a .tflite file or its bytes. Raises BackendUnavailable."""
        kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else OpResolverType.AUTO
        opened = partial(Interpreter, experimental_op_resolver_type=kernels)
        super().__init__(opened, "litert", source, 1)

    def run(self, inputs: Sequence[Array], *, views: bool = False) -> list[Array]:
        """One inference; see Backend.run."""
        if self._allocated:
            self._interpreter.reset_all_variables()
        return super().run(inputs, views=views)
