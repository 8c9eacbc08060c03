"""Operators that ONNX defines by other operators become these.

Needs: dtypes and shapes of their inputs. Leaves: none of the operators below, which lowering has no better way for.
Exact: the bodies are the specification's own (onnx.defs).
"""

import onnx
import onnx.inliner
import onnx_ir as ir

from edgewise_converters.passes.subgraphs import hand_over, splice

_EXPANDED = frozenset({"NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss", "SwiGLU"})
_DOMAIN = "edgewise.body"


def apply(model: ir.Model) -> bool:
    """Expand every one whose inputs are known; returns whether there was any."""
    changed = False
    for node in list(model.graph):
        if node.op_type not in _EXPANDED or node.domain not in ("", "ai.onnx"):
            continue
        inputs = [value for value in node.inputs if value is not None]
        if any(value.dtype is None or value.shape is None for value in inputs):
            continue
        for output in node.outputs:
            output.name = output.name or f"{node.name}/unused"
        body = _body(node, inputs, model.graph.opset_imports.get("", 1))
        hand_over(node, splice(node, body, inputs))
        changed = True
    return changed


def _body(node: ir.Node, inputs: list[ir.Value], opset: int) -> ir.Graph:
    """The operators that compute what a node does, as a graph from its inputs to its outputs."""
    proto = ir.to_proto(node)
    function = _definition(proto, node, opset)
    function.domain = proto.domain = _DOMAIN
    alone = onnx.GraphProto(name="body", node=[proto])
    alone.input.extend(ir.to_proto(value) for value in inputs)
    alone.output.extend(onnx.ValueInfoProto(name=str(output.name)) for output in node.outputs)
    model = onnx.ModelProto(ir_version=10, graph=alone, functions=[function])
    for domain, version in (("", opset), (_DOMAIN, 1)):
        model.opset_import.append(onnx.OperatorSetIdProto(domain=domain, version=version))
    return ir.serde.deserialize_model(onnx.inliner.inline_local_functions(model)).graph


def _definition(proto: onnx.NodeProto, node: ir.Node, opset: int) -> onnx.FunctionProto:
    schema = onnx.defs.get_schema(node.op_type, opset, "")
    if schema.has_context_dependent_function:
        types = [
            b"" if value is None else ir.to_proto(value).type.SerializeToString() for value in node.inputs
        ]
        versions = [v for v in schema.context_dependent_function_opset_versions if v <= opset]
        body = schema.get_context_dependent_function_with_opset_version(
            versions[-1], proto.SerializeToString(), types
        )
    else:
        versions = [v for v in schema.function_opset_versions if v <= opset]
        body = schema.get_function_with_opset_version(versions[-1])
    function = onnx.FunctionProto()
    function.ParseFromString(body)
    return function
