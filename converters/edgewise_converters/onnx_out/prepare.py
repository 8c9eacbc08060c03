"""The rewrites that suit onnxruntime: what it has fused kernels for stays whole, what it cannot fold is folded."""

from collections.abc import Iterator

import onnx_ir as ir

from edgewise_converters.onnx_out.dense import products_with_bias
from edgewise_converters.onnx_out.opset import raise_opset
from edgewise_converters.passes import (
    Rewrite,
    clean,
    fold_affine,
    fold_constants,
    fuse_gelu,
    fuse_hard_swish,
    fuse_pad,
    infer_shapes,
    inline_branches,
)

_MAX_ROUNDS = 20
_HARD_SWISH_OPSET, _GELU_OPSET = 14, 20
"""Where these operators came into ONNX; before, onnxruntime's own optimiser looks for their spelled-out forms."""


def prepare(model: ir.Model, *, keep_quantization: bool = False) -> ir.Model:
    """Constants become initializers, known branches inline, batch norms fold; dead code and identities go.

    Loops, If, attention, normalisations and onnxruntime's own operators stay as they are, and shapes may stay open
    inside. Every rewrite keeps what the model computes. With ``keep_quantization`` nothing is folded: the integers
    of a quantized model would become real numbers. Raises SourceError.
    """
    ir.external_data.load_to_model(model)  # what is written has its weights inside
    model = raise_opset(model)
    clean.inline(model)
    rewrites = (
        [clean.apply] if keep_quantization else [clean.apply, fold_constants.apply, inline_branches.apply]
    )
    for _ in range(_MAX_ROUNDS):
        infer_shapes.apply(model)
        changed = [rewrite(model) for rewrite in rewrites]
        if not any(changed):
            break
    for rewrite in () if keep_quantization else _fusions(model.graph.opset_imports.get("", 1)):
        while rewrite(model):
            pass
    clean.apply(model)
    infer_shapes.apply(model)
    return model


def _fusions(opset: int) -> Iterator[Rewrite]:
    yield fold_affine.apply
    yield fuse_pad.apply
    yield products_with_bias
    if opset >= _HARD_SWISH_OPSET:
        yield fuse_hard_swish.apply
    if opset >= _GELU_OPSET:
        yield fuse_gelu.apply
