"""Every network of the zoo, trained or seeded, is exact in float32, and made of builtins alone."""

from pathlib import Path

import pytest

from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request
from edgewise_converters.tflite.schema import operator_kinds
from edgewise_converters.verify import GATES_DB
from zoo import ZOO

pytestmark = pytest.mark.slow
FLOOR_MARGIN_DB = 6.0
"""A file may be this much noisier than onnxruntime is against itself with other kernels."""
STRUCTURES = 35


@pytest.mark.parametrize("name", ZOO)
def test_network_is_exact_in_float32(name: str, tmp_path: Path) -> None:
    net = ZOO[name]
    request = Request(
        source=net.path(), target="rpi4", precision="fp32", shapes=net.shapes, values=net.values,
        out=tmp_path / "net.tflite",
    )  # fmt: skip
    result = convert(request)
    floors = {output.name: output.snr_db for output in result.floor.outputs} if result.floor else {}
    for output in result.agreement["litert"].outputs:
        floor_db = floors.get(output.name, GATES_DB["fp32"] + FLOOR_MARGIN_DB) - FLOOR_MARGIN_DB
        assert output.snr_db >= min(GATES_DB["fp32"], floor_db), output
    assert not [kind for kind in operator_kinds(result.path.read_bytes()) if kind.startswith("CUSTOM")]


def test_zoo_covers_many_structures() -> None:
    seeded = {name.split("-opset")[0] for name in ZOO if "-opset" in name}
    assert len(seeded) >= STRUCTURES
    assert sum(net.is_trained for net in ZOO.values()) >= 10
