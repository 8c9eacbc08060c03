"""Rewrites of a TFLite graph that somebody else wrote, one file each; this file says in which order they run."""

from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.passes import (
    fold_affine,
    fold_constants,
    fuse_dilation,
    fuse_hard_swish,
    fuse_pad,
    keep_float,
    spell_out,
)


def canonicalize(graph: Graph) -> None:
    """Constants are computed, scales and padding go into convolutions, patterns that int8 cannot carry are marked.

    Every rewrite keeps what the graph computes. Raises SourceError where a shape depends on the data.
    """
    fold_constants.apply(graph)
    fold_constants.check(graph)
    spell_out.apply(graph)
    fuse_dilation.apply(graph)
    fuse_hard_swish.apply(graph)
    while fold_affine.apply(graph):
        pass
    fuse_pad.apply(graph)
    keep_float.apply(graph)
    graph.remove_unused()


__all__ = ["canonicalize"]
