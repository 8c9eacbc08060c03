"""If without If: the branch that is taken, or both and a choice.

Needs: nothing. Leaves: no If but those with costly branches. Where the condition is known, its branch stands in the
graph; where it depends on the data and both branches are cheap, both are computed and Where chooses each result, which
needs results of equal shapes. Exact.
"""

import onnx_ir as ir

from edgewise_converters.errors import UnsupportedOperator
from edgewise_converters.passes.graph_edit import constant
from edgewise_converters.passes.subgraphs import add_node, hand_over, splice

_CHEAP_NODES = 32
_COSTLY = frozenset({
    "Attention", "Conv", "ConvTranspose", "DFT", "Einsum", "GRU", "Gemm", "LSTM", "Loop", "MatMul", "RNN", "STFT",
    "Scan",
})  # fmt: skip
_CHOICE = "edgewise.choice"


def apply(model: ir.Model) -> bool:
    """Inline the branches of every If whose condition is known; returns whether there was any."""
    changed = False
    for node in list(model.graph):
        taken = constant(node.inputs[0]) if _is_if(node) else None
        if taken is not None:
            hand_over(node, splice(node, _branch(node, bool(taken.reshape(-1)[0])), []))
            changed = True
    return changed


def choose(model: ir.Model) -> bool:
    """Compute both branches of every If that is left and cheap; returns whether there was any."""
    changed = False
    for node in list(model.graph):
        if not _is_if(node) or _is_costly(node):
            continue
        pairs = zip(
            splice(node, _branch(node, True), []), splice(node, _branch(node, False), []), strict=True
        )
        results = [add_node(node, "Where", [node.inputs[0], *pair]) for pair in pairs]
        for result, output in zip(results, node.outputs, strict=True):
            where = result.producer()
            assert where is not None
            where.metadata_props[_CHOICE] = str(node.name)
            result.type = output.type
        hand_over(node, results)
        changed = True
    return changed


def check(model: ir.Model) -> None:
    """Raise UnsupportedOperator where the results of two branches have not the same shape."""
    for node in model.graph:
        if _CHOICE not in node.metadata_props:
            continue
        first, second = (None if value is None else value.shape for value in node.inputs[1:3])
        if first is None or first != second:
            raise UnsupportedOperator(
                "If",
                node.metadata_props[_CHOICE],
                f"its condition depends on the data and its branches give different shapes, {first} and {second}; "
                "if it depends on an input that is always the same, give its number with --value NAME=NUMBER",
            )


def _is_costly(node: ir.Node) -> bool:
    """Whether computing both branches takes much longer than the one that is wanted."""
    nodes = [inner for taken in (True, False) for inner in _branch(node, taken).all_nodes()]
    return len(nodes) > _CHEAP_NODES or any(inner.op_type in _COSTLY for inner in nodes)


def _is_if(node: ir.Node) -> bool:
    return node.op_type == "If" and node.domain in ("", "ai.onnx")


def _branch(node: ir.Node, taken: bool) -> ir.Graph:
    return node.attributes["then_branch" if taken else "else_branch"].as_graph()
