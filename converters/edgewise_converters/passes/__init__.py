"""Rewrites of the canonical graph, one file each; this file says in which order they run."""

from collections.abc import Callable

import onnx_ir as ir

from edgewise_converters.passes import (
    bound_counts,
    clean,
    drop_neutral,
    enclose,
    expand_functions,
    fold_affine,
    fold_affine_forward,
    fold_affine_into_integers,
    fold_constants,
    fuse_gelu,
    fuse_hard_swish,
    fuse_layer_norm,
    fuse_pad,
    gather_compressed,
    infer_shapes,
    inline_branches,
    keep_quantization,
    share_common,
    spell_out_cast_like,
    spell_out_dynamic,
    spell_out_fused,
    spell_out_matmul_nbits,
    spell_out_qlinear,
    unroll_loops,
)

Rewrite = Callable[[ir.Model], bool]
"""Changes the model in place; returns whether it changed anything."""

_MAX_ROUNDS = 20
"""Shape chains settle in two or three rounds; more means that two rewrites undo each other."""

FUSIONS: tuple[Rewrite, ...] = (
    drop_neutral.apply,
    share_common.apply,
    fuse_layer_norm.apply,
    fuse_gelu.apply,
    fold_affine_into_integers.apply,
    fold_affine.apply,
    fuse_hard_swish.apply,
    fuse_pad.apply,
    fold_affine_forward.apply,
)


STRUCTURE: tuple[Rewrite, ...] = (
    clean.apply,
    fold_constants.apply,
    spell_out_cast_like.apply,
    spell_out_fused.apply,
    spell_out_qlinear.apply,
    spell_out_dynamic.apply,
    spell_out_matmul_nbits.apply,
    keep_quantization.apply,
    gather_compressed.apply,
    expand_functions.apply,
    inline_branches.apply,
    unroll_loops.apply,
    bound_counts.apply,
)
"""What one of these leaves behind may be work for another."""


def canonicalize(model: ir.Model, *, keep_quantization_of_source: bool = False) -> None:
    """Constants become initializers, shapes static, functions inline; dead code and identities go; patterns fuse.

    Every rewrite keeps what the model computes. Raises SourceError where a shape stays open.
    ``keep_quantization_of_source`` leaves the integers that a quantized model states (see `keep_quantization`).
    """
    if keep_quantization_of_source:
        keep_quantization.mark(model)
    clean.inline(model)
    _settle(model)
    while inline_branches.choose(model) or enclose.apply(model, _canonicalize_body):
        _settle(model)
    unroll_loops.check(model)
    inline_branches.check(model)
    for rewrite in FUSIONS:
        while rewrite(model):
            pass
    bound_counts.cut_outputs(model)
    clean.apply(model)
    infer_shapes.check(model)


def _canonicalize_body(model: ir.Model) -> None:
    """The same for the graph inside an If or a Loop, whose results must have one shape."""
    canonicalize(model)
    bound_counts.refuse(model, "which the inside of an If or Loop may not")


def _settle(model: ir.Model) -> None:
    for _ in range(_MAX_ROUNDS):
        infer_shapes.apply(model)
        changed = [rewrite(model) for rewrite in STRUCTURE]
        if not any(changed):
            break
