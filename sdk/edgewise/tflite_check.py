"""Is a .tflite file whole? tflite-runtime believes what it maps, and a truncated file can end the process.

Slots are those of tensorflow/lite/schema/schema.fbs, version 3.
"""

from edgewise.flatbuffer_reader import Buffer, Table

# table Model
_OPERATOR_CODES, _SUBGRAPHS, _BUFFERS = 1, 2, 4
# table SubGraph
_TENSORS, _INPUTS, _OUTPUTS, _OPERATORS = 0, 1, 2, 3


def check_structure(data: bytes | memoryview) -> None:
    """Raise ModelFileError unless every table, tensor and weight that the model speaks of is in the file."""
    buffer = Buffer(data, what="model")
    model = buffer.root()
    codes = sum(1 for code in model.tables(_OPERATOR_CODES) if code.raw(1) is not None)
    buffers = sum(1 for weights in model.tables(_BUFFERS) if _check_weights(buffer, weights))
    subgraphs = 0
    for subgraph in model.tables(_SUBGRAPHS):
        _check_subgraph(buffer, subgraph, codes, buffers)
        subgraphs += 1
    if not subgraphs or not buffers:
        raise buffer.damaged(f"it has {subgraphs} subgraphs and {buffers} buffers")


def _check_weights(buffer: Buffer, weights: Table) -> bool:
    """Weights lie in the table or, in files over 2 GB, behind the flatbuffer at an offset."""
    weights.raw(0)
    offset, size = weights.integer(1, "<Q"), weights.integer(2, "<Q")
    if offset > 1:  # 0 and 1 mean "not used" (schema.fbs, table Buffer)
        buffer.require(offset, size)
    return True


def _check_subgraph(buffer: Buffer, subgraph: Table, codes: int, buffers: int) -> None:
    tensors = 0
    for tensor in subgraph.tables(_TENSORS):
        _check_tensor(buffer, tensor, buffers)
        tensors += 1
    for slot in (_INPUTS, _OUTPUTS):
        _check_indices(buffer, subgraph, slot, tensors)
    for operator in subgraph.tables(_OPERATORS):
        if operator.integer(0, "<I") >= codes:
            raise buffer.damaged(f"operator code {operator.integer(0, '<I')} of {codes} is used")
        for slot in (1, 2):
            _check_indices(buffer, operator, slot, tensors)
        operator.table(4)  # builtin_options
        operator.raw(5)  # custom_options


def _check_tensor(buffer: Buffer, tensor: Table, buffers: int) -> None:
    if tensor.integer(2, "<I") >= buffers:
        raise buffer.damaged(f"buffer {tensor.integer(2, '<I')} of {buffers} is used")
    tensor.numbers(0, "i")
    tensor.raw(3)
    tensor.numbers(7, "i")
    quantization = tensor.table(4)
    if quantization is not None:
        for slot, layout in enumerate("fffq"):  # min, max, scale, zero_point
            quantization.numbers(slot, layout)


def _check_indices(buffer: Buffer, table: Table, slot: int, tensors: int) -> None:
    for index in table.numbers(slot, "i"):
        if not -1 <= index < tensors:  # -1: an optional input that is absent
            raise buffer.damaged(f"tensor {int(index)} of {tensors} is used")
