"""What each runtime cannot compute, and where a kernel it has is not to be used.

Everything here was found by building the operator and running it; tests/converters/tflite/test_runtimes.py does so
again for each entry. Operators that no runtime has in a type (SIN in int8, say) stand in both columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_FLOAT_ONLY = frozenset({
    "COS", "CUMSUM", "FLOOR", "LOCAL_RESPONSE_NORMALIZATION", "ROUND", "SIN", "SQUARE",
})  # fmt: skip
_NO_INT16_ANYWHERE = _FLOAT_ONLY | {
    "DEPTH_TO_SPACE", "ELU", "HARD_SWISH", "L2_NORMALIZATION", "LOG_SOFTMAX", "PRELU", "RELU_N1_TO_1",
    "SPACE_TO_DEPTH", "SQUARED_DIFFERENCE",
}  # fmt: skip


@dataclass(frozen=True)
class RuntimeRules:
    """What one runtime, or all of several, must not be given."""

    no_int8: frozenset[str]
    """Kinds of operators without a kernel for int8 activations, or with a wrong one (DIV in LiteRT)."""
    no_int16: frozenset[str]
    """Kinds without a right kernel for int16 activations (int8 weights)."""
    mixed_per_channel: frozenset[str]
    """Kinds that multiply float activations with int8 weights of a scale per channel, rightly and not slowly."""
    mixed_per_tensor: frozenset[str]
    """The same with one scale for all weights."""
    narrow_tables: bool
    """Whether rows of an int8 or int4 table with a scale per row can be looked up (EMBEDDING_LOOKUP version 4)."""
    four_bits: bool
    """Whether 4-bit dense layers run faster than float32 ones, per channel and per block."""


RULES = {
    "litert": RuntimeRules(
        no_int8=_FLOAT_ONLY | {"DIV"},
        no_int16=_NO_INT16_ANYWHERE,
        mixed_per_channel=frozenset({"CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}),
        mixed_per_tensor=frozenset({"CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}),
        narrow_tables=True,
        four_bits=True,
    ),
    "tflite-runtime": RuntimeRules(
        no_int8=_FLOAT_ONLY | {"DIV", "LOG", "NEG", "SQRT"},
        no_int16=_NO_INT16_ANYWHERE | {"DIV", "GELU", "LOG", "NEG", "RSQRT", "SQRT", "SUM", "TILE"},
        mixed_per_channel=frozenset({"CONV_2D"}),
        mixed_per_tensor=frozenset({"CONV_2D", "FULLY_CONNECTED"}),
        narrow_tables=False,
        four_bits=False,
    ),
}
"""By name of runtime in `edgewise.backends`; LiteRT 2.3 and tflite-runtime 2.14."""


def rules_of(runtimes: Sequence[str]) -> RuntimeRules:
    """What a file for all these runtimes must keep to."""
    rules = [RULES[name] for name in runtimes]
    return RuntimeRules(
        no_int8=frozenset().union(*(r.no_int8 for r in rules)),
        no_int16=frozenset().union(*(r.no_int16 for r in rules)),
        mixed_per_channel=frozenset.intersection(*(r.mixed_per_channel for r in rules)),
        mixed_per_tensor=frozenset.intersection(*(r.mixed_per_tensor for r in rules)),
        narrow_tables=all(r.narrow_tables for r in rules),
        four_bits=all(r.four_bits for r in rules),
    )


EVERY_RUNTIME = rules_of(tuple(RULES))
"""What a file must keep to that is to run everywhere."""
