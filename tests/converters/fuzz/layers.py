"""Steps that multiply or pool: convolutions, poolings, products of matrices."""

from converters.fuzz.builder import FLOAT, Builder, Value

AUTO_PADS = (None, "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


def picture(b: Builder, axes: int) -> Value:
    """A float value with a batch, channels and ``axes`` axes of space."""
    found = b.some(lambda value: value.dtype == FLOAT and value.rank == axes + 2 and min(value.shape[2:]) > 1)
    if found is not None:
        return found
    return b.input((1, b.choices.pick((1, 2, 3, 4)), *(b.choices.pick((4, 5, 6, 8)) for _ in range(axes))))


def _axes_of_space(b: Builder) -> int:
    return b.choices.pick((2, 2, 2, 1, 3))


def _window(b: Builder, data: Value, *, dilates: bool = True) -> dict[str, object]:
    """Kernel, strides, pads and dilations that fit a value mostly."""
    axes = data.rank - 2
    kernel = [min(b.choices.pick((1, 2, 3)), dim) for dim in data.shape[2:]]
    attributes: dict[str, object] = {"kernel_shape": kernel}
    if b.choices.chance(50):
        attributes["strides"] = [b.choices.pick((1, 2, 3)) for _ in range(axes)]
    if dilates and b.choices.chance(30):
        attributes["dilations"] = [b.choices.pick((1, 2)) for _ in range(axes)]
    auto_pad = b.choices.pick(AUTO_PADS)
    attributes["auto_pad"] = auto_pad
    if auto_pad in (None, "NOTSET") and b.choices.chance(60):
        attributes["pads"] = [b.choices.number(0, kernel[i % axes] - 1) for i in range(2 * axes)]
    return attributes


def convolution(b: Builder) -> None:
    """Conv over one to three axes, grouped, depthwise, dilated, with and without bias."""
    data = picture(b, _axes_of_space(b))
    attributes = _window(b, data)
    channels = data.shape[1]
    group = b.choices.pick([g for g in range(1, channels + 1) if channels % g == 0])
    out = group * b.choices.pick((1, 2, 3))
    weights = b.weights(out, channels // group, *attributes["kernel_shape"])
    bias = [b.weights(out)] if b.choices.chance(60) else []
    if b.choices.chance(50):
        del attributes["kernel_shape"]
    b.add("Conv", [data, weights, *bias], group=group, **attributes)


def transposed_convolution(b: Builder) -> None:
    """ConvTranspose with output padding."""
    data = picture(b, b.choices.pick((2, 2, 1)))
    attributes = _window(b, data)
    channels = data.shape[1]
    group = b.choices.pick([g for g in range(1, channels + 1) if channels % g == 0])
    out = b.choices.pick((1, 2, 3))
    weights = b.weights(channels, out, *attributes["kernel_shape"])
    bias = [b.weights(out * group)] if b.choices.chance(50) else []
    strides = attributes.get("strides")
    if strides and b.choices.chance(30):
        attributes["output_padding"] = [stride - 1 for stride in strides]
    b.add("ConvTranspose", [data, weights, *bias], group=group, **attributes)


def pooling(b: Builder) -> None:
    """Poolings with windows, among them MaxPool with its indices."""
    data = picture(b, _axes_of_space(b))
    kind = b.choices.pick(("MaxPool", "AveragePool", "AveragePool", "LpPool"))
    attributes = _window(b, data, dilates=(kind == "MaxPool" and b.opset >= 10) or b.opset >= 19)
    if kind != "LpPool" and b.opset >= 10:
        attributes["ceil_mode"] = b.choices.number(0, 1)
    if kind == "AveragePool":
        attributes["count_include_pad"] = b.choices.number(0, 1)
    b.add(kind, [data], outputs=2 if kind == "MaxPool" and b.choices.chance(15) else 1, **attributes)


def global_pooling(b: Builder) -> None:
    """Poolings over everything."""
    data = b.floats(3, 5)
    b.add(b.choices.pick(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")), [data])


def gemm(b: Builder) -> None:
    """Gemm with both transpositions, scales and biases of several shapes."""
    data = b.floats(2, 2)
    trans_a, trans_b = b.choices.number(0, 1), b.choices.number(0, 1)
    rows, inner = data.shape[::-1] if trans_a else data.shape
    columns = b.choices.pick((1, 3, 4, 8))
    weights = b.weights(*((columns, inner) if trans_b else (inner, columns)))
    bias = b.choices.pick(((columns,), (1, columns), (rows, 1), (rows, columns), None, ()))
    inputs = [data, weights, *([] if bias is None and b.opset >= 11 else [b.weights(*(bias or ()))])]
    b.add(
        "Gemm",
        inputs,
        transA=trans_a,
        transB=trans_b,
        alpha=b.choices.pick((None, 0.5)),
        beta=b.choices.pick((None, 2.0)),
    )


def product(b: Builder) -> None:
    """MatMul of any rank with a constant, or with another value."""
    data = b.floats(1, 4)
    inner = data.shape[-1]
    other = b.some(lambda v: v.dtype == FLOAT and v.rank >= 1 and v.shape[max(v.rank - 2, 0)] == inner)
    if other is None or b.choices.chance(60):
        front = (
            data.shape[: b.choices.number(0, max(data.rank - 2, 0))][-(data.rank - 2) :]
            if data.rank > 2
            else ()
        )
        other = b.weights(*front, inner, *b.dims(1, 1)) if b.choices.chance(80) else b.weights(inner)
    if b.choices.chance(15):
        left = b.weights(*b.dims(1, 1), data.shape[max(data.rank - 2, 0)])
        b.add("MatMul", [left, data])
    else:
        b.add("MatMul", [data, other])


def einsum(b: Builder) -> None:
    """Sums of products by letters."""
    data = b.floats(3, 3)
    batch, rows, inner = data.shape
    equation, shape = b.choices.pick((
        ("bij,jk->bik", (inner, 4)), ("bij,bkj->bik", (batch, 3, inner)), ("bij,bij->bi", data.shape),
        ("bij,i->bj", (rows,)), ("bij->bji", None), ("bij->b", None), ("bij,bjk->ki", (batch, inner, 2)),
    ))  # fmt: skip
    b.add("Einsum", [data, *([] if shape is None else [b.weights(*shape)])], equation=equation)


STEPS = (
    convolution, convolution, convolution, transposed_convolution, pooling, pooling, global_pooling, gemm, product,
    product, einsum,
)  # fmt: skip
