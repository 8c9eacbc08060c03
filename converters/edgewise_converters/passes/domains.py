"""Domains of nodes that the rewrites make and the lowering knows; no ONNX file has them."""

CONTROL = "edgewise.control"
"""If and Loop with models for branches and bodies, see `enclose`."""
BOUNDED = "edgewise.bounded"
"""Operators that give the most they can, see `bound_counts`."""
OWN = frozenset({CONTROL, BOUNDED})
