"""Every value gets its dtype and shape.

Needs: static shapes of the graph's inputs. Leaves: what ONNX's own inference can tell from them. Exact.
"""

import onnx_ir as ir
from onnx_ir.passes import common

from edgewise_converters.errors import SourceError
from edgewise_converters.passes import count_axes_from_front, domains, spell_out_windows

_FORGOTTEN = "edgewise.outputs_forgotten"
_SHAPED_AS_THEIR_INPUT = frozenset({
    "MeanVarianceNormalization", "GroupNormalization", "RMSNormalization", "LayerNormalization",
    "SimplifiedLayerNormalization", "Gelu",
})  # fmt: skip
"""Operators that ONNX infers no shape for, or not in every version (onnxruntime's optimiser writes new ones in old)."""


def apply(model: ir.Model) -> bool:
    """Infer shapes; returns False, since nothing is computed differently."""
    inference = common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)
    for node in model.graph:
        if node.op_type == "STFT" and "onesided" not in node.attributes:
            # ONNX's inference takes the absent attribute for 0, the operator for 1.
            node.attributes["onesided"] = ir.AttrInt64("onesided", 1)
    declared = _forget_declared(model)
    inference(model)
    while _copy_shapes(model) or count_axes_from_front.apply(model) or spell_out_windows.apply(model):
        inference(model)
    for output, shape in declared:
        if not _is_fixed(output.shape):
            output.shape = shape
    return False


def _forget_declared(model: ir.Model) -> list[tuple[ir.Value, ir.Shape]]:
    """Forget once what the file says of its outputs' shapes, which nothing checks, and return it.

    Inference keeps what is there, though it be wrong; onnxruntime only warns.
    """
    if model.meta.get(_FORGOTTEN):
        return []
    model.meta[_FORGOTTEN] = True
    computed = [output for output in model.graph.outputs if output.producer() is not None]
    declared = [(output, output.shape) for output in computed if output.shape is not None]
    for output, _ in declared:
        output.shape = None
    return declared


def _is_fixed(shape: ir.Shape | None) -> bool:
    return shape is not None and all(isinstance(dim, int) for dim in shape)


def _copy_shapes(model: ir.Model) -> bool:
    """The shapes that ONNX leaves to an operator's function body; whether there were any."""
    copied = False
    for node in model.graph:
        source, result = (node.inputs or (None,))[0], node.outputs[0]
        if node.op_type in _SHAPED_AS_THEIR_INPUT and result.shape is None and source is not None:
            result.shape, result.type = source.shape, source.type
            copied |= source.shape is not None
    return copied


def check(model: ir.Model) -> None:
    """Raise SourceError naming the first node that has an output of open shape.

    Where an operator is not ONNX's own its shape is unknown for that reason, which lowering will say.
    """
    if any(node.domain not in ("", "ai.onnx", *domains.OWN) for node in model.graph):
        return
    for node in model.graph:
        for output in node.outputs:
            if not output.uses() and not output.is_graph_output():
                continue
            if output.shape is None or not all(isinstance(dim, int) for dim in output.shape):
                raise SourceError(
                    f"node '{node.name}' ({node.op_type}): the shape of its output '{output.name}' depends on the data "
                    f"({output.shape}), expected one known from the inputs' shapes"
                )
