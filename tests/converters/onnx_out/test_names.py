"""Long inner names become short, everywhere the same; ends keep theirs."""

import numpy as np
import onnx
import onnx.parser
import onnxruntime

from edgewise_converters.onnx_out.names import shorten

LONG = "a_name_that_an_exporter_made_of_all_the_modules_it_went_through"


def test_names_in_branches_follow() -> None:
    text = f"""<ir_version: 8, opset_import: ["": 17]>
    net (float[1,4] x, bool c) => (float[1,4] the_output_with_a_rather_long_name) {{
        {LONG}_1 = Relu(x)
        {LONG}_2 = Neg(x)
        both = If(c) <then_branch = t () => (float[1,4] p) {{ p = Add({LONG}_1, {LONG}_2) }},
                      else_branch = e () => (float[1,4] q) {{ q = Sub({LONG}_1, {LONG}_2) }}>
        the_output_with_a_rather_long_name = Identity(both)
    }}"""
    model = onnx.parser.parse_model(text)
    before = model.SerializeToString()
    shorten(model.graph)
    after = model.SerializeToString()
    assert LONG.encode() not in after and len(after) < len(before)
    feed = {"x": np.array([[1, -2, 3, -4]], np.float32)}
    for condition in (True, False):
        feed["c"] = np.array(condition)
        want, got = (
            onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, feed)
            for data in (before, after)
        )
        np.testing.assert_array_equal(want[0], got[0])
    assert model.graph.output[0].name == "the_output_with_a_rather_long_name"


def test_ends_of_names_that_agree_are_told_apart() -> None:
    text = f"""<ir_version: 8, opset_import: ["": 17]>
    net (float[4] x) => (float[4] y) {{
        first_{LONG} = Relu(x) other_{LONG} = Neg(x) y = Add(first_{LONG}, other_{LONG})
    }}"""
    model = onnx.parser.parse_model(text)
    shorten(model.graph)
    assert len({output for node in model.graph.node for output in node.output}) == 3
    onnx.checker.check_model(model)
